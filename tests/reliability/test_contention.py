"""Transactions that get in each other's way (40001, 40P01) run again, as a whole."""

import threading
from functools import partial

import pytest
from google.rpc import code_pb2
from twc.customer.v2.customer_pb2 import Customer

from tests.reliability.calls import CALLS, Open, Serve, assert_clean, assert_unavailable
from tests.reliability.proxy import Proxy
from tests.reliability.sessions import Ask, alter, hasten_deadlocks, locked_rows, stored, waiting
from tests.support import builders
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.server_process import wait_until
from tests.support.stores import insert
from twc_customer_server.errors import Unavailable
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore

COUNT = "UPDATE customer SET modified_at = modified_at + 1 WHERE id = %(id)s"
STATEMENTS = ["^SELECT .* FOR UPDATE", "^UPDATE", "^COMMIT"]


def test_serializable_database(serve: Serve, proxy: Proxy, ask: Ask) -> None:
    """Where transactions must be serializable, changes that met are all made, each once."""
    alter(ask, "SET default_transaction_isolation = serializable")
    service = serve()
    cities = ["Berlin", "Paris", "Rome"]
    adds = [
        partial(service.client.add_address, service.customer.id, builders.address(city=city))
        for city in cities
    ]
    with locked_rows(ask):
        outcomes = in_background(adds)
        wait_until(lambda: waiting(ask) == len(cities))
    assert [it.exception(SECONDS) for it in outcomes] == [None] * len(cities)
    now = service.client.get(service.customer.id)
    assert sorted(it.city for it in now.addresses[1:]) == cities
    assert proxy.count("^BEGIN") > len(cities)
    assert_clean(ask)


def test_deadlock(opened: Open, ask: Ask) -> None:
    """Of two units of work that wait for each other both are done, one of them again."""
    hasten_deadlocks(ask)
    database = opened()
    store = CustomerStore(database)
    places = [insert(store, "acme").id for _ in range(2)]
    ask("UPDATE customer SET modified_at = 0")
    both = threading.Barrier(2)
    begun: list[str] = []

    def unit(first: str, second: str) -> None:
        database.run(COUNT, {"id": first})
        begun.append(first)
        if begun.count(first) == 1:
            both.wait(SECONDS)
        database.run(COUNT, {"id": second})

    units = [partial(unit, *order) for order in (places, reversed(places))]
    outcomes = in_background([partial(database.write, it) for it in units])
    assert [it.exception(SECONDS) for it in outcomes] == [None] * 2
    assert len(begun) == 3
    assert stored(ask, "modified_at") == [2, 2]


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_change(store: CustomerStore, proxy: Proxy, sqlstate: str, statement: str) -> None:
    """A change that others got in the way of is made again, from what is stored, and once."""
    customer = insert(store, "acme", addresses=[builders.address()])
    proxy.fail(statement, sqlstate, times=2)
    begun = proxy.count("^BEGIN")
    seen = []

    def edit(given: Customer) -> None:
        seen.append(given.SerializeToString())
        given.addresses.add(city="Paris")

    changed = store.change("acme", Key.id(customer.id), edit)
    assert set(seen) == {customer.SerializeToString()}
    assert proxy.count("^BEGIN") == begun + 3
    assert [it.city for it in Customer.FromString(changed).addresses] == ["Berlin", "Paris"]
    assert store.get("acme", Key.id(customer.id)) == changed


@pytest.mark.parametrize("statement", STATEMENTS)
def test_update(serve: Serve, proxy: Proxy, statement: str) -> None:
    """An update that is made again changes what it would have changed at once."""
    service = serve()
    addresses = [builders.address(), builders.address(city="Paris", default_address=True)]
    given = builders.customer(first_name="Ada", addresses=addresses)
    changes = Customer(last_name="King", addresses=[*addresses, builders.address(city="Rome")])
    outcomes = []
    for is_hindered in (False, True):
        stored = service.client.create(given)
        if is_hindered:
            proxy.fail(statement, "40001", times=2)
        changes.id = stored.id
        changed = service.client.update(changes)
        assert service.client.get(stored.id) == changed
        outcomes.append(without_identity(changed))
        service.client.delete(stored.id)
    assert outcomes[0] == outcomes[1]


def without_identity(customer: Customer) -> Customer:
    """What customers have in common that were given the same."""
    plain = Customer()
    plain.CopyFrom(customer)
    for name in ("id", "created_date", "last_modified_date"):
        plain.ClearField(name)
    for address in (*plain.addresses, plain.default_address):
        address.ClearField("id")
        address.ClearField("customer_id")
    return plain


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_contention_without_end(serve: Serve, proxy: Proxy, ask: Ask, sqlstate: str) -> None:
    """A change that others always get in the way of is UNAVAILABLE after a few tries."""
    service = serve()
    proxy.fail("^UPDATE", sqlstate, times=100)
    assert_unavailable(partial(CALLS["UpdateCustomer"], service.client, service.customer))
    assert 1 < proxy.count('^UPDATE "customer"') < 10
    assert_clean(ask)


def test_pauses(store: CustomerStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between tries grow, and differ from call to call, so that one comes first."""
    customer = insert(store, "acme")
    proxy.fail("^UPDATE", "40001", times=100)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        if threading.current_thread() is threading.main_thread():
            pauses.append(seconds)

    monkeypatch.setattr("twc_customer_server.storage.postgres.time.sleep", sleep)
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.change("acme", Key.id(customer.id), Customer.Clear)
    first, second = pauses[: len(pauses) // 2], pauses[len(pauses) // 2 :]
    assert first == sorted(first)
    assert second == sorted(second)
    assert set(first).isdisjoint(second)


def test_crossing_uploads(serve: Serve, ask: Ask) -> None:
    """Of lists of the same values in opposite orders each value is stored once, and none fails."""
    hasten_deadlocks(ask)
    uploads = 8
    service = serve(database_pool_size=uploads, threads=2 * uploads)
    emails = [builders.new_email() for _ in range(40)]
    lists = [[Customer(email=email) for email in emails[:: (-1) ** it]] for it in range(uploads)]
    outcomes = in_background([partial(service.client.upload, customers) for customers in lists])
    results = [result for it in outcomes for result in it.result(SECONDS)]
    created = [it.customer.email for it in results if it.HasField("customer")]
    assert sorted(created) == sorted(emails)
    errors = {it.error.code for it in results if it.HasField("error")}
    assert errors == {code_pb2.ALREADY_EXISTS}
    assert sorted(stored(ask, "email_key")) == sorted([*emails, service.customer.email])
