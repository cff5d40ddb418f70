"""Ctrl-C ends a command wherever it arrives."""

import os
import subprocess
import sys
from pathlib import Path

import grpc

from tests.client.command_line import SECONDS, WITHOUT_COVERAGE
from tests.support.fake_services import Requests, Responses, accept, serving

# Interrupts one stream after another at a random moment, as Ctrl-C would. One
# that leaves a lock of grpcio held never closes, and has the process killed.
SCRIPT = f"""
import faulthandler, itertools, random, signal, sys, time
from twc.customer.v2 import customer_service_pb2 as pb
from twc_customer_client import CustomerClient

signal.signal(signal.SIGALRM, signal.default_int_handler)
batch = pb.ImportCustomersRequest(items=[pb.ImportItem(sequence=1)])
end = time.monotonic() + 4
while time.monotonic() < end:
    faulthandler.dump_traceback_later({SECONDS}, exit=True)
    client = CustomerClient(sys.argv[1], tenant="acme", token="token")
    responses = client.import_batches(itertools.repeat(batch))
    try:
        next(responses)
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0002, 0.004))
        for _ in responses:
            pass
    except KeyboardInterrupt:
        pass
    client.close()
"""


def accept_all(requests: Requests, _context: grpc.ServicerContext) -> Responses:
    """Accepts every batch."""
    yield from map(accept, requests)


def test_interrupt_anywhere(tmp_path: Path) -> None:
    """A call that is interrupted at any moment ends, and so does the process."""
    with serving(ImportCustomers=accept_all) as address:
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT, address],
            env=os.environ | WITHOUT_COVERAGE,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (result.returncode, result.stderr) == (0, "")
