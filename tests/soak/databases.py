"""The databases that proofs have to themselves: killed, started again, and looked at within."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, LiteralString, cast

import psutil
import psycopg
from psycopg import sql

from tests.support import postgres
from tests.support.client import SECONDS
from tests.support.run_cleanup import POSTGRES

SQLITE, POSTGRESQL = "sqlite", "postgresql"
NAMES = (SQLITE, POSTGRESQL)

# What production has, where the other tests save the time; all workers connect at once.
_DURABLE = """
fsync = on
full_page_writes = on
synchronous_commit = on
max_connections = 100
"""

# Index, table, predicate and key columns of all indexes, as SQL.
_INDEXES = """
    SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text,
        coalesce(pg_get_expr(i.indpred, i.indrelid), 'true'),
        (SELECT string_agg(pg_get_indexdef(i.indexrelid, k, true), ', ' ORDER BY k)
            FROM generate_series(1, i.indnkeyatts) k)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.relnamespace = 'public'::regnamespace
    ORDER BY 1
"""
# The rows of a table that an index has: how many, and which. OFFSET keeps the planner from
# leaving out the order, and with it the index.
_ROWS = """
    SELECT count(*), coalesce(bit_xor(hashtextextended(ctid::text, 0)), 0)
    FROM (SELECT ctid FROM {table} WHERE {predicate} ORDER BY {keys} OFFSET 0) AS rows
"""
_BY_TABLE = ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan")
_BY_INDEX = (
    "enable_seqscan",
    "enable_sort",
    "enable_incremental_sort",
    "enable_bitmapscan",
)


class OwnDatabase(ABC):
    """A database that nobody else uses."""

    name: str
    # What a service is told, to keep its data there.
    settings: dict[str, Any]

    @abstractmethod
    def processes(self) -> list[psutil.Process]:
        """The database's own processes, the one that starts the others first."""

    @abstractmethod
    def kill(self) -> None:
        """Kills the database's own processes by SIGKILL, and starts them again."""

    @abstractmethod
    def faults(self) -> list[str]:
        """What is wrong within the database, as it says itself."""

    @abstractmethod
    def log_bytes(self) -> int:
        """The size of the write-ahead log on disk."""


class SqliteDatabase(OwnDatabase):
    """A file in a folder."""

    name = SQLITE

    def __init__(self, folder: Path) -> None:
        self.settings = {"data_dir": folder / "data"}
        self._path = folder / "data" / "customers.db"

    def processes(self) -> list[psutil.Process]:
        """None: the workers are the database."""
        return []

    def kill(self) -> None:
        """Does nothing."""

    def faults(self) -> list[str]:
        """Compares tables with indexes, and rows with their constraints."""
        return sqlite_faults(self._path)

    def log_bytes(self) -> int:
        """The size of the WAL file."""
        try:
            return self._path.with_name(self._path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0


class PostgresDatabase(OwnDatabase):
    """A PostgreSQL server in a folder, as durable as in production."""

    name = POSTGRESQL

    def __init__(self, folder: Path) -> None:
        self._folder = postgres.own_folder()
        server = postgres.Server(postgres.start(self._folder, _DURABLE))
        self._url = server.database()
        self.settings = {"data_dir": folder / "data", "database_url": self._url}

    def processes(self) -> list[psutil.Process]:
        """The postmaster and its children, of which some serve sessions."""
        pid_file = self._folder / POSTGRES / "postmaster.pid"
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            postmaster = psutil.Process(int(pid_file.read_text().splitlines()[0]))
            return [postmaster, *postmaster.children(recursive=True)]
        return []

    def kill(self) -> None:
        """Kills all processes of the server; it recovers from its write-ahead log."""
        self.stop()
        postgres.start(self._folder, _DURABLE)

    def stop(self) -> None:
        """Ends the server at once."""
        for postmaster in self.processes()[:1]:
            # So that it starts no others meanwhile.
            postmaster.suspend()
        end(self.processes())

    def faults(self) -> list[str]:
        """Compares every index with its table, as amcheck does, and looks for rows there twice."""
        return postgres_faults(self._url)

    def log_bytes(self) -> int:
        """The size of the files of the write-ahead log."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute("SELECT coalesce(sum(size), 0) FROM pg_ls_waldir()").fetchone()
        return int(row[0]) if row else 0


def end(processes: list[psutil.Process]) -> None:
    """Kills processes by SIGKILL, the first one first, and waits until they have ended."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, SECONDS)


@contextmanager
def opened(name: str, folder: Path) -> Iterator[OwnDatabase]:
    """Yields a new database of a kind, with its files in a folder."""
    if name == SQLITE:
        yield SqliteDatabase(folder)
        return
    database = PostgresDatabase(folder)
    try:
        yield database
    finally:
        database.stop()


def sqlite_faults(path: Path) -> list[str]:
    """Returns what `integrity_check` says is wrong in a file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        rows = connection.execute("PRAGMA integrity_check").fetchall()
    return [f"integrity_check: {row[0]}" for row in rows if row[0] != "ok"]


def postgres_faults(url: str) -> list[str]:
    """Returns which indexes of a database differ from their tables, and what is there twice."""
    with psycopg.connect(url, autocommit=True) as connection:
        # A write whose client has given up may still be committed between two looks.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            return [*_unlike_indexes(connection), *_twice(connection)]


def _unlike_indexes(connection: psycopg.Connection[Any]) -> Iterator[str]:
    for index, table, predicate, keys in connection.execute(_INDEXES).fetchall():
        # These are the database's own words.
        parts = {"table": table, "predicate": predicate, "keys": keys}
        query = sql.SQL(_ROWS).format(
            **{name: sql.SQL(cast("LiteralString", part)) for name, part in parts.items()}
        )
        with connection.transaction(force_rollback=True):
            _disable(connection, _BY_TABLE)
            expected = connection.execute(query).fetchone()
        with connection.transaction(force_rollback=True):
            _disable(connection, _BY_INDEX)
            plan = connection.execute(sql.SQL("EXPLAIN ") + query).fetchall()
            found = connection.execute(query).fetchone()
        if not any(f" using {index} " in line for (line,) in plan):
            yield f"index {index} could not be read: {plan}"
        elif found != expected:
            yield f"index {index} has {found}, its table {expected}"


def _twice(connection: psycopg.Connection[Any]) -> Iterator[str]:
    with connection.transaction(force_rollback=True):
        _disable(connection, _BY_TABLE)
        for column in ("email_key", "mobile", "phone", "customer_ref", "alternate_ref"):
            query = sql.SQL(
                "SELECT count(*) FROM (SELECT FROM customer WHERE deleted_at IS NULL AND {0} "
                "IS NOT NULL GROUP BY tenant, {0} HAVING count(*) > 1) AS twice"
            ).format(sql.Identifier(column))
            row = connection.execute(query).fetchone()
            if row and row[0]:
                yield f"{row[0]} values of {column} are there twice"


def _disable(connection: psycopg.Connection[Any], ways: tuple[str, ...]) -> None:
    """Has the planner avoid some ways until the transaction is rolled back."""
    for way in ways:
        connection.execute("SELECT set_config(%s, 'off', true)", [way])
