"""Reads of a replica: what callers see while it lags, and is lost; real streaming replication.

All of it also where primary and replica have a pooler each.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.reliability.calls import CALLS, Call, selectable
from tests.support import builders
from tests.support.client import SECONDS, Client, failure
from tests.support.concurrency import in_background
from tests.support.in_process import InProcessServer
from tests.support.pgbouncer import pooling
from tests.support.ports import held_port
from tests.support.scraping import Scrape
from tests.support.server_process import wait_until
from tests.support.servers import Server
from tests.support.standby import Pair, pair
from twc_customer_server.api import page_tokens
from twc_customer_server.api.consistency import HEADER, token
from twc_customer_server.storage.replica import Position

OLD, NEW = "Old", "New"

# A lag of a replica, on a busy machine, that does not have it left out while replay is paused.
MAX_LAG = 3600

# A quarter of it, for a read of the replica, is enough on a busy machine.
TIMEOUT = 40.0


class Service(NamedTuple):
    """A service of a primary whose reads may use its standby, and a customer of a tenant."""

    server: InProcessServer
    servers: Pair
    metrics_port: int
    tenant: str
    customer: Customer

    @property
    def client(self) -> Client:
        """A client whose calls have no header."""
        return self.server.client(self.tenant)

    def session(self, value: str) -> Client:
        """A client that sends a token, or what stands for one."""
        return self.client.given(**{HEADER: value})

    def reads(self, result: str) -> float:
        """How many reads were answered so far in a way."""
        return value(self.metrics_port, "twc_customer_replica_reads_total", result=result)

    def await_used(self, number: int = 1) -> None:
        """Waits until the service uses as many replicas."""
        wait_until(
            lambda: value(self.metrics_port, "twc_customer_replicas", state="used") == number
        )

    def lag(self) -> AbstractContextManager[None]:
        """Has the customer be new on the primary, and old on the replica, for a `with` block."""
        return lagging(self)


def value(port: int, name: str, **labels: str) -> float:
    """The value of a metric."""
    found = Scrape(port).value(name, **labels)
    assert found is not None
    return found


@contextmanager
def lagging(service: Service) -> Iterator[None]:
    """Has the customer be new on the primary, and old on the replica, for a `with` block."""
    rename(service, OLD)
    service.servers.await_replay()
    with service.servers.paused_replay():
        rename(service)
        yield


def rename(service: Service, name: str = NEW) -> str:
    """Changes the customer, and returns the token of that."""
    session = service.session("latest")
    session.update(Customer(id=service.customer.id, last_name=name))
    return str(session.headers[HEADER])


@contextmanager
def serving(urls: list[str], folder: Path) -> Iterator[tuple[InProcessServer, int]]:
    """Serves a new database and its replica; yields the port of metrics, too."""
    with (
        held_port() as port,
        Server(
            data_dir=folder,
            database_url=urls[0],
            database_read_urls=urls[1:],
            database_read_max_lag_seconds=MAX_LAG,
            database_timeout_seconds=TIMEOUT,
            metrics_port=port,
        ) as server,
    ):
        yield server, port


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    """A primary, and a standby that no commit waits for."""
    with pair(is_synchronous=False) as servers:
        yield servers


@pytest.fixture(scope="module", params=["direct", "pooled"])
def server(
    request: pytest.FixtureRequest, servers: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[InProcessServer, int]]:
    """A service of them, and the port of its metrics."""
    primary = servers.database()
    urls = [primary, servers.replica(primary)]
    servers.await_replay()
    with ExitStack() as opened:
        poolers = []
        if request.param == "pooled":
            poolers = [opened.enter_context(pooling(url)) for url in urls]
            urls = [pooler.url for pooler in poolers]
        before = [pooler.sessions() for pooler in poolers]
        # It would hold sessions that are looked at afterwards.
        with serving(urls, tmp_path_factory.mktemp("server")) as server:
            yield server
        # Other clients of the poolers find their sessions as they were.
        assert [pooler.sessions() for pooler in poolers] == before


@pytest.fixture
def service(servers: Pair, server: tuple[InProcessServer, int], tenant: str) -> Service:
    """The service, for a tenant of its own, with a replica that has all and is used."""
    customer = server[0].client(tenant).create(selectable(tenant))
    service = Service(server[0], servers, server[1], tenant, customer)
    servers.await_replay()
    service.await_used()
    return service


def position(service: Service) -> Position:
    """The position of the primary."""
    [[system, wal]] = service.servers.on_primary(
        "SELECT system_identifier, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint "
        "FROM pg_control_system()"
    )
    assert isinstance(system, int)
    assert isinstance(wal, int)
    return Position(system, wal)


Names = Callable[[Client, Customer], list[str]]

# What each read that may lag finds of a customer: its last name.
LAST_NAMES: dict[str, Names] = {
    "GetCustomer": lambda client, it: [client.get(it.id).last_name],
    "GetCustomerByRef": lambda client, it: [client.get_by_ref(it.customer_ref).last_name],
    "GetCustomerByAlternateRef": lambda client, it: [
        client.get_by_alternate_ref(it.alternate_customer_ref).last_name
    ],
    "GetCustomerByEmail": lambda client, it: [client.get_by_email(it.email).last_name],
    "LookupCustomers": lambda client, it: [
        found.last_name for found in client.lookup(pb.LookupCustomersRequest(email=it.email))
    ],
    "ListCustomers": lambda client, it: [
        found.last_name
        for found in client.list_page(
            pb.ListCustomersRequest(filter=f"customerRef = {it.customer_ref}")
        ).customers
    ],
}
each_read = pytest.mark.parametrize("names", LAST_NAMES.values(), ids=LAST_NAMES)


@each_read
def test_lag(service: Service, names: Names) -> None:
    """A replica that lags answers those that accept it, and the primary all others."""
    with service.lag():
        seen = {it: names(service.session(it), service.customer) for it in ("any", "latest")}
        assert seen == {"any": [OLD], "latest": [NEW]}
        assert names(service.client, service.customer) == [NEW]


@each_read
def test_own_write(service: Service, names: Names) -> None:
    """Who sends the token of a write sees that, whatever the replica has."""
    with service.servers.paused_replay():
        written, before = rename(service), service.reads("lag")
        assert names(service.session(written), service.customer) == [NEW]
        assert service.reads("lag") == before + 1
    service.servers.await_replay()
    session, before = service.session(written), service.reads("replica")
    assert names(session, service.customer) == [NEW]
    assert service.reads("replica") == before + 1
    with service.servers.paused_replay():
        rename(service, OLD)
        # The token of that read is one of the replica, which has what it had.
        assert names(service.session(str(session.headers[HEADER])), service.customer) == [NEW]


@pytest.mark.parametrize("sent", ["latest", "any", "token"])
def test_token_of_write(service: Service, sent: str) -> None:
    """The token of a write has it, whatever the request was sent with."""
    header = rename(service, OLD) if sent == "token" else sent
    with service.lag():
        before = position(service)
        session = service.session(header)
        session.update(Customer(id=service.customer.id, last_name="Newest"))
        written = str(session.headers[HEADER])
        assert service.session(written).get(service.customer.id).last_name == "Newest"
        seen = page_tokens.parse(written).place.split(" ")
        assert [int(number, 16) for number in seen] >= [*before]


def test_monotonic_reads(service: Service) -> None:
    """What was seen on the primary is not unseen: its token is not for a replica that lags."""
    with service.lag():
        reader = service.session("latest")
        assert reader.get(service.customer.id).last_name == NEW
        later = service.session(str(reader.headers[HEADER]))
        assert later.get(service.customer.id).last_name == NEW


def test_several_tokens(service: Service) -> None:
    """Of several tokens, as a client has after calls that overlap, the newest counts."""
    before = rename(service, OLD)
    with service.lag():
        values = [before, rename(service), "any"]
        for several in (values, values[::-1]):
            session = service.session(", ".join(several))
            assert session.get(service.customer.id).last_name == NEW


def test_created_by_another(service: Service) -> None:
    """A customer that was just created is found, though the replica lacks it."""
    with service.servers.paused_replay():
        created, before = (
            service.client.create(builders.customer(customer_ref="other")),
            service.reads("nothing_found"),
        )
        reader = service.session("any")
        assert reader.get_by_ref("other") == created
        assert reader.lookup(pb.LookupCustomersRequest(email=created.email)) == [created]
    assert service.reads("nothing_found") == before + 2


def test_primary_alone(service: Service) -> None:
    """Changes, and the check of a new customer, see what is newest whatever the header says."""
    with service.servers.paused_replay():
        created, any_client = service.client.create(builders.customer()), service.session("any")
        assert created.id in {it.customer.id for it in any_client.changes().changes}
        validate = partial(any_client.validate, builders.customer(email=created.email))
        assert failure(validate).code is grpc.StatusCode.ALREADY_EXISTS


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_all_calls(service: Service, call: Call) -> None:
    """Every call is served with the header; writes are made, on the primary."""
    call(service.session("any"), service.customer)


def exported(client: Client) -> list[str]:
    """The ids of all customers."""
    return [it.id for part in client.export() for it in part.customers]


def test_export(service: Service) -> None:
    """An export has all that is committed when it begins, of a replica once that has it."""
    exported(service.client)
    with service.servers.paused_replay():
        created, before = service.client.create(builders.customer()), service.reads("lag")
        assert exported(service.client) == [service.customer.id, created.id]
        assert service.reads("lag") == before + 1
    before = service.reads("replica")
    wait_until(lambda: len(exported(service.client)) == 2 and service.reads("replica") > before)


REFUSED = {
    "empty": "",
    "text": "newest",
    "list": "any, none",
    "base64": "AAAA",
    "page token": "o0uX3y2b4n9vJm2r0m0m0mFiYw==",
    "long": "A" * 2000,
}
each_rpc = pytest.mark.parametrize("name", ["GetCustomer", "CreateCustomer", "LookupCustomers"])


@each_rpc
@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_malformed_token(service: Service, name: str, value: str) -> None:
    """What is no token is refused, before anything is done."""
    assert_refused(service, name, value, "must be any, latest or the token of an earlier response")


@each_rpc
def test_token_of_another_tenant(service: Service, name: str) -> None:
    """The token of another tenant is refused."""
    value = token("other", position(service))
    assert_refused(service, name, value, "belongs to another tenant; send latest")


def assert_refused(service: Service, name: str, value: str, message: str) -> None:
    """Makes a call, which must be refused for its header."""
    refused = failure(partial(CALLS[name], service.session(value), service.customer))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.fields == {"X-TWC-Consistency-Token": message}


FOREIGN: dict[str, Callable[[Position], Position]] = {
    "of the future": lambda it: it._replace(wal=it.wal + (1 << 40)),
    "of another database": lambda it: it._replace(system=it.system ^ 1, wal=0),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_unknown_position(service: Service, foreign: Callable[[Position], Position]) -> None:
    """Where a token names what no replica can have, as after a loss, the primary answers."""
    with service.lag():
        session = service.session(token(service.tenant, foreign(position(service))))
        assert session.get(service.customer.id).last_name == NEW
        later = service.session(str(session.headers[HEADER]))
        assert later.get(service.customer.id).last_name == NEW


# Between two reads of a thread, so that they leave the machine to the replica that starts.
_PAUSE_SECONDS = 0.02


class Load:
    """Reads again and again, in several threads, from its construction to `end`."""

    def __init__(self, service: Service, threads: int = 2) -> None:
        self.reads = 0
        self._service = service
        self._stopped = threading.Event()
        self._running = in_background([self._read] * threads)

    def _read(self) -> None:
        while not self._stopped.is_set():
            assert self._service.session("any").get(self._service.customer.id).id
            self.reads += 1
            self._stopped.wait(_PAUSE_SECONDS)

    def go_on(self, number: int = 50) -> None:
        """Waits for so many reads more."""
        before = self.reads
        wait_until(lambda: self.reads > before + number or any(it.done() for it in self._running))

    def end(self) -> None:
        """Ends it. Raises what a read has raised."""
        self._stopped.set()
        for each in self._running:
            each.result(SECONDS)


def test_lost_replica(service: Service) -> None:
    """No read fails while a replica is killed; once it is back it is used again."""
    load = Load(service)
    load.go_on()
    service.servers.kill_standby()
    try:
        load.go_on()
        service.await_used(0)
        assert service.server.is_healthy()
        load.go_on()
    finally:
        service.servers.start_standby()
    service.await_used()
    before = service.reads("replica")
    # One that a lost connection is found of is left out for some seconds more.
    wait_until(lambda: service.reads("replica") > before)
    load.end()


def test_hung_replica(service: Service) -> None:
    """No read fails while a replica does not answer, which is soon left out."""
    load = Load(service)
    load.go_on()
    with service.servers.stopped_standby():
        service.await_used(0)
        load.go_on()
    service.await_used()
    load.end()
    assert service.reads("failed") > 0
