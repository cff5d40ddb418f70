"""How writes share commits: one thread runs them, and commits those that come together."""

import fcntl
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import peewee

from twc_customer_server.errors import Unavailable

T = TypeVar("T")

# Units of work that one commit may carry. More only makes the first one wait.
GROUP = 256

NOT_WRITTEN = "the database cannot be written now; try again"

_log = logging.getLogger(__name__)


class Writer:
    """Runs units of work one after another, and commits them in groups.

    A unit that fails undoes its own writes and no others. Several processes
    may write to one file: a lock beside it gives each its turn, where SQLite's
    own would let the quicker one starve the other.
    """

    def __init__(self, database: peewee.SqliteDatabase, path: Path) -> None:
        self._database = database
        self._turn = path.with_name(path.name + ".lock")
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread when all units that wait have run."""
        with self._lock:
            self._stopped = True
            self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits until no other process writes, and keeps others from writing meanwhile."""
        with self._turn.open("a") as file, _locked(file.fileno()):
            yield

    def is_current(self) -> bool:
        """Tells whether it is the thread that asks."""
        return threading.current_thread() is self._thread

    def run(self, unit: Callable[[], T], *, is_statement: bool = False) -> T:
        """Runs a unit and returns its result once that is on disk; raises what the unit raises.

        A single statement undoes itself if it fails. Raises Unavailable if the
        database does not serve the unit, or cannot commit, or the thread was
        stopped.
        """
        job = _Job(unit, is_statement=is_statement)
        with self._lock:
            if self._stopped:
                raise Unavailable(NOT_WRITTEN)
            self._waiting.put(job)
        result: T = job.outcome()
        return result

    def _work(self) -> None:
        with self._turn.open("a") as turn:
            while (first := self._waiting.get()) is not None:
                group, stopping = self._group(first)
                with _locked(turn.fileno()):
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
                connection: sqlite3.Connection = self._database.connection()
                for job in group:
                    undo = nullcontext() if job.is_statement else self._database.savepoint()
                    job.run(undo, connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller waits to be told
            _log.error("%d writes were not committed: %s", len(group), type(error).__name__)
            failure = Unavailable(NOT_WRITTEN)
        for job in group:
            job.report(failure)


class _Job:
    """A unit of work, what came of it, and its caller, who waits for that."""

    def __init__(self, unit: Callable[[], Any], *, is_statement: bool) -> None:
        self.is_statement = is_statement
        self._unit = unit
        self._result: Any = None
        self._error: Exception | None = None
        # A lock that is held until then: a future has three.
        self._pending = threading.Lock()
        self._pending.acquire()

    def run(self, undo: AbstractContextManager[object], connection: sqlite3.Connection) -> None:
        """Runs the unit within `undo`, which takes its writes back if it fails."""
        try:
            with undo:
                self._result = self._unit()
        except peewee.OperationalError as error:
            _log.error("the database did not serve a write: %s", type(error).__name__)
            self._error = Unavailable(NOT_WRITTEN)
        except Exception as error:  # noqa: BLE001 - raised again where the caller waits
            self._error = error
        if not connection.in_transaction:
            # SQLite gave the whole transaction up, as it does on a full disk.
            raise peewee.OperationalError("transaction lost")

    def report(self, failure: Exception | None) -> None:
        """Tells the caller, now that it is known whether the group was committed."""
        self._error = failure or self._error
        self._pending.release()

    def outcome(self) -> Any:
        """Waits for the report, and returns or raises what came of the unit."""
        with self._pending:
            if self._error:
                raise self._error
            return self._result


@contextmanager
def _locked(file: int) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
