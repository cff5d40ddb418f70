"""The SQLite database: reads on each thread's own connection, writes in group commits.

One thread runs all writes of a process and commits those that are waiting
together, since a commit waits for the disk.
"""

import fcntl
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import peewee

from twc_customer_server.errors import OutcomeUnknown, ServiceError, Unavailable
from twc_customer_server.storage.database import (
    UNREACHABLE,
    Database,
    Parameters,
    Row,
    UniqueViolationError,
)
from twc_customer_server.storage.migrate import ensure_current, migrate

T = TypeVar("T")

_PRAGMAS = {
    "journal_mode": "wal",
    # An acknowledged write survives a loss of power.
    "synchronous": "full",
    "busy_timeout": 5000,
    # In pages: with fewer checkpoints, pages that change often are written less often.
    "wal_autocheckpoint": 4000,
    # In KiB, for each reading thread; the system caches the file as well.
    "cache_size": -8 * 1024,
}

# Units of work in one commit, at most: the first one waits for all others.
MAX_GROUP = 256

NOT_WRITTEN = "the database cannot be written now; try again"

_log = logging.getLogger(__name__)


class Sqlite(peewee.SqliteDatabase, Database):
    """A SQLite file, with a connection for each reading thread and one writing thread."""

    named_parameter = ":{}"

    def __init__(self, path: Path) -> None:
        self._connections: list[sqlite3.Connection] = []
        self._is_shut = False
        super().__init__(str(path), pragmas=_PRAGMAS, check_same_thread=False)
        self._writer = _GroupCommitter(self, path)

    def _connect(self) -> sqlite3.Connection:
        if self._is_shut:
            raise peewee.OperationalError("shut down")
        connection: sqlite3.Connection = super()._connect()  # type: ignore[misc] # untyped in peewee
        self._connections.append(connection)
        return connection

    def prepare(self) -> None:
        """Checks the schema version, or creates the schema, and starts the writing thread."""
        with self._writer.lock():
            ensure_current(self)
        self._writer.start()

    def migrate(self) -> list[str]:
        """Migrates the database while no other process writes."""
        with self._writer.lock():
            return migrate(self)

    def shut_down(self) -> None:
        """Completes the writes that have begun, then closes every connection."""
        self._writer.stop()
        self._is_shut = True
        for connection in self._connections:
            connection.close()

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query on the thread's own connection."""
        try:
            rows: list[Row] = self.execute_sql(sql, parameters).fetchall()
        except peewee.OperationalError as error:
            raise Unavailable(UNREACHABLE) from error
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
        repeatable: bool = False,  # noqa: ARG002 - a write is not tried again
        bulk: bool = False,  # noqa: ARG002 - writes have no timeout
    ) -> T:
        """Runs a unit of work on the writing thread, and commits it with others."""
        if self._writer.is_current():
            with self.savepoint():
                return unit()
        return self._writer.run(unit)

    def write_one(self, sql: str, parameters: Parameters) -> int:
        """Runs a statement on the writing thread."""
        if self._writer.is_current():
            return self.run(sql, parameters)
        return self._writer.run(lambda: self.run(sql, parameters), is_statement=True)


class _GroupCommitter:
    """Runs units of work one after another, and commits them in groups.

    A unit that fails rolls back its own writes only. Several processes may
    write to one file: a lock on a file beside it makes them take turns, where
    SQLite's own lock would let the fastest starve the others.
    """

    def __init__(self, database: peewee.SqliteDatabase, path: Path) -> None:
        self._database = database
        self._lock_file = path.with_name(path.name + ".lock")
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._state_lock = threading.Lock()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after all queued units have run."""
        with self._state_lock:
            self._is_stopped = True
            self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes from writing."""
        with self._lock_file.open("a") as file, _locked(file.fileno()):
            yield

    def is_current(self) -> bool:
        """Tells whether the calling thread is the writing thread."""
        return threading.current_thread() is self._thread

    def run(self, unit: Callable[[], T], *, is_statement: bool = False) -> T:
        """Runs a unit and returns its result once it is on disk; raises what the unit raises.

        A single statement needs no savepoint. Raises what `Database.write`
        raises, and Unavailable if the thread was stopped.
        """
        write = _Write(unit, is_statement=is_statement)
        with self._state_lock:
            if self._is_stopped:
                raise Unavailable(NOT_WRITTEN)
            self._queue.put(write)
        result: T = write.result()
        return result

    def _work(self) -> None:
        with self._lock_file.open("a") as file:
            while (first := self._queue.get()) is not None:
                group, is_last = self._group(first)
                with _locked(file.fileno()):
                    self._commit(group)
                if is_last:
                    return

    def _group(self, first: "_Write") -> tuple[list["_Write"], bool]:
        """Returns the queued writes, and whether they are the last ones."""
        group = [first]
        while len(group) < MAX_GROUP:
            try:
                write = self._queue.get_nowait()
            except queue.Empty:
                break
            if write is None:
                return group, True
            group.append(write)
        return group, False

    def _commit(self, group: list["_Write"]) -> None:
        failure: ServiceError | None = None
        try:
            with self._database.atomic("IMMEDIATE"):
                connection: sqlite3.Connection = self._database.connection()
                for write in group:
                    savepoint = nullcontext() if write.is_statement else self._database.savepoint()
                    write.run(savepoint, connection)
        except Exception as error:  # noqa: BLE001 - every caller waits for its result
            _log.error("%d writes were not committed: %s", len(group), type(error).__name__)
            failure = OutcomeUnknown() if _is_unsynced(error) else Unavailable(NOT_WRITTEN)
        for write in group:
            write.complete(failure)


class _Write:
    """A unit of work, its result or error, and the caller that waits for it."""

    def __init__(self, unit: Callable[[], Any], *, is_statement: bool) -> None:
        self.is_statement = is_statement
        self._unit = unit
        self._result: Any = None
        self._error: Exception | None = None
        # Held until the result is known; a Future would need three locks.
        self._pending = threading.Lock()
        self._pending.acquire()

    def run(
        self, savepoint: AbstractContextManager[object], connection: sqlite3.Connection
    ) -> None:
        """Runs the unit within a savepoint, which rolls its writes back if it fails."""
        try:
            with savepoint:
                self._result = self._unit()
        except peewee.OperationalError as error:
            _log.error("the database failed to run a write: %s", type(error).__name__)
            self._error = Unavailable(NOT_WRITTEN)
        except Exception as error:  # noqa: BLE001 - `result` raises it
            self._error = error
        if not connection.in_transaction:
            # SQLite rolled back the whole transaction, as it does on a full disk.
            raise peewee.OperationalError("transaction lost")

    def complete(self, failure: Exception | None) -> None:
        """Wakes the caller after the group was committed, or with the group's failure."""
        self._error = failure or self._error
        self._pending.release()

    def result(self) -> Any:
        """Waits until the write is complete; returns its result or raises its error."""
        with self._pending:
            if self._error:
                raise self._error
            return self._result


def _is_unsynced(error: BaseException | None) -> bool:
    """Tells whether a commit failed because the disk did not confirm that it has it.

    Every other failure rolls the transaction back for good. This one does until
    another commit is written in its place: if the machine ends before, the
    database may find the transaction in its log, and whole.
    """
    while error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_FSYNC:
            return True
        error = error.__context__
    return False


@contextmanager
def _locked(file: int) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
