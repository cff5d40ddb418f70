"""A database that cannot serve a call says so to every caller, and stores nothing."""

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from pathlib import Path

import peewee
import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.storage.sqlite_file import (
    SECONDS,
    count_elsewhere,
    opened,
    set_pragma,
    together,
)
from tests.support.damage import spoil_customers
from tests.support.stores import find, insert, stamped
from twc_customer_server.errors import DatabaseDamaged, OutcomeUnknown, Unavailable
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.store import CustomerStore

TENANT = "acme"

# Words of the driver's messages, which no client may read.
DRIVER_TEXT = re.compile("sqlite|locked|disk|readonly|no such|closed|operational", re.IGNORECASE)

# Every call of a store, on a customer that it holds.
CALLS: dict[str, Callable[[CustomerStore, Customer], object]] = {
    "get": lambda store, it: store.get(TENANT, Key.id(it.id)),
    "search": lambda store, it: find(store, TENANT, {"email": it.email}),
    "clashes": lambda store, it: store.clashes(TENANT, it),
    "insert": lambda store, _: store.insert(TENANT, stamped()),
    "insert each": lambda store, _: store.insert_each(TENANT, [stamped()]),
    "change": lambda store, it: store.change(TENANT, Key.id(it.id), Customer.Clear),
    "delete": lambda store, it: store.delete(TENANT, Key.id(it.id), 1),
}
WRITES = {name: CALLS[name] for name in ("insert", "insert each", "change", "delete")}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
each_write = pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)


def test_full_database(path: Path, own: Sqlite, keeper: CustomerStore) -> None:
    """Where a group fills the database up, all its callers are told and nothing is stored."""
    insert(keeper, TENANT)
    [[pages]] = own.write(lambda: own.rows("PRAGMA page_count", {}))
    set_pragma(own, f"max_page_count = {pages + 2}")
    big = [stamped(tax_exemptions=["x" * 1000] * 100) for _ in range(3)]
    calls = [partial(keeper.insert, TENANT, it) for it in (stamped(), *big, stamped())]
    errors = [outcome.exception() for outcome in together(own, calls)]
    assert [type(error) for error in errors] == [Unavailable] * 5
    assert [DRIVER_TEXT.search(str(error)) for error in errors] == [None] * 5
    assert count_elsewhere(path) == 1
    set_pragma(own, f"max_page_count = {pages + 1000}")
    keeper.insert(TENANT, big[0])
    assert count_elsewhere(path) == 2


@pytest.mark.parametrize(
    ("sqlite_error", "error"),
    [
        (sqlite3.SQLITE_FULL, Unavailable),
        (sqlite3.SQLITE_IOERR_WRITE, Unavailable),
        (sqlite3.SQLITE_IOERR_FSYNC, OutcomeUnknown),
    ],
)
def test_failing_commit(
    path: Path,
    own: Sqlite,
    monkeypatch: pytest.MonkeyPatch,
    sqlite_error: int,
    error: type[Exception],
) -> None:
    """A commit that fails is rolled back; that is not for good if the disk may yet have it."""
    failure = sqlite3.OperationalError("disk I/O error")
    failure.sqlite_errorcode = sqlite_error

    def commit() -> None:
        with peewee.__exception_wrapper__:  # type: ignore[attr-defined] # untyped in peewee
            raise failure

    keeper = CustomerStore(own)
    with monkeypatch.context() as patched:
        patched.setattr(own, "commit", commit)
        calls = [partial(keeper.insert, TENANT, stamped()) for _ in range(2)]
        told = [type(outcome.exception()) for outcome in together(own, calls)]
    assert told == [error] * 2
    assert count_elsewhere(path) == 0
    insert(keeper, TENANT)
    assert count_elsewhere(path) == 1


@each_write
def test_locked_database(
    path: Path,
    own: Sqlite,
    keeper: CustomerStore,
    call: Callable[[CustomerStore, Customer], object],
) -> None:
    """While another process holds the database every write fails, and once it lets go succeeds."""
    customer = insert(keeper, TENANT, email="ada@example.com")
    set_pragma(own, "busy_timeout = 20")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(8) as threads:
            outcomes = [threads.submit(call, keeper, customer) for _ in range(8)]
        errors = [outcome.exception() for outcome in outcomes]
        assert [type(error) for error in errors] == [Unavailable] * 8
        assert [DRIVER_TEXT.search(str(error)) for error in errors] == [None] * 8
        assert keeper.get(TENANT, Key.id(customer.id)) == customer.SerializeToString()
        other.execute("ROLLBACK")
    assert count_elsewhere(path) == 1
    call(keeper, customer)


@pytest.fixture
def damaged(path: Path) -> Iterator[CustomerStore]:
    """A store whose table of customers is damaged, and opens all the same."""
    with opened(path):
        pass
    spoil_customers(path)
    with opened(path) as store:
        yield store


@pytest.mark.parametrize("first", CALLS)
def test_damage(
    path: Path, damaged: CustomerStore, caplog: pytest.LogCaptureFixture, first: str
) -> None:
    """Whatever comes upon damage is told that it is no use to try again; the log has it once."""
    customer = stamped()
    for call in (CALLS[first], *CALLS.values()):
        with pytest.raises(DatabaseDamaged) as refused:
            call(damaged, customer)
        assert DRIVER_TEXT.search(str(refused.value)) is None
    [logged] = [it.getMessage() for it in caplog.records if it.levelname == "CRITICAL"]
    assert logged.startswith(f"{path} is damaged (database disk image is malformed)")
    assert "stop the service and restore a backup with: " in logged


def test_group_with_damage(path: Path, own: Sqlite, keeper: CustomerStore) -> None:
    """Where one write of a group comes upon damage, no other of it is stored, nor any after it."""
    insert(keeper, TENANT)

    def fail() -> None:
        error = sqlite3.DatabaseError("malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    calls = [partial(keeper.insert, TENANT, stamped()), partial(own.write, fail)]
    outcomes = together(own, [*calls, partial(keeper.insert, TENANT, stamped())])
    assert [type(it.exception()) for it in outcomes] == [DatabaseDamaged] * 3
    with pytest.raises(DatabaseDamaged):
        insert(keeper, TENANT)
    assert count_elsewhere(path) == 1


def test_briefly_locked_database(path: Path, keeper: CustomerStore) -> None:
    """A write waits for another process that holds the database for a moment."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other, ThreadPoolExecutor() as it:
        other.execute("BEGIN IMMEDIATE")
        waiting = it.submit(insert, keeper, TENANT)
        assert not wait([waiting], 0.1).done
        other.execute("COMMIT")
        assert waiting.exception(SECONDS) is None
    assert count_elsewhere(path) == 1


@each_call
def test_lost_table(
    path: Path, keeper: CustomerStore, call: Callable[[CustomerStore, Customer], object]
) -> None:
    """A call that the database cannot serve is Unavailable, without a word of the driver."""
    customer = insert(keeper, TENANT)
    with closing(sqlite3.connect(path)) as other:
        other.execute("ALTER TABLE customer RENAME TO mislaid")
    with pytest.raises(Unavailable) as refused:
        call(keeper, customer)
    assert DRIVER_TEXT.search(str(refused.value)) is None


@each_write
def test_write_after_shut_down(
    own: Sqlite, keeper: CustomerStore, call: Callable[[CustomerStore, Customer], object]
) -> None:
    """A write that comes when the database is shut down is Unavailable, and waits for nothing."""
    customer = insert(keeper, TENANT)
    own.shut_down()
    outcome: Future[object] = Future()

    def late() -> None:
        try:
            outcome.set_result(call(keeper, customer))
        except Exception as error:  # noqa: BLE001 - the test asserts which
            outcome.set_exception(error)

    threading.Thread(target=late, daemon=True).start()
    assert isinstance(outcome.exception(SECONDS), Unavailable)


def test_read_after_shut_down(own: Sqlite, keeper: CustomerStore) -> None:
    """A read that comes when the database is shut down is Unavailable, and opens nothing."""
    customer = insert(keeper, TENANT)
    own.shut_down()
    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(keeper.get, TENANT, Key.id(customer.id))
    assert isinstance(late.exception(), Unavailable)
