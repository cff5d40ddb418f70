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
from tests.support.server_process import wait_until
from tests.support.servers import Server

THREADS = 8
# More than there are threads, several times over.
HUNG = 40
# A call that nobody ends hangs for longer than all that the tests allow to others.
TIMEOUT = 2 * SECONDS


@pytest.fixture
def server(proxy: Proxy) -> Iterator[InProcessServer]:
    """A server with as many connections as threads."""
    with Server(
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


def test_others_beside_tenants_that_hang(server: InProcessServer, ask: Ask) -> None:
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
    finally:
        unlock()
        hanging.stop()
    for tenant in hung:
        wait_until(partial(is_served, tenant))


def is_served(tenant: Tenant) -> bool:
    """Tells whether a tenant's update is made."""
    try:
        tenant.update()
    except grpc.RpcError:
        return False
    return True
