"""Writes of a process to a SQLite file: one thread runs them, and commits those that wait together.

A commit waits for the disk, once for all of its group.
"""

import fcntl
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import peewee

from twc_customer_server.concurrency.executor import run_waiting
from twc_customer_server.concurrency.fair_queue import FairQueue
from twc_customer_server.errors import (
    DatabaseDamaged,
    OutcomeUnknown,
    ServiceError,
    Unavailable,
    free_frames,
)
from twc_customer_server.storage import sqlite_file, wal
from twc_customer_server.storage.sqlite_errors import ERRORS, ErrorsInUse
from twc_customer_server.telemetry.families import COMMIT_WAIT, COMMITS, COMMITTED_WRITES
from twc_customer_server.telemetry.metrics import OwnMetrics

T = TypeVar("T")

# Units of work in one commit, at most: the first one waits for all others.
MAX_GROUP = 256

# Time after which a group is committed with what has run. A unit that takes as long may be
# followed by others of its tenant that do: a group is committed before these, too.
_LONG_SECONDS = 0.05

NOT_WRITTEN = "the database cannot be written now; try again"

_log = logging.getLogger(__name__)


class GroupCommitter:
    """Runs units of work one after another, of tenants in turn, and commits them in groups.

    A unit that fails rolls back its own writes only. Several processes may
    write to one file: a lock on a file beside it makes them take turns, where
    SQLite's own lock would let the fastest starve the others.
    """

    def __init__(
        self,
        database: peewee.SqliteDatabase,
        path: Path,
        errors: ErrorsInUse,
        metrics: OwnMetrics,
    ) -> None:
        self._waits = metrics.series(COMMIT_WAIT)
        self._commits = metrics.series(COMMITS)
        self._written = metrics.series(COMMITTED_WRITES)
        self._database = database
        self._path = path
        self._errors = errors
        self._queue: FairQueue[str, _Write] = FairQueue()
        # Tenants whose last unit took long.
        self._slow: set[str] = set()
        # Guards the queue, and whether more may come.
        self._state = threading.Condition(threading.Lock())
        self._is_stopped = False
        # Whether SQLite may write the log into the file, which keeps its own mark.
        self.has_ended_log = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def start(self) -> None:
        """Starts the thread, with a database that is open."""
        self._log_length = wal.LogLength(self._path)
        self._opened_lock = sqlite_file.open_lock(self._path)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after all queued units have run."""
        with self._state:
            self._is_stopped = True
            self._state.notify()
        if self._thread.is_alive():
            self._thread.join()

    def checkpoint(self, *, more_follows: bool = True) -> None:
        """Copies the log into the file; the caller keeps other processes from writing."""
        self.has_ended_log = False
        try:
            wal.checkpoint(self._database.connection(), more_follows=more_follows)
        except ERRORS as error:
            # The log keeps everything, and the next checkpoint tries again.
            self._errors.translate(error, NOT_WRITTEN)
            _log.error("a checkpoint failed: %s", error)
        else:
            self.has_ended_log = not more_follows

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes from writing."""
        with sqlite_file.open_lock(self._path) as file, _locked(file.fileno()):
            yield

    def is_current(self) -> bool:
        """Tells whether the calling thread is the writing thread."""
        return threading.current_thread() is self._thread

    def run(self, unit: Callable[[], T], tenant: str = "", *, is_statement: bool = False) -> T:
        """Runs a unit and returns its result once it is on disk; raises what the unit raises.

        A single statement needs no savepoint. Raises what `Database.write`
        raises, and Unavailable if the thread was stopped.
        """
        write = _Write(unit, tenant, is_statement=is_statement)
        with self._state:
            if self._is_stopped:
                raise Unavailable(NOT_WRITTEN)
            if self._errors.is_damaged:
                raise DatabaseDamaged
            self._queue.add(tenant, write)
            self._state.notify()
        result: T = run_waiting(write.result)
        return result

    def _work(self) -> None:
        with self._opened_lock as file, closing(self._log_length):
            while group := self._group():
                try:
                    self._write(group, file.fileno())
                except Exception as error:  # noqa: BLE001 - other writes are waiting
                    _log.error("the writing thread failed with %s", type(error).__name__)
                    _complete(group, OutcomeUnknown())
                # Frees what they have written while the thread waits.
                del group
            # So that the file is whole, and not taken for a copy, when all have closed it.
            with _locked(file.fileno()):
                self.checkpoint(more_follows=False)

    def _write(self, group: list["_Write"], lock: int) -> None:
        """Commits writes when it is this process's turn, and shortens the log if it is long."""
        awaited = perf_counter()
        with _locked(lock):
            began = perf_counter()
            self._waits.add(began - awaited)
            self._commit(group, began)
            if self._log_length.is_due():
                self.checkpoint()
                self._log_length.note_checkpoint()

    def _group(self) -> list["_Write"]:
        """Waits for writes, and returns those of tenants in turn; none after the last ones."""
        group: list[_Write] = []
        with self._state:
            while not (self._queue or self._is_stopped):
                self._state.wait()
            while len(group) < MAX_GROUP and (taken := self._queue.take()):
                group.append(taken[1])
        return group

    def _put_off(self, group: list["_Write"], count: int) -> None:
        """Leaves the first writes in a group; the others are the next in their turns."""
        with self._state:
            self._queue.put_back((it.tenant, it) for it in group[count:])
        del group[count:]

    def _note(self, tenant: str, began: float) -> float:
        """Notes how long a unit of a tenant took; returns the time at which it ended."""
        ended = perf_counter()
        if ended - began > _LONG_SECONDS:
            self._slow.add(tenant)
        else:
            self._slow.discard(tenant)
        return ended

    def _commit(self, group: list["_Write"], began: float) -> None:
        failure: ServiceError | None = None
        try:
            with self._database.atomic("IMMEDIATE"):
                connection: sqlite3.Connection = self._database.connection()
                begins = began
                for count, write in enumerate(group):
                    if count and (begins - began > _LONG_SECONDS or write.tenant in self._slow):
                        self._put_off(group, count)
                        break
                    savepoint = nullcontext() if write.is_statement else self._database.savepoint()
                    write.run(savepoint, connection, self._errors)
                    begins = self._note(write.tenant, begins)
        except Exception as error:  # noqa: BLE001 - every caller waits for its result
            _log.error("%d writes were not committed: %s", len(group), type(error).__name__)
            self._errors.translate(error, NOT_WRITTEN)
            failure = OutcomeUnknown() if _is_unsynced(error) else Unavailable(NOT_WRITTEN)
            free_frames(error)
            if self._errors.is_damaged:
                failure = DatabaseDamaged()
        if not failure:
            self._commits.observe(perf_counter() - began)
            self._written.add(len(group))
        _complete(group, failure)


class _Write:
    """A unit of work, its result or error, and the caller that waits for it."""

    def __init__(self, unit: Callable[[], Any], tenant: str, *, is_statement: bool) -> None:
        self.is_statement = is_statement
        self.tenant = tenant
        self.unit = unit
        self._result: Any = None
        self._error: Exception | None = None
        self._is_complete = False
        # Held until the result is known; a Future would need three locks.
        self._pending = threading.Lock()
        self._pending.acquire()

    def run(
        self,
        savepoint: AbstractContextManager[object],
        connection: sqlite3.Connection,
        errors: ErrorsInUse,
    ) -> None:
        """Runs the unit within a savepoint, which rolls its writes back if it fails."""
        try:
            with savepoint:
                self._result = self.unit()
        except Exception as error:  # noqa: BLE001 - `result` raises it
            self._error = errors.translate(error, NOT_WRITTEN)
            if self._error is not error:
                _log.error("the database failed to run a write: %s", type(error).__name__)
                free_frames(error)
        if errors.is_damaged:
            # Nothing else of the group is written either.
            raise DatabaseDamaged
        if not connection.in_transaction:
            # SQLite rolled back the whole transaction, as it does on a full disk.
            raise peewee.OperationalError("transaction lost")

    def complete(self, failure: Exception | None) -> None:
        """Wakes the caller after the group was committed, or with the group's failure, once."""
        if not self._is_complete:
            self._is_complete = True
            self._error = failure or self._error
            self._pending.release()

    def result(self) -> Any:
        """Waits until the write is complete; returns its result or raises its error."""
        with self._pending:
            if self._error:
                try:
                    raise self._error
                finally:
                    # Its frames refer to this, and to all that the unit has written.
                    self._error = None
            return self._result


def _complete(group: Iterable[_Write], failure: Exception | None) -> None:
    for write in group:
        write.complete(failure)


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
