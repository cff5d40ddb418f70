"""A write that may have been committed, or not: its caller is told so, and what to do."""

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.reliability.calls import (
    SAME_KEY,
    WRITES,
    Call,
    Open,
    Serve,
    assert_unavailable,
    assert_unknown,
    each_write,
    prepared,
    remedy_of,
)
from tests.reliability.proxy import Proxy
from tests.reliability.sessions import Ask, stored
from tests.support import builders
from tests.support.server_process import wait_until
from tests.support.stores import insert, stamped
from twc_customer_server.errors import OutcomeUnknown
from twc_customer_server.storage.idempotency import IdempotencyStore, IdempotentRequest
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore, Precondition
from twc_customer_server.storage.upserts import Unchanged

TIME = 0.5
SLACK = 4

Lose = Callable[[Proxy, str], None]

# The statements that commit, of writes that are one statement and of others.
STATEMENTS = {
    WRITES["CreateCustomer"]: '^INSERT INTO "customer"',
    WRITES["DeleteCustomer"]: '^UPDATE "customer"',
}
COMMIT = "^COMMIT"
LOSSES: dict[str, Lose] = {
    "before": Proxy.cut_before,
    "after": Proxy.cut_after,
}
each_loss = pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
# A batch of an import, and an erasure, can be repeated without a key.
UNKEYED = {"ImportCustomers", "EraseCustomer"}
KEYED = {name: call for name, call in WRITES.items() if name not in UNKEYED}
# The database ends an idle transaction while there is time to do these again.
AGAIN = {"DeleteCustomerByRef", "EraseCustomer", "MergeCustomers"}
MUTE = {name: call for name, call in WRITES.items() if name not in AGAIN}
each_mute = pytest.mark.parametrize("call", MUTE.values(), ids=MUTE)
each_keyed = pytest.mark.parametrize("call", KEYED.values(), ids=KEYED)

# All that is stored of customers, deleted ones too, but for what differs with each write.
STATE = "SELECT id, body, deleted_at IS NULL FROM customer ORDER BY id"


def refuse(proxy: Proxy) -> None:
    """Refuses connections that come from now on, so that nothing is found out by another one."""
    proxy.deny("57P03", "the database system is shutting down")


@each_loss
@each_write
def test_lost_for_good(serve: Serve, proxy: Proxy, ask: Ask, call: Call, lose: Lose) -> None:
    """A write that is lost while it is committed, with the database, has an unknown outcome."""
    service = serve(database_pool_size=1, database_timeout_seconds=TIME)
    act = prepared(call, service)
    before = ask(STATE)
    refuse(proxy)
    lose(proxy, STATEMENTS.get(call, COMMIT))
    assert_unknown(act, remedy_of(call))
    assert (ask(STATE) != before) == (lose is LOSSES["after"])


@each_mute
def test_mute(serve: Serve, proxy: Proxy, call: Call) -> None:
    """A write whose commit is not answered in time has an unknown outcome."""
    service = serve(database_timeout_seconds=TIME)
    act = prepared(call, service)
    proxy.mute(STATEMENTS.get(call, COMMIT))
    times = 12 if call in (WRITES["UploadCustomers"], WRITES["ImportCustomers"]) else 3
    assert_unknown(act, remedy_of(call), times * TIME + SLACK)


@pytest.mark.parametrize("statement", ["^BEGIN", "^SELECT .* FOR UPDATE"])
def test_lost_before(serve: Serve, proxy: Proxy, ask: Ask, statement: str) -> None:
    """A write that is lost, with the database, before its commit was not made, and may be tried."""
    service = serve(database_pool_size=1, database_timeout_seconds=TIME)
    before = ask(STATE)
    refuse(proxy)
    proxy.cut_after(statement)
    assert_unavailable(
        partial(WRITES["UpdateCustomer"], service.client, service.customer), TIME * 3 + SLACK
    )
    assert ask(STATE) == before


@each_loss
@each_keyed
def test_repeat_with_key(serve: Serve, proxy: Proxy, ask: Ask, call: Call, lose: Lose) -> None:
    """A write with an Idempotency-Key may be repeated after that, and is made once."""
    service = serve(database_pool_size=1, database_timeout_seconds=TIME)
    client = service.client.given(idempotency_key="key-1")
    # A repeat is the same request.
    new = builders.customer()
    acts: dict[Call, Callable[[], object]] = {
        WRITES["CreateCustomer"]: lambda: client.create(new),
        WRITES["UploadCustomers"]: lambda: client.upload([new]),
    }
    act = acts.get(call) or prepared(call, service, client)
    refuse(proxy)
    lose(proxy, COMMIT)
    assert_unknown(act, SAME_KEY)
    after_first = ask(STATE)
    proxy.denial = None
    wait_until(lambda: succeeds(act))
    after_second = ask(STATE)
    act()
    assert ask(STATE) == after_second
    assert (after_first == after_second) == (lose is LOSSES["after"])


def succeeds(act: Callable[[], object]) -> bool:
    """Tells whether a call succeeds, which the database may still refuse."""
    try:
        act()
    except Exception:  # noqa: BLE001 - it may be any
        return False
    return True


def rename(store: CustomerStore, customer: Customer) -> None:
    """Changes the e-mail address of a stored customer."""
    store.change("acme", Key.id(customer.id), lambda it: setattr(it, "email", "other@example.com"))


def delete(store: CustomerStore, customer: Customer) -> None:
    """Deletes a stored customer."""
    store.delete("acme", Key.id(customer.id), 1)


def replace(
    store: CustomerStore, customer: Customer, remove: Callable[[CustomerStore, Customer], None]
) -> None:
    """Gives the e-mail address of a stored customer to another one."""
    remove(store, customer)
    insert(store, "acme", email=customer.email)


Interlude = Callable[[CustomerStore, Customer], object]

# What others may do to a new customer before the server finds out that it was stored.
INTERLUDES: dict[str, Interlude] = {
    "nothing": lambda *_: None,
    "change": rename,
    "deletion": delete,
    "change, and its address for another": lambda store, it: replace(store, it, rename),
    "deletion, and its address for another": lambda store, it: replace(store, it, delete),
}
each_interlude = pytest.mark.parametrize("interlude", INTERLUDES.values(), ids=INTERLUDES)


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has the test act, once, before its write is tried again."""

    def set_act(act: Callable[[], object]) -> None:
        pending = [act]

        def sleep(seconds: float) -> None:
            if threading.current_thread() is threading.main_thread() and pending:
                pending.pop()()
            original(seconds)

        monkeypatch.setattr("twc_customer_server.storage.postgres.time.sleep", sleep)

    original = time.sleep
    return set_act


Between = Callable[[Callable[[], object]], None]


@each_interlude
def test_second_run_of_create(
    opened: Open, proxy: Proxy, between: Between, interlude: Interlude
) -> None:
    """A create that was committed is answered as such, whatever became of the customer since."""
    store, customer = CustomerStore(opened()), stamped()
    proxy.cut_after('^INSERT INTO "customer"')
    between(lambda: interlude(store, customer))
    assert store.insert("acme", customer) == customer.SerializeToString()


@each_interlude
def test_second_run_of_list(
    opened: Open, proxy: Proxy, ask: Ask, between: Between, interlude: Interlude
) -> None:
    """So are the customers of a list, of which those that clash are refused as before."""
    store, customers = CustomerStore(opened()), [stamped(), stamped()]
    clashing = stamped(email=customers[1].email)
    proxy.cut_after(COMMIT)
    between(lambda: interlude(store, customers[0]))
    conflicts = store.insert_each("acme", [*customers, clashing])
    assert [bool(it) for it in conflicts] == [False, False, True]
    assert customers[1].id in stored(ask)


def refuse_other(body: bytes) -> None:
    """Lets only the first customer pass."""
    if Customer.FromString(body).last_name == "Second":
        raise AssertionError


CHECKS: dict[str, Precondition | None] = {"none": None, "an id or a tag": refuse_other}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_second_run_of_deletion(
    opened: Open, proxy: Proxy, between: Between, check: Precondition | None
) -> None:
    """A deletion by reference does not delete who has the reference after the first was deleted."""
    store = CustomerStore(opened())
    first = insert(store, "acme", customer_ref="A-1")
    others: list[Customer] = []
    proxy.cut_after(COMMIT)
    between(lambda: others.append(insert(store, "acme", customer_ref="A-1", last_name="Second")))
    store.delete("acme", Key.ref("A-1"), 1, check)
    [second] = others
    assert store.get("acme", Key.id(first.id)) is None
    assert store.get("acme", Key.ref("A-1")) == second.SerializeToString()


def test_second_run_of_uncommitted_deletion(opened: Open, proxy: Proxy, between: Between) -> None:
    """A deletion that was not committed deletes who has the reference when it runs again."""
    store = CustomerStore(opened())
    first = insert(store, "acme", customer_ref="A-1")
    others: list[Customer] = []

    def move() -> None:
        store.change("acme", Key.id(first.id), lambda it: it.ClearField("customer_ref"))
        others.append(insert(store, "acme", customer_ref="A-1"))

    proxy.cut_before(COMMIT)
    between(move)
    store.delete("acme", Key.ref("A-1"), 1)
    assert store.get("acme", Key.id(first.id))
    assert store.get("acme", Key.id(others[0].id)) is None


@each_loss
def test_changes_of_a_list(opened: Open, proxy: Proxy, lose: Lose) -> None:
    """A list that changes customers is not run again, which might undo what others have changed."""
    store = CustomerStore(opened())
    customer = insert(store, "acme")
    again = stamped(email=customer.email)
    lose(proxy, COMMIT)
    with pytest.raises(OutcomeUnknown):
        store.upsert_each("acme", [again], lambda _, it: Customer(id=it.id, email=it.email))
    proxy.cut()
    assert store.upsert_each("acme", [again], lambda *_: None) == [Unchanged(customer.id)]


def test_second_run_with_key(opened: Open, proxy: Proxy) -> None:
    """What has an Idempotency-Key and was committed is not run again, but has its outcome."""
    database = opened()
    runs: list[int] = []
    proxy.cut_after(COMMIT)

    def act() -> bytes:
        runs.append(1)
        return b"done"

    request = IdempotentRequest("key", b"digest", 1_700_000_000_000)
    assert IdempotencyStore(database).run_idempotent("acme", request, act) == b"done"
    assert runs == [1]
