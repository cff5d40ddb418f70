"""A store merges customers: all of a merge is stored, or nothing."""

import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.support.stores import FULL, Read, each_read, insert, only, stamped
from twc_customer_server.errors import (
    AlreadyExists,
    AlreadyMerged,
    Clash,
    IdMismatch,
    NotFound,
)
from twc_customer_server.storage.database import Database, Parameters, Row
from twc_customer_server.storage.merges import MergeStore, Pair
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore


@pytest.fixture
def merges(database: Database, store: CustomerStore) -> MergeStore:
    """The store of merges on the same database."""
    return MergeStore(database, store.clashes)


def take_all(kept: Customer, dropped: Customer) -> None:
    """Gives the kept customer all of the dropped one but its id, and a later date."""
    own_id = kept.id
    kept.CopyFrom(dropped)
    kept.id = own_id
    kept.last_modified_date.seconds += 10


def test_merge(store: CustomerStore, merges: MergeStore, tenant: str) -> None:
    """A merge is given both customers as stored; what it makes of the kept one is read then."""
    kept, dropped = insert(store, tenant), insert(store, tenant, **FULL)
    seen = []

    def edit(one: Customer, other: Customer) -> None:
        seen.append((one.SerializeToString(), other.SerializeToString()))
        take_all(one, other)

    merged = merges.merge(tenant, Pair(kept.id, dropped.id), edit)

    assert seen == [(kept.SerializeToString(), dropped.SerializeToString())]
    assert store.get(tenant, Key.id(kept.id)) == merged.body
    assert Customer.FromString(merged.body).id == kept.id
    assert store.get(tenant, Key.id(dropped.id)) is None


@each_read
def test_moved_keys(store: CustomerStore, merges: MergeStore, tenant: str, read: Read) -> None:
    """The kept customer is found by the values that it has from the dropped one."""
    kept, dropped = insert(store, tenant), insert(store, tenant, **FULL)
    merged = merges.merge(tenant, Pair(kept.id, dropped.id), take_all)
    assert read(store, tenant, Customer.FromString(merged.body))


def test_time_of_deletion(store: CustomerStore, merges: MergeStore, tenant: str) -> None:
    """The deletion is later than the last change of the dropped customer, whatever the clocks."""
    kept = insert(store, tenant)
    dropped = stamped()
    dropped.last_modified_date.seconds += 1000
    store.insert(tenant, dropped)
    merged = merges.merge(tenant, Pair(kept.id, dropped.id), lambda *_: None)
    assert merged.deleted_at == dropped.last_modified_date.ToMilliseconds() + 1


@pytest.mark.parametrize("commit", [False, True])
def test_clash(store: CustomerStore, merges: MergeStore, tenant: str, *, commit: bool) -> None:
    """A merged customer that has a value of a third one clashes, and neither is changed."""
    third = insert(store, tenant, customer_ref="third")
    kept, dropped = insert(store, tenant), insert(store, tenant, **FULL)

    def edit(one: Customer, _: Customer) -> None:
        one.customer_ref = "third"

    with pytest.raises(AlreadyExists) as raised:
        merges.merge(tenant, Pair(kept.id, dropped.id), edit, commit=commit)
    assert raised.value.clashes == [Clash("customerRef", third.id)]
    for each in (kept, dropped):
        assert store.get(tenant, Key.id(each.id)) == each.SerializeToString()


def refuse(*_: Customer) -> None:
    """Refuses a merge."""
    raise IdMismatch("refused")


def test_refused_merge(store: CustomerStore, merges: MergeStore, tenant: str) -> None:
    """A merge that is refused changes neither customer."""
    kept, dropped = insert(store, tenant), insert(store, tenant, **FULL)
    with pytest.raises(IdMismatch):
        merges.merge(tenant, Pair(kept.id, dropped.id), refuse)
    for each in (kept, dropped):
        assert store.get(tenant, Key.id(each.id)) == each.SerializeToString()


def test_precondition(store: CustomerStore, merges: MergeStore, tenant: str) -> None:
    """A precondition is checked of the kept customer, and of no merge that was made already."""
    kept, dropped = insert(store, tenant), insert(store, tenant)
    pair = Pair(kept.id, dropped.id)
    with pytest.raises(IdMismatch):
        merges.merge(tenant, pair, take_all, only(dropped.id))
    merged = merges.merge(tenant, pair, take_all, only(kept.id))
    assert merges.merge(tenant, pair, refuse, only("other")) == merged


def test_merge_that_is_not_committed(store: CustomerStore, merges: MergeStore, tenant: str) -> None:
    """A merge that is not committed returns what it would be."""
    kept, dropped = insert(store, tenant), insert(store, tenant, **FULL)
    pair = Pair(kept.id, dropped.id)
    tried = merges.merge(tenant, pair, take_all, commit=False)
    for each in (kept, dropped):
        assert store.get(tenant, Key.id(each.id)) == each.SerializeToString()
    assert merges.merge(tenant, pair, take_all) == tried


def test_order_of_locks(
    database: Database,
    store: CustomerStore,
    merges: MergeStore,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever of two customers is kept, they are locked in one order, lest merges deadlock."""
    pair = Pair(insert(store, tenant).id, insert(store, tenant).id)
    read = []
    rows = database.rows

    def note(sql: str, parameters: Parameters) -> list[Row]:
        read.append(parameters["id"])
        return rows(sql, parameters)

    monkeypatch.setattr(database, "rows", note)
    for each in (pair, Pair(*reversed(pair))):
        merges.merge(tenant, each, lambda *_: None, commit=False)
    assert read == sorted(pair) * 2


def test_missing_customers(store: CustomerStore, merges: MergeStore, tenant: str) -> None:
    """Of customers that are missing the kept one is told first; deleted and foreign ones are."""
    kept, deleted = insert(store, tenant), insert(store, tenant)
    foreign = insert(store, f"{tenant}-foreign")
    store.delete(tenant, Key.id(deleted.id), 0)
    for missing in ("none", deleted.id, foreign.id):
        for pair, field in ((Pair(missing, "none"), "id"), (Pair(kept.id, missing), "droppedId")):
            with pytest.raises(NotFound, match=f"no customer has this {field}$"):
                merges.merge(tenant, pair, refuse)


def test_merged_customers(store: CustomerStore, merges: MergeStore, tenant: str) -> None:
    """A customer that went into another one is told with that one, whichever it is of the pair."""
    kept, dropped, other = (insert(store, tenant).id for _ in range(3))
    merges.merge(tenant, Pair(kept, dropped), lambda *_: None)
    for pair, field in ((Pair(dropped, other), "id"), (Pair(other, dropped), "droppedId")):
        with pytest.raises(AlreadyMerged) as raised:
            merges.merge(tenant, pair, refuse)
        assert (raised.value.field, raised.value.merged_into) == (field, kept)
