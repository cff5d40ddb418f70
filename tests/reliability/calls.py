"""A server that the tests start, every call of it, and assertions about both."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Self

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.reliability.sessions import Ask, locked_table, sessions, waiting
from tests.support import builders
from tests.support.client import SECONDS, Client, Failure, failure, read_failure
from tests.support.concurrency import in_background
from tests.support.server_process import wait_until
from tests.support.servers import Server
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.postgres_probe import PROBE_NAME

Call = Callable[[Client, Customer], object]

POOL = 4

# Of a server whose test sets no other.
READ_TIMEOUT: float = Settings.model_fields["database_timeout_seconds"].default

AWAY = "the database cannot be reached now; try again"
UNKNOWN = "the database was lost while it stored the change, and whether it was made is not known: "
READ_FIRST = "read before you send it again; with an Idempotency-Key it could be sent again safely"
SAME_KEY = "send it again with the same Idempotency-Key"
SAME_BATCH = "send the batch again, which stores no customer twice"


def _other(client: Client) -> str:
    return client.create(builders.customer()).id


def _deleted(client: Client) -> str:
    customer_id = _other(client)
    client.delete(customer_id)
    return customer_id


def _batch() -> pb.ImportCustomersRequest:
    return pb.ImportCustomersRequest(items=[pb.ImportItem(customer=builders.customer())])


READS: dict[str, Call] = {
    "GetCustomer": lambda client, it: client.get(it.id),
    "GetCustomerByRef": lambda client, it: client.get_by_ref(it.customer_ref),
    "GetCustomerByAlternateRef": lambda client, it: client.get_by_alternate_ref(
        it.alternate_customer_ref
    ),
    "GetCustomerByEmail": lambda client, it: client.get_by_email(it.email),
    "LookupCustomers": lambda client, it: client.lookup(pb.LookupCustomersRequest(email=it.email)),
    "ListCustomers": lambda client, _: client.list_page(pb.ListCustomersRequest()),
    "ValidateCustomer": lambda client, _: client.validate(builders.customer()),
    "ExportCustomers": lambda client, _: list(client.export()),
}
WRITES: dict[str, Call] = {
    "CreateCustomer": lambda client, _: client.create(builders.customer()),
    "UploadCustomers": lambda client, _: client.upload([builders.customer(), builders.customer()]),
    "ImportCustomers": lambda client, _: list(client.import_([_batch(), _batch()])),
    "UpdateCustomer": lambda client, it: client.update(Customer(id=it.id, last_name="King")),
    "AddCustomerAddress": lambda client, it: client.add_address(it.id, builders.address()),
    "UpdateCustomerAddress": lambda client, it: client.update_address(
        it.id, it.addresses[0].id, builders.address(city="Rom")
    ),
    "DeleteCustomerAddress": lambda client, it: client.delete_address(it.id, it.addresses[0].id),
    "MergeCustomers": lambda client, it: client.merge(it.id, _other(client)),
    "DeleteCustomer": lambda client, it: client.delete(it.id),
    "DeleteCustomerByRef": lambda client, it: client.delete_by_ref(it.customer_ref),
    "EraseCustomer": lambda client, it: client.erase(it.id),
    "RestoreCustomer": lambda client, _: client.restore(_deleted(client)),
}
CALLS = READS | WRITES
each_read = pytest.mark.parametrize("call", READS.values(), ids=READS)
each_write = pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)


def prepared(
    call: Call, service: "SeededServer", client: Client | None = None
) -> Callable[[], object]:
    """Makes the customers that a call needs beside the seeded one, and returns the call alone."""
    client = client or service.client
    if call is WRITES["MergeCustomers"]:
        return partial(client.merge, service.customer.id, _other(service.client))
    if call is WRITES["RestoreCustomer"]:
        return partial(client.restore, _deleted(service.client))
    return partial(call, client, service.customer)


def remedy_of(call: Call) -> str:
    """What the error of a call without an Idempotency-Key tells to do."""
    return SAME_BATCH if call is WRITES["ImportCustomers"] else READ_FIRST


def selectable(ref: str) -> Customer:
    """A request's customer that has all by which a call selects it, or a part of it."""
    return builders.customer(
        customer_ref=ref, alternate_customer_ref=ref, addresses=[builders.address()]
    )


class SeededServer:
    """A server with a small pool of connections, and one customer of one tenant."""

    def __init__(self, **settings: Any) -> None:
        chosen = {"database_pool_size": POOL, "threads": 2 * POOL} | settings
        self._server = Server(**chosen)
        self.channel = self._server.channel
        self.client = self._server.client("acme")

    def __enter__(self) -> Self:
        # With a short time for statements, a busy machine may take too long for the first.
        wait_until(lambda: not fails(self._seed))
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def _seed(self) -> None:
        self.customer = self.client.create(selectable("A-1"))

    def is_healthy(self) -> bool:
        """Tells whether the service says that it serves."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


Open = Callable[..., Postgres]
Serve = Callable[..., SeededServer]


def fails(call: Callable[[], object]) -> bool:
    """Makes a call, which may be UNAVAILABLE, or of unknown outcome; tells whether it was."""
    try:
        call()
    except grpc.RpcError as error:
        assert read_failure(error).reason in {"SERVICE_UNAVAILABLE", "OUTCOME_UNKNOWN"}  # noqa: PT017 - it may come or not
        return True
    return False


def assert_unavailable(
    call: Callable[[], object], seconds: float = READ_TIMEOUT, message: str = AWAY
) -> None:
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


def assert_unknown(
    call: Callable[[], object], remedy: str = READ_FIRST, seconds: float = SECONDS
) -> None:
    """Makes a call whose outcome must be unknown; its error says when to repeat it, if it may."""
    began = time.monotonic()
    may_repeat = remedy != READ_FIRST
    assert failure(call) == Failure(
        grpc.StatusCode.UNKNOWN,
        UNKNOWN + remedy,
        reason="OUTCOME_UNKNOWN",
        domain="customer.twc",
        owners={},
        fields={},
        resources=[],
        retry=1 if may_repeat else None,
    )
    assert time.monotonic() - began < seconds


def assert_all_unavailable(service: SeededServer, names: Iterable[str], seconds: float) -> None:
    """Makes calls at once, of which each must be UNAVAILABLE within some seconds."""
    calls = [partial(CALLS[name], service.client, service.customer) for name in names]
    told = in_background([partial(assert_unavailable, call, seconds) for call in calls])
    assert [it.exception(SECONDS) for it in told] == [None] * len(calls)


def assert_whole(service: SeededServer, ask: Ask, size: int = POOL) -> None:
    """Asserts that as many reads as the pool has connections are with the database at once."""
    with locked_table(ask):
        reads = in_background([partial(wait_served, service)] * size)
        wait_until(lambda: waiting(ask) == size)
    assert [read.exception(SECONDS) for read in reads] == [None] * size
    assert_clean(ask, size)


def wait_served(service: SeededServer) -> None:
    """Reads the customer until that is no more UNAVAILABLE."""
    wait_until(lambda: not fails(lambda: service.client.get(service.customer.id)))


def assert_clean(ask: Ask, size: int = POOL) -> None:
    """Asserts that no session is in use, and that there are no more than of pool and probe."""
    wait_until(lambda: {state for [state] in sessions(ask, "state")} <= {"idle"})
    names = [name for [name] in sessions(ask, "application_name")]
    probes = names.count(PROBE_NAME)
    assert probes <= 1
    assert len(names) - probes <= size
