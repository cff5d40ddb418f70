"""A database that takes everything and answers nothing: no call waits longer than its time."""

from functools import partial

import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.reliability.calls import (
    CALLS,
    POOL,
    READS,
    Open,
    Serve,
    assert_all_unavailable,
    assert_unavailable,
    assert_unknown,
    assert_whole,
    selectable,
    wait_served,
)
from tests.reliability.proxy import Proxy
from tests.reliability.sessions import Ask
from tests.support import builders
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.server_process import wait_until
from tests.support.stores import insert, stamped
from twc_customer_server.errors import Unavailable
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore

# DATABASE_TIMEOUT_SECONDS, and what a busy machine may take on top of what is right.
TIME = 0.5
SLACK = 4

CHANGES = ("UpdateCustomer", "AddCustomerAddress", "DeleteCustomerByRef")


@pytest.mark.parametrize(("names", "times"), [(READS, 1), (CHANGES, 3)], ids=["reads", "writes"])
def test_stall(serve: Serve, proxy: Proxy, ask: Ask, names: list[str], times: int) -> None:
    """Calls without an answer are UNAVAILABLE in time, and leave threads and pool as they were."""
    service = serve(database_timeout_seconds=TIME, threads=POOL)
    assert_whole(service, ask)
    with proxy.stalled():
        assert_all_unavailable(service, names, times * TIME + SLACK)
        assert service.is_healthy()
    wait_served(service)
    assert_whole(service, ask)


def test_stall_of_repeatable_write(serve: Serve, proxy: Proxy) -> None:
    """A write that may be repeated has no more time than one that may not."""
    service = serve(database_timeout_seconds=TIME)
    client = service.client.given(idempotency_key="key-1")
    with proxy.stalled():
        assert_unavailable(lambda: client.create(builders.customer()), 3 * TIME + SLACK)


def test_stall_of_upload(opened: Open, proxy: Proxy) -> None:
    """A list without an answer is Unavailable after twelve times the time of a read."""
    store = CustomerStore(opened(seconds=0.2))
    with proxy.stalled():
        [told] = in_background([lambda: store.insert_each("acme", [stamped()])])
        assert isinstance(told.exception(12 * 0.2 + SLACK), Unavailable)


def test_short_stall(serve: Serve, proxy: Proxy) -> None:
    """Calls whose answers come late, but in time, are served."""
    service = serve()
    with proxy.stalled():
        calls = [partial(call, service.client, service.customer) for call in READS.values()]
        outcomes = in_background(calls)
        wait_until(lambda: proxy.held > 0)
    assert [it.exception(SECONDS) for it in outcomes] == [None] * len(calls)


def test_slow_database(serve: Serve, proxy: Proxy) -> None:
    """Calls are served although every answer of the database is late."""
    service = serve()
    proxy.delay = 0.02
    for name, call in CALLS.items():
        call(service.client, service.client.create(selectable(name)))


def test_mute_commit(serve: Serve, proxy: Proxy, ask: Ask) -> None:
    """A change whose commit is not answered in time is not made again, but told as unknown."""
    service = serve(database_timeout_seconds=TIME)
    proxy.mute("^COMMIT")
    add = partial(CALLS["AddCustomerAddress"], service.client, service.customer)
    assert_unknown(add, seconds=3 * TIME + SLACK)
    assert proxy.count('^UPDATE "customer"') == 1
    proxy.cut()
    assert_whole(service, ask)


def test_mute_connections(opened: Open, proxy: Proxy) -> None:
    """Connections that are mute from the first do not keep a pool from opening others."""
    store = CustomerStore(opened(seconds=TIME))
    customer = insert(store, "acme")
    proxy.mute("pg_backend_pid", times=3)
    proxy.cut()
    with pytest.raises(Unavailable):
        store.get("acme", Key.id(customer.id))
    wait_until(lambda: is_served(store, customer))


def is_served(store: CustomerStore, customer: Customer) -> bool:
    """Tells whether a store has a customer, or at least an answer."""
    try:
        return store.get("acme", Key.id(customer.id)) == customer.SerializeToString()
    except Unavailable:
        return False
