"""A tenant that calls the service steadily: `python -m tests.security.victim` runs one.

It is a process of its own, so that the attacker's threads do not hold it up. It
reads its plan from the first line of its standard input and ends when that is
closed; it writes a line for each call: its kind, the time of the monotonic clock
at which it was due, the seconds that it took from then on, and its status.
"""

import http.client
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.support.builders import UNKNOWN_ID
from tests.support.client import SECONDS
from tests.support.processes import die_with_parent

READ, HEALTH = "read", "health"
# Calls a second of each kind, on one connection; reads are made on four.
RATES = {
    READ: 20.0,
    "write": 2.0,
    "native read": 4.0,
    "native write": 2.0,
    "upload": 1.0,
    "changes": 1.0,
    "newcomer": 1.0,
    HEALTH: 4.0,
}
CONNECTIONS = {READ: 4}
CALL_SECONDS = 10

_ROOT = Path(__file__).parents[2]
_GOOD = {"200", "201", "204", "OK"}

Call = Callable[[], str]


class Sample(NamedTuple):
    """A call of the victim."""

    kind: str
    connection: str
    due: float
    seconds: float
    status: str

    @property
    def is_good(self) -> bool:
        """Whether the service did what it was asked."""
        return self.status in _GOOD


class Plan(NamedTuple):
    """Where it calls, with which headers, and with those of tenants that come newly."""

    gateway_port: int
    grpc_port: int
    headers: dict[str, str]
    newcomers: list[dict[str, str]]


class Victim:
    """The process, and the calls that it has made so far."""

    def __init__(self, plan: Plan) -> None:
        """Starts it."""
        self._samples: list[Sample] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.security.victim"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(plan) + "\n")
        self._process.stdin.flush()
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            kind, connection, due, seconds, status = line.rstrip("\n").split("\t")
            self._samples.append(Sample(kind, connection, float(due), float(seconds), status))

    def wait_ready(self) -> None:
        """Waits until a call of each kind has succeeded. Raises TimeoutError."""
        end = time.monotonic() + SECONDS
        while {each.kind for each in self._samples if each.is_good} < RATES.keys():
            if time.monotonic() > end:
                raise TimeoutError("the victim cannot call the service before any attack")
            time.sleep(0.05)

    def calls(self, begin: float, end: float) -> list[Sample]:
        """Returns the calls due in a time of the monotonic clock, when they have ended."""
        patience = time.monotonic() + CALL_SECONDS + 5
        while not self._is_complete(end) and time.monotonic() < patience:
            time.sleep(0.05)
        return [each for each in list(self._samples) if begin <= each.due < end]

    def _is_complete(self, end: float) -> bool:
        last = {(each.kind, each.connection): each.due for each in list(self._samples)}
        return all(due >= end - _interval(kind) for (kind, _), due in last.items())

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


class _Rest:
    """A connection of a REST client, made again when it is lost."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self._headers = headers
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_SECONDS)

    def call(
        self, method: str, path: str, content: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[str, bytes]:
        body = None if content is None else json.dumps(content)
        media = {} if content is None else {"content-type": "application/json"}
        try:
            self._connection.request(method, path, body, (headers or self._headers) | media)
            answer = self._connection.getresponse()
            return str(answer.status), answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return type(error).__name__, b""


def _calls(plan: Plan) -> dict[str, Callable[[], Call]]:
    """Returns for each kind what makes a connection and its call."""
    port, headers = plan.gateway_port, plan.headers
    newcomers = itertools.cycle(plan.newcomers)
    numbers = itertools.count()
    stub: Any = CustomerServiceStub(grpc.insecure_channel(f"127.0.0.1:{plan.grpc_port}"))
    path = "/api/v2/customers"
    _, created = _Rest(port, headers).call("POST", path, _customer(numbers))
    own = json.loads(created)["id"]

    def rest(*request: Any) -> Callable[[], Call]:
        def connect() -> Call:
            connection = _Rest(port, headers)
            return lambda: connection.call(*(it() if callable(it) else it for it in request))[0]

        return connect

    def native(rpc: Any, request: Callable[[], Any]) -> Callable[[], Call]:
        metadata = tuple(headers.items())

        def call() -> str:
            try:
                rpc(request(), metadata=metadata, timeout=CALL_SECONDS)
            except grpc.RpcError as error:
                return str(error.code().name)
            return "OK"

        return lambda: call

    return {
        READ: rest("GET", f"{path}/{own}"),
        "write": rest("POST", path, lambda: _customer(numbers)),
        "native read": native(stub.GetCustomer, lambda: pb.GetCustomerRequest(id=own)),
        "native write": native(
            stub.CreateCustomer,
            lambda: pb.CreateCustomerRequest(customer=Customer(email=_email(numbers))),
        ),
        "upload": rest("POST", "/api/v2/upload-customers", lambda: [_customer(numbers)]),
        "changes": native(
            stub.ListCustomerChanges, lambda: pb.ListCustomerChangesRequest(page_size=1)
        ),
        "newcomer": rest("GET", f"{path}/{UNKNOWN_ID}", None, lambda: next(newcomers)),
        HEALTH: rest("GET", "/healthz"),
    }


def _interval(kind: str) -> float:
    """The seconds between two calls of a kind on one connection."""
    return CONNECTIONS.get(kind, 1) / RATES[kind]


def _customer(numbers: "itertools.count[int]") -> dict[str, str]:
    return {"email": _email(numbers)}


def _email(numbers: "itertools.count[int]") -> str:
    return f"victim-{os.getpid()}-{next(numbers)}@example.com"


def _keep_calling(kind: str, number: int, due: float, call: Call) -> None:
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        status = call()
        end = time.monotonic()
        # Calls that were due meanwhile would have waited for the same.
        while due <= end:
            line = f"{kind}\t{number}\t{due:.6f}\t{end - due:.6f}\t{status}\n"
            os.write(sys.stdout.fileno(), line.encode())
            due += _interval(kind)


def main() -> None:
    """Calls until standard input is closed."""
    connects = _calls(Plan(*json.loads(sys.stdin.readline())))
    begin = time.monotonic()
    for kind, rate in RATES.items():
        for number in range(CONNECTIONS.get(kind, 1)):
            steps = (kind, number, begin + number / rate, connects[kind]())
            threading.Thread(target=_keep_calling, args=steps, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
