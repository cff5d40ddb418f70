"""No file of a database has a trace of erased customers, after what operators are told to do."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.docs.pages import ROOT
from tests.storage.sqlite_file import SECONDS
from tests.support.postgres import Server
from tests.support.server_process import wait_until
from tests.support.traces import marked
from twc_customer_server.storage.database import Database, shut_down_after
from twc_customer_server.storage.idempotency import IdempotentRequest
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.stores import Stores

NOW = 4_000_000_000_000
CANARY = "zqcanaryzq"

# What the page of operations has operators run.
SQLITE = ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"]
POSTGRESQL = [
    "VACUUM (FULL, ANALYZE) customer, outcome",
    "DELETE FROM pg_statistic WHERE starelid = 'outcome'::regclass",
    "VACUUM FULL pg_catalog.pg_statistic",
    "SELECT pg_switch_wal()",
    "CHECKPOINT",
]


def churn(database: Database, before_erasures: Callable[[], object] = lambda: None) -> None:
    """Stores, changes, deletes and erases customers with canaries, between others that stay."""
    stores = Stores.of(database)
    erased = []

    def grow(stored: Customer) -> None:
        stored.first_name += "x" * 2000

    for number in range(150):
        customer = marked(f"{CANARY}-{number}")
        request = IdempotentRequest(f"{CANARY}-{number}", CANARY.encode(), NOW)
        stores.idempotency.run_idempotent(
            "acme",
            request,
            lambda customer=customer: stores.customers.insert("acme", customer),  # type: ignore[misc]
            lambda customer=customer: [customer.id],  # type: ignore[misc]
        )
        stores.customers.insert("acme", marked(f"stays-{number}"))
        if number % 3:
            stores.customers.change("acme", Key.id(customer.id), grow)
        if number % 2:
            stores.customers.delete("acme", Key.id(customer.id), NOW)
        else:
            erased.append(customer.id)
    before_erasures()
    for customer_id in erased:
        stores.deletions.erase("acme", customer_id, NOW)
    assert len(stores.deletions.erase_deleted("acme", 0, 2 * NOW, NOW)) == len(erased)


def files_with(folder: Path, text: str) -> list[str]:
    """The files in a folder that have a text, in any case."""
    wanted = text.encode()
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and wanted in path.read_bytes().lower()
    ]


def test_documented_statements() -> None:
    """The page of operations has the statements with which these tests remove all traces."""
    page = (ROOT / "docs" / "operations.md").read_text()
    assert [it for it in (*SQLITE, *POSTGRESQL) if f"{it};" not in page] == []


def test_sqlite_files(tmp_path: Path) -> None:
    """Database and log of SQLite have nothing of erased customers, while a server has them open."""
    path = tmp_path / "customers.db"
    with shut_down_after(Sqlite(path)) as database:
        database.prepare()
        churn(database)
        assert f"{path.name}-wal" in files_with(tmp_path, CANARY)
        with closing(sqlite3.connect(path, timeout=SECONDS, isolation_level=None)) as connection:
            for statement in SQLITE:
                connection.execute(statement)
        assert f"{path.name}-wal" in {it.name for it in tmp_path.iterdir()}
        assert files_with(tmp_path, CANARY) == []
        assert files_with(tmp_path, "stays-1") == [path.name]


def test_overwritten_pages(tmp_path: Path) -> None:
    """What is erased is overwritten in the file of SQLite, without any statement of operators."""
    with shut_down_after(Sqlite(tmp_path / "customers.db")) as database:
        database.prepare()
        stores = Stores.of(database)
        customer = marked(CANARY)
        stores.customers.insert("acme", customer)
        stores.deletions.erase("acme", customer.id, NOW)
    assert files_with(tmp_path, CANARY) == []


@contextmanager
def without_recycling(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Has the server remove its log, as operators are told, in place of writing over it later."""
    with psycopg.connect(url, autocommit=True) as connection:
        set_recycling(connection, ["ALTER SYSTEM SET wal_recycle = off"])
        try:
            yield connection
        finally:
            set_recycling(connection, ["ALTER SYSTEM RESET wal_recycle"])


def set_recycling(
    connection: psycopg.Connection[tuple[object, ...]], statements: Sequence[str]
) -> None:
    """Changes the settings of the server, and waits until they are known."""
    for statement in [*statements, "SELECT pg_reload_conf()"]:
        connection.execute(statement.encode())
    wanted = "off" if "off" in statements[0] else "on"
    deadline = time.monotonic() + SECONDS
    while connection.execute("SHOW wal_recycle").fetchone() != (wanted,):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_postgresql_files(postgres: Server) -> None:
    """No table, index, statistic or log of PostgreSQL has anything of erased customers."""
    url = postgres.database()
    with psycopg.connect(url) as connection:
        [folder] = connection.execute("SHOW data_directory").fetchone() or [""]
    if not Path(folder, "base").is_dir():
        pytest.skip("the files of the database are on another machine, or another user's")
    with shut_down_after(Postgres(url, 2, SECONDS, SECONDS)) as database:
        database.prepare()
        with without_recycling(url) as connection:
            churn(database, lambda: connection.execute("ANALYZE"))

            def is_clean() -> bool:
                try:
                    for statement in POSTGRESQL:
                        connection.execute(statement.encode())
                except psycopg.errors.DataCorrupted:
                    # What it read of a statistic was vacuumed away by another database's process.
                    return False
                return files_with(Path(folder), CANARY) == []

            # A transaction that began before, such as one of autovacuum, keeps what it sees.
            wait_until(is_clean)
        assert files_with(Path(folder), "stays-1")
