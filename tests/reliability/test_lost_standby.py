"""A standby that is gone while commits wait for it: what callers are told, and what is true."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import psycopg
import pytest

from tests.reliability.calls import (
    POOL,
    SAME_KEY,
    WRITES,
    Call,
    SeededServer,
    assert_unknown,
    each_write,
    remedy_of,
)
from tests.reliability.sessions import Ask, asker
from tests.support import builders, postgres
from tests.support.client import SECONDS, Client
from tests.support.concurrency import in_background
from tests.support.postgres import Server
from tests.support.server_process import wait_until

TIME = 0.5
STATE = "SELECT id, body, deleted_at IS NULL FROM customer ORDER BY id"
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A PostgreSQL server whose settings the tests change."""
    with postgres.own() as server:
        yield server


@pytest.fixture
def url(server: Server) -> str:
    """The URL of an empty database of that server."""
    return server.database()


@pytest.fixture
def ask(url: str) -> Iterator[Ask]:
    """Runs statements whose commits wait for nothing."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = local")
        yield asker(connection)


@pytest.fixture
def service(url: str, tmp_path: Path, ask: Ask) -> Iterator[SeededServer]:
    """A server of that database, which waits for a standby that is gone once it has a customer."""
    settings = {"data_dir": tmp_path, "database_url": url, "database_timeout_seconds": TIME}
    with SeededServer(**settings) as service:
        try:
            lose_standby(ask, "gone")
            yield service
        finally:
            lose_standby(ask, "")


def lose_standby(ask: Ask, name: str) -> None:
    """Has commits wait for a standby with a name, or for none."""
    ask(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    ask("SELECT pg_reload_conf()")
    wait_until(lambda: ask("SHOW synchronous_standby_names") == [(name,)])


@each_write
def test_wait_without_end(service: SeededServer, ask: Ask, call: Call) -> None:
    """A write whose commit waits for the standby has an unknown outcome: it is made later."""
    before = ask(STATE)
    assert_unknown(partial(call, service.client, service.customer), remedy_of(call))
    lose_standby(ask, "")
    wait_until(lambda: ask(STATE) != before)


def test_repeat_with_key(service: SeededServer, ask: Ask) -> None:
    """A create with an Idempotency-Key that waited for the standby is answered by its repeat."""
    client, new = service.client.given(idempotency_key="key"), builders.customer()
    assert_unknown(partial(client.create, new), SAME_KEY)
    lose_standby(ask, "")
    assert client.create(new) == service.client.get_by_email(new.email)


ENDS: dict[str, str] = {"cancelled": "pg_cancel_backend", "terminated": "pg_terminate_backend"}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_end_of_wait(service: SeededServer, ask: Ask, end: str) -> None:
    """Where someone ends the wait of a change, it is not known whether it was made."""
    add = partial(WRITES["AddCustomerAddress"], service.client, service.customer)
    ended(ask, end, partial(assert_unknown, add)).result(SECONDS)
    assert len(service.client.get(service.customer.id).addresses) == 2


def test_create_whose_wait_is_cancelled(service: SeededServer, ask: Ask) -> None:
    """Of a create that the standby may lack it is not known whether it was made."""
    new = builders.customer()
    create = partial(assert_unknown, partial(service.client.create, new))
    ended(ask, ENDS["cancelled"], create).result(SECONDS)
    assert service.client.get_by_email(new.email)


def test_create_whose_wait_is_terminated(service: SeededServer, ask: Ask) -> None:
    """A create whose connection was lost meanwhile is found to be made."""
    new = builders.customer()
    ended(ask, ENDS["terminated"], partial(service.client.create, new)).result(SECONDS)
    assert service.client.get_by_email(new.email)


def test_creates_of_several_tenants(service: SeededServer) -> None:
    """Creates that keep all connections waiting, and are cut, are not told to be made."""
    clients = [Client(service.channel, f"tenant-{it}") for it in range(POOL)]
    creates = [partial(client.create, builders.customer()) for client in clients]
    told = in_background([partial(assert_unknown, create) for create in creates])
    assert [it.exception(SECONDS) for it in told] == [None] * POOL


def ended(ask: Ask, end: str, call: Callable[[], object]) -> Future[object]:
    """Makes a call, and ends its wait for the standby."""
    [outcome] = in_background([call])
    wait_until(lambda: bool(ask(WAITING)))
    for [process] in ask(WAITING):
        ask(f"SELECT {end}({process})")
    return outcome
