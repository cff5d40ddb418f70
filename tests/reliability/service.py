"""The service in the tests' process, every call of it, and what the tests assert of both."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support import builders
from tests.support.client import SECONDS, Client, Failure, read_failure
from tests.support.server_process import wait_until
from tests.support.tokens import trust
from twc_customer_server.app import App
from twc_customer_server.settings import Settings

T = TypeVar("T")
Ask = Callable[[str], list[tuple[Any, ...]]]
Call = Callable[[Client, Customer], object]

POOL = 4

AWAY = "the database cannot be reached now; try again"
UNKNOWN = "the database was lost while it committed; whether the change was made is not known"


def _batch() -> pb.ImportCustomersRequest:
    return pb.ImportCustomersRequest(items=[pb.ImportItem(customer=builders.customer())])


READS: dict[str, Call] = {
    "GetCustomer": lambda client, it: client.get(it.id),
    "GetCustomerByRef": lambda client, it: client.get_by_ref(it.customer_ref),
    "LookupCustomers": lambda client, it: client.lookup(pb.LookupCustomersRequest(email=it.email)),
    "ValidateCustomer": lambda client, _: client.validate(builders.customer()),
    "ExportCustomers": lambda client, _: list(client.export()),
}
WRITES: dict[str, Call] = {
    "CreateCustomer": lambda client, _: client.create(builders.customer()),
    "UploadCustomers": lambda client, _: client.upload([builders.customer(), builders.customer()]),
    "ImportCustomers": lambda client, _: list(client.import_([_batch(), _batch()])),
    "UpdateCustomer": lambda client, it: client.update(Customer(id=it.id, last_name="King")),
    "AddCustomerAddress": lambda client, it: client.add_address(it.id, builders.address()),
    "DeleteCustomer": lambda client, it: client.delete(it.id),
    "DeleteCustomerByRef": lambda client, it: client.delete_by_ref(it.customer_ref),
}
CALLS = READS | WRITES
each_read = pytest.mark.parametrize("call", READS.values(), ids=READS)
each_write = pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)


class Service:
    """An App on a port of its own, with one customer."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        chosen = {"database_pool_size": POOL, "threads": 2 * POOL} | settings
        self._app = App(Settings(data_dir=folder, **chosen, **trust()), ["127.0.0.1:0"])
        self._app.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self._app.ports[0]}")
        self.client = Client(self.channel, "acme")
        self.customer = self.client.create(builders.customer(customer_ref="A-1"))

    def is_healthy(self) -> bool:
        """Tells whether the service says that it serves."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """Stops it, if it runs."""
        self.channel.close()
        self._app.stop()


def at_once(calls: Sequence[Callable[[], T]]) -> list[Future[T]]:
    """Makes calls, each in a thread of its own."""
    threads = ThreadPoolExecutor(len(calls))
    outcomes = [threads.submit(call) for call in calls]
    threads.shutdown(wait=False)
    return outcomes


def fails(call: Callable[[], object]) -> bool:
    """Makes a call, which may be UNAVAILABLE; tells whether it was."""
    try:
        call()
    except grpc.RpcError as error:
        assert read_failure(error).code is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - it may come or not
        return True
    return False


def assert_unavailable(call: Callable[[], object], seconds: float = 2, message: str = AWAY) -> None:
    """Makes a call, which must be UNAVAILABLE within some seconds, in the one shape."""
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as raised:
        call()
    took = time.monotonic() - began
    assert read_failure(raised.value) == Failure(
        grpc.StatusCode.UNAVAILABLE,
        message,
        reason="SERVICE_UNAVAILABLE",
        domain="customer.twc",
        owners={},
        fields={},
        resources=[],
        retry=1,
    )
    metadata: Any = raised.value
    assert dict(metadata.trailing_metadata())["retry-after"] == "1"
    assert took < seconds


def assert_all_unavailable(service: Service, names: Iterable[str], seconds: float) -> None:
    """Makes calls at once, of which each must be UNAVAILABLE within some seconds."""
    calls = [partial(CALLS[name], service.client, service.customer) for name in names]
    told = at_once([partial(assert_unavailable, call, seconds) for call in calls])
    assert [it.exception(SECONDS) for it in told] == [None] * len(calls)


def assert_whole(service: Service, ask: Ask, size: int = POOL) -> None:
    """Asserts that as many reads as the pool has connections are with the database at once."""
    with locked_table(ask):
        reads = at_once([partial(wait_served, service)] * size)
        wait_until(lambda: waiting(ask) == size)
    assert [read.exception(SECONDS) for read in reads] == [None] * size
    assert_clean(ask, size)


def wait_served(service: Service) -> None:
    """Reads the customer until that is no more UNAVAILABLE."""
    wait_until(lambda: not fails(lambda: service.client.get(service.customer.id)))


def assert_clean(ask: Ask, size: int = POOL) -> None:
    """Asserts that the database has no more sessions than the pool, and that none is in use."""
    wait_until(lambda: {state for [state] in _sessions(ask, "state")} <= {"idle"})
    assert len(processes(ask)) <= size


def hasten_deadlocks(ask: Ask) -> None:
    """Has the database notice deadlocks soon, if the tests may: it looks after a second."""
    with suppress(psycopg.errors.InsufficientPrivilege):
        alter(ask, "SET deadlock_timeout = 100")


def alter(ask: Ask, change: str) -> None:
    """Changes what sessions of the database are like that begin from now on."""
    [[name]] = ask("SELECT current_database()")
    ask(f'ALTER DATABASE "{name}" {change}')


def waiting(ask: Ask) -> int:
    """How many sessions of the service wait for a lock."""
    return _sessions(ask, "wait_event_type").count(("Lock",))


def processes(ask: Ask) -> set[int]:
    """The processes of the database that serve the service's sessions."""
    return {process for [process] in _sessions(ask, "pid")}


def stored(ask: Ask, what: str = "id") -> list[Any]:
    """A column of all live customers, in the order of their creation."""
    rows = ask(f"SELECT {what} FROM customer WHERE deleted_at IS NULL ORDER BY id")  # noqa: S608 - the test's own
    return [value for [value] in rows]


@contextmanager
def locked_table(ask: Ask) -> Iterator[None]:
    """Has every other session wait that comes near the customers."""
    ask("BEGIN")
    ask("LOCK TABLE customer")
    try:
        yield
    finally:
        ask("ROLLBACK")


@contextmanager
def locked_rows(ask: Ask) -> Iterator[None]:
    """Has every other session wait that changes a customer."""
    ask("BEGIN")
    ask("SELECT FROM customer FOR UPDATE")
    try:
        yield
    finally:
        ask("ROLLBACK")


def _sessions(ask: Ask, column: str) -> list[tuple[Any, ...]]:
    # Within a transaction it would say the same every time.
    ask("SELECT pg_stat_clear_snapshot()")
    return ask(
        f"SELECT {column} FROM pg_stat_activity WHERE backend_type = 'client backend' "  # noqa: S608 - the test's own
        "AND datname = current_database() AND pid <> pg_backend_pid()"
    )
