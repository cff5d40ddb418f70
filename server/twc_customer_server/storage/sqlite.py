"""The SQLite database: its connections, and how it is read and written."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import peewee

from twc_customer_server.errors import Unavailable
from twc_customer_server.storage.database import (
    AWAY,
    Database,
    Parameters,
    Row,
    UniqueViolationError,
)
from twc_customer_server.storage.migrate import ensure_current, migrate
from twc_customer_server.storage.writer import Writer

T = TypeVar("T")

BUSY_MILLISECONDS = 5000

_PRAGMAS = {
    "journal_mode": "wal",
    # An acknowledged write survives the loss of power.
    "synchronous": "full",
    "busy_timeout": BUSY_MILLISECONDS,
    # In pages: fewer checkpoints write what changes again and again less often.
    "wal_autocheckpoint": 4000,
    # In KiB, for each thread that reads; beyond it is the cache of the system.
    "cache_size": -8 * 1024,
}


class Sqlite(peewee.SqliteDatabase, Database):
    """A SQLite file, with a connection per thread that reads and one thread that writes."""

    def __init__(self, path: Path) -> None:
        self._connections: list[sqlite3.Connection] = []
        self._is_shut = False
        super().__init__(str(path), pragmas=_PRAGMAS, check_same_thread=False)
        self._writer = Writer(self, path)

    def _connect(self) -> sqlite3.Connection:
        if self._is_shut:
            raise peewee.OperationalError("shut down")
        connection: sqlite3.Connection = super()._connect()  # type: ignore[misc] # untyped in peewee
        self._connections.append(connection)
        return connection

    def prepare(self) -> None:
        """Starts the writing thread, on a database of the version that this server serves."""
        with self._writer.turn():
            ensure_current(self)
        self._writer.start()

    def migrate(self) -> list[str]:
        """Brings the database to the newest version, in its turn among processes that write."""
        with self._writer.turn():
            return migrate(self)

    def shut_down(self) -> None:
        """Ends the writes that have begun, then closes every connection."""
        self._writer.stop()
        self._is_shut = True
        for connection in self._connections:
            connection.close()

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query on the thread's own connection."""
        try:
            rows: list[Row] = self.execute_sql(sql, parameters).fetchall()
        except peewee.OperationalError as error:
            raise Unavailable(AWAY) from error
        return rows

    def run(self, sql: str, parameters: Parameters) -> int:
        """Runs a compiled statement of a unit of work, on the writing thread."""
        try:
            return int(self.execute_sql(sql, parameters).rowcount)
        except peewee.IntegrityError as error:
            raise UniqueViolationError from error

    def run_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        """Runs a compiled statement for each row of parameters."""
        return [self.run(sql, row) for row in rows]

    def write(
        self,
        unit: Callable[[], T],
        *,
        repeatable: bool = False,  # noqa: ARG002 - what is committed is known
        bulk: bool = False,  # noqa: ARG002 - it takes the time it takes
    ) -> T:
        """Has the writing thread run a unit of work, and commit it with others."""
        if self._writer.is_current():
            with self.savepoint():
                return unit()
        return self._writer.run(unit)

    def write_one(self, sql: str, parameters: Parameters) -> int:
        """Has the writing thread run a statement."""
        if self._writer.is_current():
            return self.run(sql, parameters)
        return self._writer.run(lambda: self.run(sql, parameters), is_statement=True)
