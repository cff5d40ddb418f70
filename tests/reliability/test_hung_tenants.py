"""Tenants whose calls hang in the database leave threads and connections to the others."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import grpc
import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.reliability.proxy import Proxy
from tests.reliability.sessions import Ask, waiting
from tests.support import builders
from tests.support.client import SECONDS, Client, read_failure
from tests.support.concurrency import in_background
from tests.support.in_process import InProcessServer
from tests.support.ports import held_port
from tests.support.scraping import Scrape
from tests.support.server_process import wait_until
from tests.support.servers import Server
from twc_customer_server.storage.bulkhead import HANGING_SECONDS

THREADS = 8
# What a change takes while the database is slow as a whole.
SLOW_SECONDS = 1.5 * HANGING_SECONDS
# More than there are threads, several times over.
HUNG = 40
# A call that nobody ends hangs for longer than all that the tests allow to others.
TIMEOUT = 2 * SECONDS


@pytest.fixture
def metrics_port() -> Iterator[int]:
    """The port of the server's metrics."""
    with held_port() as port:
        yield port


@pytest.fixture
def server(proxy: Proxy, metrics_port: int) -> Iterator[InProcessServer]:
    """A server with as many connections as threads."""
    with Server(
        metrics_port=metrics_port,
        database_url=proxy.url(),
        database_timeout_seconds=TIMEOUT,
        database_pool_size=THREADS,
        threads=THREADS,
    ) as server:
        yield server


class Tenant:
    """A tenant of a server, with one customer."""

    def __init__(self, server: InProcessServer, name: str) -> None:
        self.client: Client = server.client(name)
        self.id = self.client.create(builders.customer()).id

    def update(self) -> None:
        """Changes the customer."""
        self.client.update(Customer(id=self.id, last_name="King"))

    def read_and_write(self) -> float:
        """Reads and changes the customer a few times; returns the seconds of the slowest call."""
        slowest = 0.0
        for call in (partial(self.client.get, self.id), self.update) * 5:
            began = time.monotonic()
            call()
            slowest = max(slowest, time.monotonic() - began)
        return slowest


class Hanging:
    """Tenants that update their customers again and again, until `stop`."""

    def __init__(self, tenants: list[Tenant]) -> None:
        self.outcomes: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._ended = in_background([partial(self._update, tenant) for tenant in tenants])

    def stop(self) -> None:
        """Waits until all have ended."""
        self._stopped.set()
        assert [it.exception(SECONDS) for it in self._ended] == [None] * len(self._ended)

    def _update(self, tenant: Tenant) -> None:
        while not self._stopped.is_set():
            outcome = "served"
            try:
                tenant.update()
            except grpc.RpcError as error:
                outcome = read_failure(error).reason
            self.outcomes[outcome] += 1
            self._stopped.wait(0.2)


def locked(ask: Ask, tenants: str) -> Callable[[], object]:
    """Has changes of some tenants' customers wait until what is returned is called."""
    ask("BEGIN")
    ask(f"SELECT FROM customer WHERE tenant LIKE '{tenants}' FOR UPDATE")
    return partial(ask, "ROLLBACK")


def test_others_beside_tenants_that_hang(
    server: InProcessServer, ask: Ask, metrics_port: int
) -> None:
    """Beside many tenants whose calls hang others are served, and those are told soon."""
    hung = [Tenant(server, f"hung-{it}") for it in range(HUNG)]
    others = [Tenant(server, f"other-{it}") for it in range(4)]
    unlock = locked(ask, "hung-%")
    hanging = Hanging(hung)
    try:
        wait_until(lambda: waiting(ask) == THREADS)
        for _ in range(3):
            rounds = in_background([tenant.read_and_write for tenant in others])
            assert max(it.result(SECONDS) for it in rounds) < SECONDS
        assert server.is_healthy()
        wait_until(lambda: hanging.outcomes.total() > 2 * HUNG)
        assert hanging.outcomes.keys() == {"SERVICE_UNAVAILABLE"}
        assert all(counted(metrics_port).values())
    finally:
        unlock()
        hanging.stop()
    for tenant in hung:
        wait_until(partial(is_served, tenant))


@pytest.fixture
def slow(ask: Ask) -> Iterator[None]:
    """Has every change of a customer take its time."""
    ask(
        "CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN PERFORM pg_sleep({SLOW_SECONDS}); RETURN NEW; END $$"
    )
    ask("CREATE TRIGGER slow BEFORE UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION take_time()")
    yield
    ask("DROP FUNCTION take_time CASCADE")


def counted(port: int) -> dict[str, float | None]:
    """The calls that were cut and those that were refused, by the metrics."""
    scrape = Scrape(port)
    return {
        it: scrape.value("twc_customer_hanging_calls_total", ending=it) for it in ("cut", "refused")
    }


def updated_by_all(tenants: list[Tenant]) -> list[BaseException | None]:
    """Has each tenant update its customer, at once; returns the failures."""
    return [it.exception(SECONDS) for it in in_background([tenant.update for tenant in tenants])]


@pytest.mark.usefixtures("slow")
def test_slow_database(server: InProcessServer, metrics_port: int) -> None:
    """While the database is slow for all, the calls of no tenant are cut or refused."""
    tenants = [Tenant(server, f"slow-{it}") for it in range(2 * THREADS)]
    for _ in range(2):
        assert updated_by_all(tenants) == [None] * len(tenants)
    assert not any(counted(metrics_port).values())


def open_all_connections(tenants: list[Tenant], ask: Ask) -> None:
    """Has as many tenants as there are connections use one each at the same time."""
    unlock = locked(ask, "stalled-%")
    ended = in_background([tenant.update for tenant in tenants])
    try:
        wait_until(lambda: waiting(ask) == len(tenants))
    finally:
        unlock()
    assert [it.exception(SECONDS) for it in ended] == [None] * len(tenants)


def test_database_that_answers_nothing(
    server: InProcessServer, proxy: Proxy, ask: Ask, metrics_port: int
) -> None:
    """While the database answers nothing, and when it answers again, no call is cut or refused."""
    tenants = [Tenant(server, f"stalled-{it}") for it in range(THREADS)]
    open_all_connections(tenants, ask)
    with proxy.stalled():
        ended = in_background([tenant.update for tenant in tenants])
        until = time.monotonic() + 5 * HANGING_SECONDS
        wait_until(lambda: time.monotonic() > until)
    assert [it.exception(SECONDS) for it in ended] == [None] * THREADS
    assert not any(counted(metrics_port).values())


def is_served(tenant: Tenant) -> bool:
    """Tells whether a tenant's update is made."""
    try:
        tenant.update()
    except grpc.RpcError:
        return False
    return True
