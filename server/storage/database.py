"""The SQLite database: its connections, and how it is read and written."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import peewee

from server.errors import Unavailable
from server.storage.migrate import ensure_current, migrate
from server.storage.writer import Writer

T = TypeVar("T")
Row = tuple[Any, ...]

BUSY_MILLISECONDS = 5000

_PRAGMAS = {
    "journal_mode": "wal",
    # An acknowledged write survives the loss of power.
    "synchronous": "full",
    "busy_timeout": BUSY_MILLISECONDS,
    "cache_size": -64 * 1024,
}


class Database(peewee.SqliteDatabase):
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
        """Starts the writing thread, on a database of the version that this server serves.

        An empty database becomes one. Raises SchemaMismatchError.
        """
        with self._writer.turn():
            ensure_current(self)
        self._writer.start()

    def migrate(self) -> list[str]:
        """Brings the database to the newest version; returns the migrations that it took.

        Of several processes at once, one does. Raises SchemaMismatchError.
        """
        with self._writer.turn():
            return migrate(self)

    def shut_down(self) -> None:
        """Ends the writes that have begun, then closes every connection."""
        self._writer.stop()
        self._is_shut = True
        for connection in self._connections:
            connection.close()

    def compile(self, statement: peewee.Node) -> str:
        """The SQL of a statement; its values become parameters in the order they stand."""
        sql, _ = self.get_sql_context().sql(statement).query()
        return str(sql)

    def rows(self, sql: str, parameters: Sequence[object]) -> list[Row]:
        """Runs a compiled query on the thread's own connection. Raises Unavailable."""
        try:
            rows: list[Row] = self.execute_sql(sql, parameters).fetchall()
        except peewee.OperationalError as error:
            raise Unavailable("the database cannot be read now; try again") from error
        return rows

    def write(self, unit: Callable[[], T]) -> T:
        """Runs a unit of work in a transaction and returns its result once that is on disk.

        What the unit raises undoes what it wrote, and is raised here. Raises
        Unavailable if the database cannot commit.
        """
        return self._writer.run(unit)
