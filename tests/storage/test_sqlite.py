"""The SQLite database keeps what it acknowledged, shares commits, and goes by its indexes."""

import itertools
import os
import re
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.storage.sqlite_file import SECONDS, connection_of, count_elsewhere, opened, together
from tests.support.stores import find, insert, stamped
from twc_customer_server.errors import AlreadyExists
from twc_customer_server.storage import wal
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.schema import CustomerRow
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.statements import Statements
from twc_customer_server.storage.store import CustomerStore
from twc_customer_server.storage.wal import Log, LogLength, log_of
from twc_customer_server.telemetry.families import (
    COMMIT_WAIT,
    COMMITS,
    COMMITTED_WRITES,
    STATEMENTS,
)

TENANT = "acme"

_STATEMENTS = Statements(Sqlite(Path("never-opened.db")))
_PARAMETERS = ("email", "first_name", "last_name", "mobile", "phone")
QUERIES = {
    **{f"body by {name}": sql for name, sql in _STATEMENTS.body_by.items()},
    "bodies": _STATEMENTS.bodies,
    **{f"owner of {name}": sql for name, sql in _STATEMENTS.owner.items()},
    **{f"owners of {name}": sql for name, sql in _STATEMENTS.owners.items()},
    "update": _STATEMENTS.update,
    "delete": _STATEMENTS.delete,
    "stored": _STATEMENTS.stored,
    **{
        f"search by {'+'.join(names)}": _STATEMENTS.search(names)
        for size in range(1, 6)
        for names in itertools.combinations(_PARAMETERS, size)
    },
}


def test_read_by_another_process(path: Path, keeper: CustomerStore) -> None:
    """What a call has stored, another process reads at once."""
    insert(keeper, TENANT)
    gone = insert(keeper, TENANT)
    assert count_elsewhere(path) == 2
    keeper.delete(TENANT, Key.id(gone.id), 1)
    assert count_elsewhere(path) == 1


def test_reopened_database(path: Path, own: Sqlite, keeper: CustomerStore) -> None:
    """A database that was shut down and opened again holds what it held."""
    customer = insert(keeper, TENANT, customer_ref="A-1")
    own.shut_down()
    again = Sqlite(path)
    again.prepare()
    try:
        stored = CustomerStore(again).get(TENANT, Key.ref("A-1"))
    finally:
        again.shut_down()
    assert stored == customer.SerializeToString()


def test_insert_at_once(path: Path, keeper: CustomerStore) -> None:
    """What 64 threads store at once is all stored."""
    new = [stamped(last_name="Same") for _ in range(640)]
    with ThreadPoolExecutor(64) as threads:
        list(threads.map(partial(keeper.insert, TENANT), new))
    found = find(keeper, TENANT, {"last_name": "same"}, limit=1000)
    assert [it.id for it in found] == [it.id for it in new]
    assert count_elsewhere(path) == 640


def test_two_databases_at_once(path: Path, keeper: CustomerStore) -> None:
    """Two servers on one file, writing at once, lose nothing and keep values unique."""
    second = Sqlite(path)
    second.prepare()
    stores = [keeper, CustomerStore(second)] * 64
    emails = [f"rush-{number // 2}@example.com" for number in range(128)]

    def try_insert(store: CustomerStore, email: str) -> bool:
        try:
            store.insert(TENANT, stamped(email=email))
        except AlreadyExists:
            return False
        return True

    try:
        with ThreadPoolExecutor(16) as threads:
            stored = list(threads.map(try_insert, stores, emails))
    finally:
        second.shut_down()
    pairs = zip(stored[::2], stored[1::2], strict=True)
    assert [sum(pair) for pair in pairs] == [1] * 64
    assert count_elsewhere(path) == 64


def test_commit_of_a_group(own: Sqlite, keeper: CustomerStore) -> None:
    """Writes that wait together share one commit."""
    statements: list[str] = []
    own.write(lambda: connection_of(own).set_trace_callback(statements.append))
    statements.clear()
    calls = [partial(keeper.insert, TENANT, stamped()) for _ in range(20)]
    for outcome in together(own, calls):
        outcome.result()
    # One is of the write that the others waited for.
    assert statements.count("COMMIT") == 2


def test_turns_of_tenants(own: Sqlite) -> None:
    """A write waits for few long ones of another tenant, also for those that come before it."""
    seen: list[str] = []

    def take_long() -> None:
        seen.append("long")
        time.sleep(0.1)

    def store() -> None:
        own.write(list, tenant="other")
        seen.append("stored")

    long = partial(own.write, take_long, tenant=TENANT)
    for outcome in together(own, [*[long] * 5, store]):
        outcome.result()
    assert seen.count("long") == 5
    assert seen.index("stored") <= 2


def test_columns_that_are_written(own: Sqlite, keeper: CustomerStore) -> None:
    """A change names the keys that differ alone: SQLite writes the index of each that is named."""
    customer = insert(keeper, TENANT, last_name="Lovelace")
    statements: list[str] = []
    own.write(lambda: connection_of(own).set_trace_callback(statements.append))
    keeper.change(TENANT, Key.id(customer.id), lambda it: it.MergeFrom(Customer(last_name="King")))

    [update] = [it for it in statements if it.startswith("UPDATE")]
    assert set(re.findall(r'"(\w+)" = ', update.partition("WHERE")[0])) == {
        *("last_name_key", "last_name_fold"),
        *("modified_at", "body", "change_sequence"),
    }


def test_metrics_of_a_group(own: Sqlite, keeper: CustomerStore) -> None:
    """The metrics tell how many commits there were, their time, and the writes in them."""
    began = time.monotonic()
    for outcome in together(own, [partial(keeper.insert, TENANT, stamped()) for _ in range(20)]):
        outcome.result()
    commits, seconds = own.metrics.series(COMMITS).values
    [written] = own.metrics.series(COMMITTED_WRITES).values
    [waited] = own.metrics.series(COMMIT_WAIT).values

    assert (commits, written) == (2, 21)
    assert 0 < waited + seconds < time.monotonic() - began


def test_metrics_of_failed_commit(own: Sqlite) -> None:
    """A unit that fails takes part in a commit; a statement counts with its time all the same."""
    select = own.compile(CustomerRow.select(CustomerRow.id))
    times = own.metrics.series(STATEMENTS, "select", "customer")
    own.rows(select, {})
    with pytest.raises(ZeroDivisionError):
        own.write(lambda: [own.rows(select, {}), 1 / 0])

    assert times.values[0] == 2
    assert own.metrics.series(COMMITTED_WRITES).values == [1]


def test_failed_write_in_group(own: Sqlite, keeper: CustomerStore) -> None:
    """A write that fails within a group undoes itself, and none of its neighbours."""
    taken = insert(keeper, TENANT, email="taken@example.com")
    new = [stamped(last_name="Same") for _ in range(3)]

    def edit(stored: Customer) -> None:
        stored.last_name = "Half done"
        raise LookupError("by the edit")

    outcomes = together(
        own,
        [
            partial(keeper.insert, TENANT, new[0]),
            partial(keeper.insert, TENANT, stamped(email="TAKEN@example.com")),
            partial(keeper.insert, TENANT, new[1]),
            partial(keeper.change, TENANT, Key.id(taken.id), edit),
            partial(keeper.insert, TENANT, new[2]),
        ],
    )
    errors = [type(outcome.exception()) for outcome in outcomes]
    nothing = type(None)
    assert errors == [nothing, AlreadyExists, nothing, LookupError, nothing]
    found = find(keeper, TENANT, {"last_name": "same"})
    assert [it.id for it in found] == [it.id for it in new]
    assert keeper.get(TENANT, Key.id(taken.id)) == taken.SerializeToString()
    assert find(keeper, TENANT, {"email": "taken@example.com"}) == [
        (taken.id, taken.SerializeToString())
    ]


def test_failed_unit_around_failed_unit(path: Path, own: Sqlite, keeper: CustomerStore) -> None:
    """A unit of work that fails undoes what it wrote before one within it failed, too."""
    customer = insert(keeper, TENANT)

    def unit() -> None:
        keeper.delete(TENANT, Key.id(customer.id), 1)
        with pytest.raises(ZeroDivisionError):
            own.write(lambda: 1 / 0)
        raise LookupError("after both")

    with pytest.raises(LookupError, match="after both"):
        own.write(unit)
    assert count_elsewhere(path) == 1


def test_same_value_in_group(own: Sqlite, keeper: CustomerStore) -> None:
    """Of two customers with one value in a group the first is stored, the second refused."""
    first, second = (stamped(email="rush@example.com") for _ in range(2))
    outcomes = together(own, [partial(keeper.insert, TENANT, it) for it in (first, second)])
    refused = outcomes[1].exception()
    assert outcomes[0].exception() is None
    assert isinstance(refused, AlreadyExists)
    assert dict(refused.clashes) == {"email": first.id}


def test_waiting_writes_at_shut_down(path: Path, own: Sqlite, keeper: CustomerStore) -> None:
    """Writes that wait when the database is shut down are still stored."""
    calls = [partial(keeper.insert, TENANT, stamped()) for _ in range(8)]
    for outcome in together(own, [*calls, own.shut_down]):
        assert outcome.exception() is None
    assert count_elsewhere(path) == 8


def test_connections_after_shut_down(path: Path, own: Sqlite, keeper: CustomerStore) -> None:
    """Shutting down closes the connection of every thread, and so leaves no journal behind."""
    customer = insert(keeper, TENANT)
    barrier = threading.Barrier(8)

    def read() -> sqlite3.Connection:
        barrier.wait(SECONDS)
        keeper.get(TENANT, Key.id(customer.id))
        return connection_of(own)

    with ThreadPoolExecutor(8) as threads:
        reading = [threads.submit(read) for _ in range(8)]
        connections = {id(it): it for it in (future.result() for future in reading)}
    own.shut_down()
    assert len(connections) == 8
    for connection in connections.values():
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}.lock"}


def test_log_that_becomes_long(path: Path, keeper: CustomerStore) -> None:
    """The log is copied into the file again and again, and does not grow beyond its length."""
    big = [stamped(tax_exemptions=["x" * 1000] * 100) for _ in range(300)]
    lengths = []
    for first in range(0, 300, 10):
        keeper.insert_each("acme", big[first : first + 10])
        lengths.append(log_of(path).stat().st_size)
    assert max(lengths) < 4300 * 4120
    assert lengths[-1] == lengths[-10]
    assert path.stat().st_size > 16_000_000


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("busy_timeout", 5000), ("secure_delete", 1)],
)
def test_pragmas(own: Sqlite, pragma: str, value: object) -> None:
    """Every connection writes ahead, syncs each commit, waits for a lock, and deletes for good."""

    def read() -> list[tuple[object, ...]]:
        return own.rows(f"PRAGMA {pragma}", {})

    assert read() == [(value,)]
    assert own.write(read) == [(value,)]
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(read).result() == [(value,)]


@pytest.mark.parametrize("sql", QUERIES.values(), ids=QUERIES)
def test_query_plan(own: Sqlite, sql: str) -> None:
    """Every statement goes by an index that the tenant leads and a value it asks for follows."""
    plan = own.rows(f"EXPLAIN QUERY PLAN {sql}", dict.fromkeys(re.findall(r":(\w+)", sql), 1))
    steps = [detail for *_, detail in plan if not detail.startswith("USE TEMP B-TREE")]
    assert len(steps) == 1
    # A unique value is asked for as a range from it to it, and a name from an id on.
    name = r"\(\w+_fold,\w+_key,id\)>\(\?,\?,\?\) AND \(\w+_fold,\w+_key\)<\(\?,\?\)"
    value = rf" AND \w+=\?| AND \w+>\? AND \w+<\?| AND {name}"
    assert re.match(rf"SEARCH \w+ USING INDEX \w+ \(tenant=\?({value})+( AND id>\?)?\)$", steps[0])


def test_file_that_another_program_writes(
    path: Path, keeper: CustomerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another program's checkpoint has written a part of the file, writes go on."""
    monkeypatch.setattr(wal, "_LOOK_SECONDS", 0)
    insert(keeper, TENANT)
    # The number of pages, in the first one; the last ones follow. It stays open, since to close
    # it would end SQLite's locks.
    file = os.open(path, os.O_RDWR)
    os.pwrite(file, (path.stat().st_size // 4096 + 5).to_bytes(4), 28)
    assert len({insert(keeper, TENANT).id for _ in range(3)}) == 3


def test_failure_between_commits(
    path: Path, keeper: CustomerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails after a commit ends neither that nor the writes that follow."""

    def fail(_: LogLength) -> bool:
        raise OSError("no log")

    monkeypatch.setattr(LogLength, "is_due", fail)
    for number in range(3):
        insert(keeper, TENANT)
        assert count_elsewhere(path) == number + 1


def test_log_after_end_of_another_process(
    path: Path, keeper: CustomerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log that is begun after another process has ended gets a mark of its own."""
    monkeypatch.setattr(wal, "_LOOK_SECONDS", 0)
    with opened(path):
        insert(keeper, TENANT)
    for _ in range(3):
        insert(keeper, TENANT)
    log = Log.read(path)
    assert log
    assert min(log.marks, default=0) < 0
