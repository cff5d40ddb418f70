"""The SQLite database: reads on each thread's own connection, writes in group commits."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from time import monotonic, perf_counter
from typing import TypeVar

import peewee

from twc_customer_server.concurrency import folder_lock
from twc_customer_server.errors import DatabaseDamaged, Unavailable, free_frames
from twc_customer_server.storage import sqlite_file, wal
from twc_customer_server.storage.changes import renew_epochs
from twc_customer_server.storage.database import (
    UNREACHABLE,
    Database,
    Parameters,
    Row,
    UniqueViolationError,
)
from twc_customer_server.storage.group_commit import GroupCommitter
from twc_customer_server.storage.migrate import ensure_served, migrate
from twc_customer_server.storage.sqlite_errors import ERRORS, ErrorsInUse, explained
from twc_customer_server.telemetry.metrics import OwnMetrics

T = TypeVar("T")

PRAGMAS = {
    "journal_mode": "wal",
    # An acknowledged write survives a loss of power.
    "synchronous": "full",
    "busy_timeout": 5000,
    # `wal.checkpoint` takes its place.
    "wal_autocheckpoint": 0,
    # What is erased is overwritten, but for parts of pages that were divided before: these
    # go with a VACUUM.
    "secure_delete": "on",
    # In KiB, for each reading thread; the system caches the file as well.
    "cache_size": -4 * 1024,
}


class Sqlite(peewee.SqliteDatabase, Database):
    """A SQLite file, with a connection for each reading thread and one writing thread."""

    named_parameter = ":{}"

    def __init__(
        self,
        path: Path,
        metrics: OwnMetrics | None = None,
        committer: Callable[..., GroupCommitter] = GroupCommitter,
    ) -> None:
        Database.__init__(self, metrics)
        self.path = path
        self.errors = ErrorsInUse(path)
        self._connections: list[sqlite3.Connection] = []
        self._is_shut = False
        self._has_turn = False
        super().__init__(str(path), pragmas=PRAGMAS, check_same_thread=False)
        self._writer = committer(self, path, self.errors, self.metrics)

    def _connect(self) -> sqlite3.Connection:
        if self._is_shut:
            raise peewee.OperationalError("shut down")
        connection: sqlite3.Connection = super()._connect()  # type: ignore[misc] # untyped in peewee
        self._connections.append(connection)
        return connection

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Checks the file, and keeps other processes from writing meanwhile.

        Raises CannotServeError, also instead of the driver's errors.
        """
        with explained(self.path), self._turn():
            sqlite_file.require_rights(self.path)
            sqlite_file.complete_restore(self.path)
            sqlite_file.require_sound(self.path)
            sqlite_file.require_own_tables(self.path, self.get_tables())
            yield

    def prepare(self) -> None:
        """Checks the schema version, or creates the schema, and starts the writing thread."""
        with self.opening():
            ensure_served(self)
            self._renew_if_copied()
            self._writer.checkpoint()
            self._writer.start()

    def migrate(self) -> list[str]:
        """Migrates the database; other processes write between the steps."""
        with folder_lock.locked(self.path.parent):
            with self.opening():
                self._renew_if_copied()
                # So that the log belongs to the file, also if this does not end well.
                self._writer.checkpoint()
            with explained(self.path):
                applied = migrate(self)
                with self._turn():
                    self._writer.checkpoint(more_follows=False)
        return applied

    def step(self, unit: Callable[[], T]) -> T:
        """Runs a unit of a migration while no other process writes."""
        with self._turn(), self.atomic("IMMEDIATE"):
            return unit()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Keeps other processes from writing, unless this one does so already."""
        if self._has_turn:
            yield
            return
        with self._writer.lock():
            self._has_turn = True
            try:
                yield
            finally:
                self._has_turn = False

    def _renew_if_copied(self) -> None:
        # An older version has no numbers of changes that a cursor could name.
        if wal.is_copy(self.path) and self.table_exists("change_sequence"):
            renew_epochs(self)

    def shut_down(self) -> None:
        """Completes the writes that have begun, then closes every connection."""
        self._writer.stop()
        self._is_shut = True
        with nullcontext() if self._writer.has_ended_log else self._kept_log():
            for connection in self._connections:
                connection.close()

    @contextmanager
    def _kept_log(self) -> Iterator[None]:
        """Has the log stay, as it would if this process was killed, when the connections close.

        SQLite would write it into the file, which would have the mark of a copy then. It does
        not for a connection that only reads, and is closed last.
        """
        log = wal.log_of(self.path)
        is_there = self.path.exists() and log.exists() and log.stat().st_size
        if not (self._connections and is_there):
            yield
            return
        with closing(wal.open_to_read(self.path)) as reader:
            # Before its first query a connection keeps nothing. In a damaged file that fails,
            # and keeps the log all the same.
            with suppress(sqlite3.Error):
                reader.execute("PRAGMA user_version").fetchall()
            yield

    def probe(self) -> None:
        """Reads from the file; one that is damaged answers: no other server would do better."""
        with suppress(Unavailable):
            with suppress(DatabaseDamaged):
                self.rows("SELECT name FROM sqlite_master LIMIT 1", {})
            self.answered_at = monotonic()

    @contextmanager
    def savepoint(self) -> Iterator[None]:  # type: ignore[override] # used in `with` alone
        """Undoes what the `with` block writes if it fails.

        The savepoints of Peewee have a name each, so that SQLite compiles their statements anew.
        """
        self.execute_sql("SAVEPOINT unit")
        try:
            yield
        except BaseException:
            self.execute_sql("ROLLBACK TO unit")
            # Else it would take the place of one around it, which has the same name.
            self.execute_sql("RELEASE unit")
            raise
        self.execute_sql("RELEASE unit")

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query on the thread's own connection."""
        began = perf_counter()
        try:
            # Without `execute_sql` of Peewee, which adds a quarter to the time of a read.
            rows: list[Row] = self.connection().execute(sql, parameters).fetchall()
        except ERRORS as error:
            raise self.errors.translate(error, UNREACHABLE) from error
        finally:
            if times := self.times.get(sql):
                times.observe(perf_counter() - began)
        self.answered_at = monotonic()
        return rows

    def run(self, sql: str, parameters: Parameters) -> int:
        """Runs a compiled statement of a unit of work, on the writing thread."""
        began = perf_counter()
        try:
            return int(self.execute_sql(sql, parameters).rowcount)
        except peewee.IntegrityError as error:
            # Peewee's own frame refers to it.
            free_frames(error)
            raise UniqueViolationError from error
        finally:
            if times := self.times.get(sql):
                times.observe(perf_counter() - began)

    def run_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        """Runs a compiled statement for each row of parameters."""
        return [self.run(sql, row) for row in rows]

    def write(
        self,
        unit: Callable[[], T],
        *,
        tenant: str = "",
        repeatable: bool = False,  # noqa: ARG002 - a write is not tried again
        bulk: bool = False,  # noqa: ARG002 - writes have no timeout
    ) -> T:
        """Runs a unit of work on the writing thread, and commits it with others."""
        if self._writer.is_current():
            with self.savepoint():
                return unit()
        return self._writer.run(unit, tenant)

    def write_one(self, sql: str, parameters: Parameters) -> int:
        """Runs a statement on the writing thread."""
        if self._writer.is_current():
            return self.run(sql, parameters)
        tenant = str(parameters.get("tenant", ""))
        return self._writer.run(lambda: self.run(sql, parameters), tenant, is_statement=True)
