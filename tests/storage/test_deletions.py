"""Deleted customers are restored with all they had; of erased ones nothing is left."""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.support.builders import UNKNOWN_ID
from tests.support.concurrency import at_once
from tests.support.stores import FULL, READS, insert, only, stamped
from tests.support.traces import marked, rows_with
from twc_customer_server.errors import AlreadyExists, Clash, IdMismatch, NotDeleted, NotFound
from twc_customer_server.storage.changes import ChangePlace, ChangeStore
from twc_customer_server.storage.database import Database, Parameters, Row
from twc_customer_server.storage.deletions import DeletionStore
from twc_customer_server.storage.idempotency import IdempotencyStore, IdempotentRequest
from twc_customer_server.storage.retention import RetentionPurge
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.store import CustomerStore
from twc_customer_server.storage.stores import Stores

NOW = 4_000_000_000_000
DAY = 24 * 60 * 60 * 1000
SECONDS = 20


@pytest.fixture
def deletions(database: Database) -> DeletionStore:
    """The deleted customers of the shared database."""
    return Stores.of(database).deletions


@pytest.fixture
def changes(database: Database) -> ChangeStore:
    """The changes of the shared database."""
    return ChangeStore(database)


@pytest.fixture
def idempotency(database: Database) -> IdempotencyStore:
    """The kept answers of the shared database."""
    return IdempotencyStore(database)


def times(database: Database, tenant: str, customer_id: str) -> dict[str, Any]:
    """The times of a customer's row, deleted or erased or not."""
    columns = ("created_at", "modified_at", "deleted_at", "erased_at")
    sql = f"SELECT {', '.join(columns)} FROM customer WHERE tenant = {{}} AND id = {{}}"  # noqa: S608
    one = [database.named_parameter.format(name) for name in ("tenant", "id")]
    [row] = database.rows(sql.format(*one), {"tenant": tenant, "id": customer_id})
    return dict(zip(columns, row, strict=True))


def keep(customer: Customer) -> Callable[[], bytes]:
    """An action whose kept result is a customer."""
    return customer.SerializeToString


def unchanged(_: Customer) -> None:
    """Leaves a restored customer as it is."""


# What may become of a customer before it is erased.
BEFORE: dict[str, Callable[[CustomerStore, str, str], None]] = {
    "live": lambda *_: None,
    "deleted": lambda store, tenant, it: store.delete(tenant, Key.id(it), NOW),
}


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_erase(
    database: Database,
    store: CustomerStore,
    deletions: DeletionStore,
    tenant: str,
    before: Callable[[CustomerStore, str, str], None],
) -> None:
    """No row of any table has a text of an erased customer, or what was answered with it."""
    mark = f"canary{tenant.replace('-', '')}"
    customer, other = marked(mark), insert(store, tenant)
    store.insert(tenant, customer)
    for key, ids in {f"{mark}-1": [customer.id], f"{mark}-n": [other.id, customer.id]}.items():
        request = IdempotentRequest(key, mark.encode(), NOW)
        idempotency = IdempotencyStore(database)
        idempotency.run_idempotent(tenant, request, keep(customer), lambda ids=ids: ids)  # type: ignore[misc]
    before(store, tenant, customer.id)
    assert len(rows_with(database, mark)) == 3

    deletions.erase(tenant, customer.id, NOW + 1)

    assert rows_with(database, mark) == []
    assert times(database, tenant, customer.id)["erased_at"] == NOW + 1
    assert store.get(tenant, Key.id(other.id)) == other.SerializeToString()


def test_reads_of_erased_customer(
    store: CustomerStore, deletions: DeletionStore, tenant: str
) -> None:
    """An erased customer is not come upon, and another may have all its values."""
    erased = insert(store, tenant, **FULL)
    deletions.erase(tenant, erased.id, NOW)
    assert [name for name, read in READS.items() if read(store, tenant, erased)] == []
    again = insert(store, tenant, **FULL)
    assert store.get(tenant, Key.ref("A-1")) == again.SerializeToString()


def test_other_answers(
    store: CustomerStore, deletions: DeletionStore, idempotency: IdempotencyStore, tenant: str
) -> None:
    """Answers without the erased customer, of other tenants and of nobody, are still kept."""
    erased, other = insert(store, tenant), insert(store, tenant)
    kept = {
        (tenant, "other"): [other.id],
        (tenant, "others"): [other.id, UNKNOWN_ID],
        (tenant, "nobody"): [],
        (f"{tenant}-foreign", "same"): [erased.id],
    }
    for (owner, key), ids in kept.items():
        request = IdempotentRequest(key, b"", NOW)
        idempotency.run_idempotent(owner, request, key.encode, lambda ids=ids: ids)  # type: ignore[misc]

    deletions.erase(tenant, erased.id, NOW)

    for owner, key in kept:
        again = idempotency.run_idempotent(owner, IdempotentRequest(key, b"", NOW), bytes)
        assert again == key.encode()


def test_answers_before_upgrade(
    database: Database, deletions: DeletionStore, idempotency: IdempotencyStore, tenant: str
) -> None:
    """An answer of which it is not known whom it has is dropped with any customer of the tenant."""
    store = CustomerStore(database)
    erased = insert(store, tenant)
    request = IdempotentRequest("old", b"", NOW)
    idempotency.run_idempotent(tenant, request, lambda: b"old", lambda: ["*"])
    deletions.erase(tenant, erased.id, NOW)
    assert idempotency.run_idempotent(tenant, request, lambda: b"new") == b"new"


def test_change_of_erasure(
    store: CustomerStore, deletions: DeletionStore, changes: ChangeStore, tenant: str
) -> None:
    """An erasure is a change, also of a customer whose deletion was read already."""
    live, deleted = insert(store, tenant), insert(store, tenant)
    store.delete(tenant, Key.id(deleted.id), NOW)
    seen = changes.read(tenant, ChangePlace(), 10)
    for each in (live, deleted):
        deletions.erase(tenant, each.id, NOW + DAY)

    found = changes.read(tenant, seen[-1].place, 10)

    assert {(it.place.id, it.deleted_at, it.body) for it in found} == {
        (live.id, NOW + DAY, b""),
        (deleted.id, NOW, b""),
    }
    deletions.erase(tenant, live.id, NOW + DAY)
    deletions.erase(tenant, UNKNOWN_ID, NOW + DAY)
    assert changes.read(tenant, found[-1].place, 10) == []


def test_times_of_erasure(
    database: Database, store: CustomerStore, deletions: DeletionStore, tenant: str
) -> None:
    """An erasure has a later time than the change before, and leaves that of the deletion."""
    live, deleted = insert(store, tenant), insert(store, tenant)
    store.delete(tenant, Key.id(deleted.id), NOW)
    modified = live.last_modified_date.ToMilliseconds()
    for each in (live, deleted):
        deletions.erase(tenant, each.id, 5)

    assert times(database, tenant, live.id) == dict.fromkeys(
        ("created_at", "modified_at", "deleted_at", "erased_at"), modified + 1
    )
    assert times(database, tenant, deleted.id) == {
        "created_at": NOW,
        "modified_at": NOW + 1,
        "deleted_at": NOW,
        "erased_at": NOW + 1,
    }


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_precondition_of_erasure(
    database: Database,
    store: CustomerStore,
    deletions: DeletionStore,
    tenant: str,
    before: Callable[[CustomerStore, str, str], None],
) -> None:
    """A customer that a check refuses is not erased."""
    customer = insert(store, tenant)
    before(store, tenant, customer.id)
    with pytest.raises(IdMismatch):
        deletions.erase(tenant, customer.id, NOW, only(UNKNOWN_ID))
    assert times(database, tenant, customer.id)["erased_at"] is None
    deletions.erase(tenant, customer.id, NOW, only(customer.id))
    assert times(database, tenant, customer.id)["erased_at"]


def keep_answer(
    idempotency: IdempotencyStore, tenant: str, ids: list[str], at: int = NOW
) -> Callable[[], bool]:
    """Keeps an answer that has some customers; returns what tells whether it is kept."""
    request = IdempotentRequest(f"{at} {ids}", b"", at)
    idempotency.run_idempotent(tenant, request, lambda: b"kept", lambda: ids)
    return lambda: idempotency.run_idempotent(tenant, request, lambda: b"anew") == b"kept"


@pytest.mark.parametrize("number", [1, 2, 5])
def test_answers_of_erased_customer(
    store: CustomerStore,
    deletions: DeletionStore,
    idempotency: IdempotencyStore,
    tenant: str,
    number: int,
) -> None:
    """The answers that have a customer are dropped with it, and others are kept."""
    now = int(time.time() * 1000)
    mine, others = ([insert(store, tenant).id for _ in range(number)] for _ in range(2))
    kept = [keep_answer(idempotency, tenant, ids, now) for ids in (mine, others)]
    deletions.erase(tenant, mine[-1], NOW)
    assert [is_kept() for is_kept in kept] == [False, True]


def test_answers_of_other_times(
    database: Database,
    store: CustomerStore,
    idempotency: IdempotencyStore,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An erasure reads no answers of many customers that were created at another time."""
    customer = insert(store, tenant)
    for day in range(3):
        keep_answer(idempotency, tenant, [UNKNOWN_ID] * 5, NOW + day * DAY)
    rows, read = database.rows, []

    def recorded(sql: str, parameters: Parameters) -> list[Row]:
        found = rows(sql, parameters)
        read.extend(found)
        return found

    monkeypatch.setattr(database, "rows", recorded)
    Stores.of(database).deletions.erase(tenant, customer.id, NOW)
    assert [row[-1] for row in read] == [customer.SerializeToString()]


def test_erasure_of_other_tenant(
    store: CustomerStore, deletions: DeletionStore, tenant: str
) -> None:
    """Nobody erases or restores another tenant's customer."""
    customer = insert(store, tenant)
    deletions.erase(f"{tenant}-foreign", customer.id, NOW)
    assert store.get(tenant, Key.id(customer.id)) == customer.SerializeToString()
    store.delete(tenant, Key.id(customer.id), NOW)
    with pytest.raises(NotFound):
        deletions.restore(f"{tenant}-foreign", customer.id, unchanged)


def test_erasure_with_change(
    database: Database, store: CustomerStore, deletions: DeletionStore, tenant: str
) -> None:
    """An erasure that comes while a change is stored erases what that has made, answer included."""
    mark = f"canary{tenant.replace('-', '')}"
    customer = insert(store, tenant)
    idempotency = IdempotencyStore(database)
    editing, erasing = threading.Event(), threading.Event()

    def edit(stored: Customer) -> None:
        editing.set()
        assert erasing.wait(SECONDS)
        stored.first_name = mark

    def change() -> bytes:
        return store.change(tenant, Key.id(customer.id), edit)

    with ThreadPoolExecutor(2) as threads:
        changed = threads.submit(
            idempotency.run_idempotent,
            tenant,
            IdempotentRequest("change", b"", NOW),
            change,
            lambda: [customer.id],
        )
        assert editing.wait(SECONDS)
        erased = threads.submit(deletions.erase, tenant, customer.id, NOW)
        erasing.set()
        assert mark.encode() in changed.result(SECONDS)
        erased.result(SECONDS)
    assert rows_with(database, mark) == []


def test_restore(
    store: CustomerStore, deletions: DeletionStore, changes: ChangeStore, tenant: str
) -> None:
    """A restored customer is what it was, found by all its values, and is an update to readers."""
    customer = insert(store, tenant, **FULL)
    store.delete(tenant, Key.id(customer.id), NOW)
    seen = changes.read(tenant, ChangePlace(), 10)[-1]
    given: list[Customer] = []

    def edit(stored: Customer) -> None:
        given.append(Customer.FromString(stored.SerializeToString()))
        stored.last_modified_date.FromMilliseconds(NOW + 1)

    body = deletions.restore(tenant, customer.id, edit)

    assert given[0].last_modified_date.ToMilliseconds() == NOW
    customer.last_modified_date.FromMilliseconds(NOW + 1)
    assert body == customer.SerializeToString()
    assert [name for name, read in READS.items() if not read(store, tenant, customer)] == []
    [change] = changes.read(tenant, seen.place, 10)
    assert (change.deleted_at, change.body) == (None, body)
    assert change.created == seen.created


def test_restore_what_is_not_deleted(
    database: Database, store: CustomerStore, deletions: DeletionStore, tenant: str
) -> None:
    """A live customer is not restored, nor one that never was or is erased; none is changed."""
    live, erased = insert(store, tenant), insert(store, tenant)
    deletions.erase(tenant, erased.id, NOW)
    before = times(database, tenant, live.id)
    with pytest.raises(NotDeleted):
        deletions.restore(tenant, live.id, unchanged)
    for customer_id in (erased.id, UNKNOWN_ID):
        with pytest.raises(NotFound):
            deletions.restore(tenant, customer_id, unchanged)
    assert times(database, tenant, live.id) == before


def test_restore_with_taken_values(
    store: CustomerStore, deletions: DeletionStore, tenant: str
) -> None:
    """A customer whose values others have by now is not restored; all of them are named."""
    customer = insert(store, tenant, **FULL)
    store.delete(tenant, Key.id(customer.id), NOW)
    first = insert(store, tenant, email="ada@example.com")
    second = insert(store, tenant, mobile=FULL["mobile"], customer_ref="A-1")
    with pytest.raises(AlreadyExists) as refused:
        deletions.restore(tenant, customer.id, unchanged)
    assert set(refused.value.clashes) == {
        Clash("email", first.id),
        Clash("mobile", second.id),
        Clash("customerRef", second.id),
    }
    for each in (first, second):
        store.delete(tenant, Key.id(each.id), NOW)
    assert deletions.restore(tenant, customer.id, unchanged)


def test_precondition_of_restoration(
    store: CustomerStore, deletions: DeletionStore, tenant: str
) -> None:
    """A customer that a check refuses stays deleted."""
    customer = insert(store, tenant)
    store.delete(tenant, Key.id(customer.id), NOW)
    with pytest.raises(IdMismatch):
        deletions.restore(tenant, customer.id, unchanged, only(UNKNOWN_ID))
    assert store.get(tenant, Key.id(customer.id)) is None


def test_rush_of_restorations(store: CustomerStore, deletions: DeletionStore, tenant: str) -> None:
    """Of two deleted customers with the same value that are restored at once, one is."""
    ids = []
    for _ in range(2):
        ids.append(insert(store, tenant, email="ada@example.com").id)
        store.delete(tenant, Key.id(ids[-1]), NOW)

    def restore(customer_id: str) -> str:
        try:
            deletions.restore(tenant, customer_id, unchanged)
        except AlreadyExists:
            return "refused"
        return "restored"

    outcomes = at_once([lambda it=it: restore(it) for it in ids])  # type: ignore[misc]
    assert sorted(outcomes) == ["refused", "restored"]


def test_retention(
    database: Database, store: CustomerStore, deletions: DeletionStore, tenant: str
) -> None:
    """Customers are erased when the days since their deletion are over, and no others."""
    customers = [insert(store, tenant) for _ in range(4)]
    live, recent, old, oldest = (it.id for it in customers)
    for days, customer_id in ((29, recent), (30, old), (400, oldest)):
        store.delete(tenant, Key.id(customer_id), NOW - days * DAY)

    purge = RetentionPurge(deletions, 30)
    assert tenant in tenants(purge)
    due = NOW - 370 * DAY
    assert purge.due_since(tenant) == due
    assert purge.purge_batch(tenant, due, NOW) == (2, None)

    is_erased = {it: bool(times(database, tenant, it)["erased_at"]) for it in (live, recent)}
    assert is_erased == {live: False, recent: False}
    assert times(database, tenant, old)["erased_at"] == NOW
    assert times(database, tenant, oldest)["erased_at"] == NOW
    assert purge.due_since(tenant) == NOW + DAY
    assert purge.purge_batch(tenant, due, NOW + DAY) == (1, None)
    assert times(database, tenant, recent)["erased_at"] == NOW + DAY
    assert times(database, tenant, old)["erased_at"] == NOW
    assert purge.due_since(tenant) is None
    assert tenant not in tenants(purge)


def tenants(purge: RetentionPurge) -> list[str]:
    """All tenants with something to purge."""
    found: list[str] = []
    while tenant := purge.next_tenant(found[-1] if found else ""):
        found.append(tenant)
    return found


def test_retention_in_batches(
    database: Database, store: CustomerStore, deletions: DeletionStore, tenant: str
) -> None:
    """Many deleted customers are erased in several transactions, the oldest first."""
    customers = [stamped() for _ in range(250)]
    store.insert_each(tenant, customers)
    for number, customer in enumerate(customers):
        store.delete(tenant, Key.id(customer.id), NOW + number // 120)

    purge = RetentionPurge(deletions, 1)
    due, batches = purge.due_since(tenant), []
    while due is not None:
        purged, due = purge.purge_batch(tenant, due, NOW + 2 * DAY)
        erased = sum(bool(times(database, tenant, it.id)["erased_at"]) for it in customers)
        batches.append((purged, erased))

    assert batches == [(200, 200), (50, 250)]


def test_no_retention(store: CustomerStore, deletions: DeletionStore, tenant: str) -> None:
    """Without an end to retention no tenant has anything to be erased."""
    store.delete(tenant, Key.id(insert(store, tenant).id), 5)
    assert RetentionPurge(deletions, 0).next_tenant("") is None


def test_index_of_retention(tmp_path: Path) -> None:
    """What is to be erased is found by an index, in the order of deletion, without sorting."""
    sql = vars(Stores.of(Sqlite(Path("never-opened.db"))).deletions)
    database = Sqlite(tmp_path / "customers.db")
    database.prepare()
    for name in ("_deleted", "_first", "_next_tenant"):
        names = dict.fromkeys(re.findall(r":(\w+)", sql[name]), 1)
        plan = [row[-1] for row in database.rows(f"EXPLAIN QUERY PLAN {sql[name]}", names)]
        assert len(plan) == 1
        assert "INDEX customer_deleted_at (tenant" in plan[0]
    database.shut_down()
