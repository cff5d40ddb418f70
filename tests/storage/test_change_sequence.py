"""Changes are numbered when they are committed, and read in the order of their numbers."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.support.backends import Opener, only
from tests.support.change_copy import ChangeCopy
from tests.support.stores import insert, stamped
from twc_customer_server.storage.changes import ChangePlace, ChangeStore
from twc_customer_server.storage.database import Database, shut_down_after
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore

SECONDS = 60
START = ChangePlace()


@pytest.fixture
def changes(database: Database) -> ChangeStore:
    """The changes in the shared database."""
    return ChangeStore(database)


@pytest.fixture
def other(opener: Opener) -> Iterator[Database]:
    """A database for one test alone."""
    with shut_down_after(opener()) as database:
        database.prepare()
        yield database


def ids(changes: ChangeStore, tenant: str, after: ChangePlace = START) -> list[str]:
    """The ids of the customers that have changed after a place."""
    return [change.place.id for change in changes.read(tenant, after, 10_000)]


def rename(name: str) -> Callable[[Customer], None]:
    """An edit that sets the first name."""
    return lambda customer: setattr(customer, "first_name", name)


def test_kinds_of_changes(store: CustomerStore, changes: ChangeStore, tenant: str) -> None:
    """Creations, updates and deletions follow the place before them, and nothing else does."""
    first, second, third = (insert(store, tenant) for _ in range(3))
    begun = changes.read(tenant, START, 10)
    assert {change.place.id for change in begun} == {first.id, second.id, third.id}
    after = begun[-1].place

    store.change(tenant, Key.id(second.id), rename("Ada"))
    store.delete(tenant, Key.id(third.id), 5)
    fourth = insert(store, tenant)
    found = {change.place.id: change for change in changes.read(tenant, after, 10)}
    assert found.keys() == {second.id, third.id, fourth.id}
    assert found[second.id].body == store.get(tenant, Key.id(second.id))
    assert {it: change.deleted_at is None for it, change in found.items()} == {
        second.id: True,
        third.id: False,
        fourth.id: True,
    }
    created = {it: ChangePlace(change.created, it) > after for it, change in found.items()}
    assert created == {second.id: False, third.id: False, fourth.id: True}


def test_last_change_of_a_customer(store: CustomerStore, changes: ChangeStore, tenant: str) -> None:
    """Of several changes between two reads the last is read, with a number of its own."""
    customer = insert(store, tenant)
    [before] = changes.read(tenant, START, 10)
    for name in ("Ada", "Augusta"):
        store.change(tenant, Key.id(customer.id), rename(name))
    [after] = changes.read(tenant, before.place, 10)
    assert after.place > before.place
    assert b"Augusta" in after.body
    assert ids(changes, tenant, after.place) == []


def test_pages(store: CustomerStore, changes: ChangeStore, tenant: str) -> None:
    """Pages of any size have all changes once, though many have one number."""
    stored = [insert(store, tenant).id for _ in range(5)]
    many = [stamped() for _ in range(40)]
    store.insert_each(tenant, many)
    place, found = START, list[str]()
    while page := changes.read(tenant, place, 7):
        assert len(page) <= 7
        assert [change.place for change in page] == sorted(change.place for change in page)
        found += [change.place.id for change in page]
        place = page[-1].place
    assert sorted(found) == sorted([*stored, *(it.id for it in many)])


def test_tenants_have_numbers_of_their_own(
    store: CustomerStore, changes: ChangeStore, tenant: str
) -> None:
    """Another tenant's changes are not read, and move no number."""
    insert(store, tenant)
    position = changes.settle(tenant)
    insert(store, f"{tenant}-other")
    assert changes.settle(tenant) == position
    assert changes.settle(f"{tenant}-other").epoch != position.epoch
    assert len(ids(changes, tenant)) == 1


def test_rolled_back_writes(store: CustomerStore, changes: ChangeStore, tenant: str) -> None:
    """A write that is rolled back is no change."""
    kept = insert(store, tenant, email="a@example.com")
    place = changes.read(tenant, START, 10)[-1].place
    store.insert_each(tenant, [stamped(email="a@example.com")])
    store.delete(tenant, Key.ref("missing"), 5)
    assert ids(changes, tenant, place) == []
    assert ids(changes, tenant) == [kept.id]


def test_late_commit(other: Database) -> None:
    """A change that is committed after later ones were read follows them."""
    store, changes = CustomerStore(other), ChangeStore(other)
    slow, quick = stamped(), stamped()
    written, end = threading.Event(), threading.Event()

    def write() -> None:
        store.insert_each("acme", [slow])
        written.set()
        end.wait(SECONDS)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(other.write, write)
        written.wait(SECONDS)
        if other.for_update:
            store.insert("acme", quick)
        end.set()
        writing.result(SECONDS)
        if not other.for_update:
            store.insert("acme", quick)
    place = changes.read("acme", START, 1)[-1].place
    assert sorted([place.id, *ids(changes, "acme", place)]) == sorted([slow.id, quick.id])


@only("postgresql")
def test_reads_during_a_long_write(other: Database) -> None:
    """Changes that others commit are read while a long write goes on, which is read after it."""
    store, changes = CustomerStore(other), ChangeStore(other)
    changed = insert(store, "acme")
    place = changes.read("acme", START, 10)[-1].place
    written, end = threading.Event(), threading.Event()

    def write() -> None:
        store.change("acme", Key.id(changed.id), rename("Ada"))
        written.set()
        end.wait(SECONDS)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(other.write, write)
        written.wait(SECONDS)
        new = insert(store, "acme")
        [change] = changes.read("acme", place, 10)
        assert change.place.id == new.id
        end.set()
        writing.result(SECONDS)
    assert ids(changes, "acme", change.place) == [changed.id]


def _write(store: CustomerStore, *, in_lists: bool) -> None:
    for turn in range(20):
        mine = [stamped() for _ in range(turn % 3 + 1)]
        if in_lists:
            store.insert_each("acme", mine)
        else:
            for customer in mine:
                store.insert("acme", customer)
        key = Key.id(mine[0].id)
        store.change("acme", key, rename(str(turn)))
        if turn % 4 == 0:
            store.delete("acme", key, turn)


def test_copy_under_load(other: Database) -> None:
    """Whoever follows the changes while many write has in the end what is stored."""
    store, changes = CustomerStore(other), ChangeStore(other)
    done = threading.Event()
    copy = ChangeCopy()

    def follow() -> None:
        while True:
            is_last = done.is_set()
            found = changes.read("acme", copy.place, 5)
            copy.apply(found)
            if is_last and not found:
                return

    with ThreadPoolExecutor(6) as threads:
        following = threads.submit(follow)
        writes = [threads.submit(_write, store, in_lists=it % 2 > 0) for it in range(4)]
        for writing in writes:
            writing.result(SECONDS)
        done.set()
        following.result(SECONDS)
    stored = other.rows("SELECT id, body FROM customer WHERE deleted_at IS NULL", {})
    assert copy.bodies == {customer_id: bytes(body) for customer_id, body in stored}


def test_many_pending(store: CustomerStore, changes: ChangeStore, tenant: str) -> None:
    """Changes of a long write are all read, however many have no number yet."""
    many = [stamped() for _ in range(1_300)]
    store.insert_each(tenant, many)
    position = changes.settle(tenant)
    assert sorted(ids(changes, tenant)) == sorted(it.id for it in many)
    assert ids(changes, tenant, ChangePlace(position.last + 1)) == []
