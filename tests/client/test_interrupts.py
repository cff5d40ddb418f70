"""Ctrl-C ends a command wherever it arrives."""

import os
import subprocess
import sys
from pathlib import Path

import grpc

from tests.client.command_line import SECONDS, WITHOUT_COVERAGE
from tests.client.fake_services import Requests, Responses, accept, serving

# Interrupts one stream after another at a random moment, as Ctrl-C would. One
# that leaves a lock of grpcio held never closes, and has the process killed.
SCRIPT = f"""
import faulthandler, queue, random, signal, sys, time
from twc.customer.v2 import customer_service_pb2 as pb
from twc_customer_client.connection import Connection, Endpoint, Timeouts
from twc_customer_client.tokens import FixedToken

signal.signal(signal.SIGALRM, signal.default_int_handler)
endpoint = Endpoint(sys.argv[1], False, None, None, None)
end = time.monotonic() + 4
while time.monotonic() < end:
    faulthandler.dump_traceback_later({SECONDS}, exit=True)
    connection = Connection(endpoint, "acme", FixedToken("token"), Timeouts(60, 0))
    requests = queue.SimpleQueue()
    stream = connection.open_stream(
        lambda metadata: connection.stub.ImportCustomers(iter(requests.get, None))
    )
    try:
        requests.put(pb.ImportCustomersRequest())
        connection.next_response(stream)
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0002, 0.004))
        while True:
            requests.put(pb.ImportCustomersRequest())
            connection.next_response(stream)
    except KeyboardInterrupt:
        requests.put(None)
        stream.cancel()
    connection.close()
"""


def accept_all(requests: Requests, _context: grpc.ServicerContext) -> Responses:
    """Accepts every batch."""
    yield from map(accept, requests)


def test_interrupt_anywhere(tmp_path: Path) -> None:
    """A call that is interrupted at any moment ends, and so does the process."""
    with serving(imports=accept_all) as address:
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT, address],
            env=os.environ | WITHOUT_COVERAGE,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (result.returncode, result.stderr) == (0, "")
