"""The SQLite database: its connections, how it is read, and how writes share commits."""

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import peewee

from server.errors import Unavailable
from server.storage.schema import TABLES

T = TypeVar("T")
Row = tuple[Any, ...]

BUSY_MILLISECONDS = 5000

# Units of work that one commit may carry. More only makes the first one wait.
GROUP = 256

_PRAGMAS = {
    "journal_mode": "wal",
    # An acknowledged write survives the loss of power.
    "synchronous": "full",
    "busy_timeout": BUSY_MILLISECONDS,
    "cache_size": -64 * 1024,
}

_log = logging.getLogger(__name__)


class Database(peewee.SqliteDatabase):
    """A SQLite file, with a connection per thread that reads and one thread that writes."""

    def __init__(self, path: Path) -> None:
        self._connections: list[sqlite3.Connection] = []
        super().__init__(str(path), pragmas=_PRAGMAS, check_same_thread=False)
        self._writer = _Writer(self)

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._connect()  # type: ignore[misc] # untyped in peewee
        self._connections.append(connection)
        return connection

    def prepare(self) -> None:
        """Creates what is missing of the tables, and starts the writing thread."""
        with self.bind_ctx(TABLES):
            self.create_tables(TABLES)
        self._writer.start()

    def shut_down(self) -> None:
        """Ends the writes that have begun, then closes every connection."""
        self._writer.stop()
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


class _Writer:
    """A thread that runs units of work one after another and commits them in groups."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def run(self, unit: Callable[[], T]) -> T:
        job = _Job(unit)
        self._waiting.put(job)
        result: T = job.outcome.result()
        return result

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            group, stopping = self._group(first)
            self._commit(group)
            if stopping:
                return

    def _group(self, first: "_Job") -> tuple[list["_Job"], bool]:
        group = [first]
        while len(group) < GROUP:
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return group, True
            group.append(job)
        return group, False

    def _commit(self, group: list["_Job"]) -> None:
        failure = None
        try:
            with self._database.atomic("IMMEDIATE"):
                for job in group:
                    job.run(self._database)
        except Exception:  # noqa: BLE001 - whatever it is, every caller waits to be told
            _log.exception("a group of %d writes was not committed", len(group))
            failure = Unavailable("the database cannot be written now; try again")
        for job in group:
            job.report(failure)


class _Job:
    """A unit of work, what came of it, and the future that its caller waits for."""

    def __init__(self, unit: Callable[[], Any]) -> None:
        self._unit = unit
        self._result: Any = None
        self._error: Exception | None = None
        self.outcome: Future[Any] = Future()

    def run(self, database: Database) -> None:
        """Runs the unit so that its failure undoes its own writes and no others."""
        try:
            with database.savepoint():
                self._result = self._unit()
        except Exception as error:
            self._error = error
            if not database.connection().in_transaction:
                # SQLite gave the whole transaction up, as it does on a full disk.
                raise peewee.OperationalError("transaction lost") from error

    def report(self, failure: Exception | None) -> None:
        """Tells the caller, now that it is known whether the group was committed."""
        if error := failure or self._error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(self._result)
