"""A connection that is lost while a call runs: what is safe is done again, the rest is told."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from psycopg import OperationalError

from tests.reliability.calls import (
    CALLS,
    POOL,
    WRITES,
    Call,
    Open,
    Serve,
    assert_clean,
    assert_unknown,
    assert_whole,
    each_read,
    each_write,
)
from tests.reliability.proxy import Proxy
from tests.reliability.sessions import Ask, locked_table, processes, stored, waiting
from tests.support import builders
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.server_process import wait_until
from tests.support.stores import insert, stamped
from twc_customer_server import contract
from twc_customer_server.contract import SERVICE
from twc_customer_server.errors import Unavailable
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore

# When a connection is cut: before the server has got a statement, or after it has run it.
CUTS: dict[str, Callable[[Proxy, str], None]] = {
    "before": Proxy.cut_before,
    "after": Proxy.cut_after,
}
each_cut = pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
TERMINATE = "SELECT pg_terminate_backend(pg_backend_pid())"


def test_list_of_calls() -> None:
    """The calls of these tests are those of the service, but for reads that number changes."""
    numbering = {"ListCustomerChanges", "WatchCustomers"}
    assert CALLS.keys() | numbering == {method.name for method in SERVICE.methods}


def test_list_of_writes() -> None:
    """The calls that the gateway must not repeat are the writes, but for imports."""
    repeatable = {*contract.REPEATABLE_RPCS} - {"ImportCustomers"}
    assert WRITES.keys() == {method.name for method in SERVICE.methods} - repeatable


@each_read
def test_reads_in_flight(serve: Serve, proxy: Proxy, ask: Ask, call: Call) -> None:
    """Reads that the database has while every connection is cut are answered on new ones."""
    service = serve()
    with locked_table(ask):
        reads = in_background([partial(call, service.client, service.customer)] * POOL)
        wait_until(lambda: waiting(ask) == POOL)
        proxy.cut()
    assert [read.exception(SECONDS) for read in reads] == [None] * POOL
    assert_whole(service, ask)


@each_write
def test_idle_connections(serve: Serve, proxy: Proxy, ask: Ask, call: Call) -> None:
    """A call is served although all connections of a pool were cut, more than it has tries."""
    service = serve(database_pool_size=12, threads=12)
    assert_whole(service, ask, 12)
    proxy.cut()
    call(service.client, service.customer)


@each_read
def test_terminated_sessions(serve: Serve, ask: Ask, call: Call) -> None:
    """A call is served although the database has ended all sessions (57P01)."""
    service = serve()
    assert_whole(service, ask)
    ended = processes(ask)
    for process in ended:
        ask(f"SELECT pg_terminate_backend({process})")
    wait_until(lambda: not ended & processes(ask))
    call(service.client, service.customer)


@each_cut
def test_insertion(serve: Serve, proxy: Proxy, ask: Ask, cut: Callable[[Proxy, str], None]) -> None:
    """A customer whose insertion was lost is created, once, and its answer says so."""
    service = serve()
    cut(proxy, "^INSERT")
    created = service.client.create(builders.customer())
    assert service.client.headers["x-http-code"] == "201"
    assert service.client.get(created.id) == created
    assert stored(ask) == [service.customer.id, created.id]


@pytest.mark.parametrize("statement", ["^BEGIN", "^INSERT", "^COMMIT"])
@each_cut
def test_upload(
    serve: Serve,
    proxy: Proxy,
    ask: Ask,
    cut: Callable[[Proxy, str], None],
    statement: str,
) -> None:
    """A list whose insertion was lost is stored once, and its results are as they would be."""
    service = serve()
    cut(proxy, statement)
    given = [builders.customer() for _ in range(3)]
    clashing = [builders.customer(email=given[0].email), service.customer]
    results = service.client.upload([*given, *clashing])
    created = [it.customer for it in results if it.HasField("customer")]
    assert [it.email for it in created] == [it.email for it in given]
    owners = [it.error.details[0].value.decode() for it in results if it.HasField("error")]
    assert created[0].id in owners[0]
    assert service.customer.id in owners[1]
    assert stored(ask) == sorted([service.customer.id, *(it.id for it in created)])


@pytest.mark.parametrize(("cut", "added"), [(Proxy.cut_before, 0), (Proxy.cut_after, 1)])
def test_commit_of_change(
    serve: Serve, proxy: Proxy, ask: Ask, cut: Callable[[Proxy, str], None], added: int
) -> None:
    """A change whose commit was lost is not made again; its caller is told that it is unknown."""
    service = serve()
    cut(proxy, "^COMMIT")
    add = partial(service.client.add_address, service.customer.id, builders.address())
    assert_unknown(add)
    assert proxy.count('^UPDATE "customer"') == 1
    assert len(service.client.get(service.customer.id).addresses) == 1 + added
    assert_clean(ask)


@each_cut
def test_commit_of_repeatable_change(
    serve: Serve, proxy: Proxy, cut: Callable[[Proxy, str], None]
) -> None:
    """A change with an Idempotency-Key whose commit was lost is answered, and made once."""
    service = serve()
    client = service.client.given(idempotency_key="key-1")
    cut(proxy, "^COMMIT")
    changed = client.add_address(service.customer.id, builders.address())
    assert len(changed.addresses) == 2
    assert service.client.get(service.customer.id) == changed


@pytest.mark.parametrize("sqlstate", ["57P01", "08006", "08007", "40003"])
def test_commit_with_word_of_loss(serve: Serve, proxy: Proxy, sqlstate: str) -> None:
    """A change is not made again, either, where the loss of its commit is an answer."""
    service = serve()
    proxy.fail("^COMMIT", sqlstate)
    update = partial(CALLS["UpdateCustomer"], service.client, service.customer)
    assert_unknown(update)
    assert proxy.count('^UPDATE "customer"') == 1


@pytest.mark.parametrize("statement", ["^BEGIN", "^SELECT .* FOR UPDATE", "^UPDATE"])
@each_cut
def test_change(
    serve: Serve,
    proxy: Proxy,
    ask: Ask,
    cut: Callable[[Proxy, str], None],
    statement: str,
) -> None:
    """A change that is lost before its commit is made again as a whole, and so once."""
    service = serve()
    cut(proxy, statement)
    changed = service.client.add_address(service.customer.id, builders.address())
    assert len(changed.addresses) == 2
    assert service.client.get(service.customer.id) == changed
    assert_clean(ask)


@each_cut
def test_deletion(serve: Serve, proxy: Proxy, ask: Ask, cut: Callable[[Proxy, str], None]) -> None:
    """A deletion that was lost is answered as made, and it is."""
    service = serve()
    cut(proxy, "^UPDATE")
    service.client.delete_by_ref("A-1", service.customer.id)
    assert service.client.headers["x-http-code"] == "204"
    assert stored(ask) == []


@pytest.mark.parametrize("statement", ["^INSERT", "^SELECT .* FROM", "^UPDATE"])
def test_terminated_session(serve: Serve, proxy: Proxy, statement: str) -> None:
    """What the database ended a session for, as it shuts down, is done again on another."""
    service = serve()
    proxy.run_instead(statement, TERMINATE)
    created = service.client.create(builders.customer())
    assert len(service.client.add_address(created.id, builders.address()).addresses) == 1


def test_loss_hidden_by_a_unit(opened: Open, proxy: Proxy) -> None:
    """A unit of work that goes on after its connection was lost is not taken for committed."""
    database = opened()
    store = CustomerStore(database)
    customer = stamped()
    proxy.cut_before("^SELECT 1")

    def unit() -> None:
        store.insert("acme", customer)
        with suppress(OperationalError):
            database.rows("SELECT 1", {})

    database.write(unit)
    assert store.get("acme", Key.id(customer.id))


def test_loss_without_end(store: CustomerStore, proxy: Proxy) -> None:
    """What every connection is lost for is Unavailable after a few tries."""
    customer = insert(store, "acme")
    proxy.cut_before("^SELECT .* FROM", times=100)
    before = proxy.count("^SELECT .* FROM")
    with pytest.raises(Unavailable):
        store.get("acme", Key.id(customer.id))
    assert 1 < proxy.count("^SELECT .* FROM") - before < 10
