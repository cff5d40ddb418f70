"""The PostgreSQL database: reads, transactions, and retries of transient failures."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from time import perf_counter
from typing import Any, TypeVar

import peewee
import psycopg
from playhouse.postgres_ext import Psycopg3Database

from twc_customer_server import contract
from twc_customer_server.errors import DatabaseDamaged, OutcomeUnknown, Unavailable, free_frames
from twc_customer_server.storage import citus, poolers, postgres_migrating
from twc_customer_server.storage.bulkhead import HANGING_SECONDS, Hangs, Work
from twc_customer_server.storage.database import (
    UNREACHABLE,
    CannotServeError,
    Database,
    Parameters,
    Row,
    UniqueViolationError,
)
from twc_customer_server.storage.migrate import migrate
from twc_customer_server.storage.postgres_connection import Connection
from twc_customer_server.storage.postgres_errors import (
    CONTENDED,
    DAMAGED,
    CommitLostError,
    PartlyCommittedError,
    backoff,
    is_transient,
    is_undecided,
    message_of,
)
from twc_customer_server.storage.postgres_pool import ConnectionPool
from twc_customer_server.storage.postgres_probe import Probe
from twc_customer_server.telemetry.metrics import OwnMetrics

T = TypeVar("T")

# Timeouts of a write and of an upload, as multiples of a read's: they are in
# proportion to the deadlines of the RPCs.
_WRITE = contract.WRITE_SECONDS / contract.READ_SECONDS
_BULK = contract.UPLOAD_SECONDS / contract.READ_SECONDS

# Attempts after transient failures, with exponential backoff and jitter between
# them. Conflicting uploads conflict until one after another has been committed.
_ATTEMPTS = 6
_CONTENDED_BULK_ATTEMPTS = 16

_IDLE = psycopg.pq.TransactionStatus.IDLE

_log = logging.getLogger(__name__)


class Postgres(Psycopg3Database, Database):  # type: ignore[misc] # untyped in peewee
    """A PostgreSQL database, with a connection pool and a transaction for each unit of work."""

    named_parameter = "%({})s"

    def __init__(  # noqa: PLR0913, PLR0917 - all settings of the database
        self,
        url: str,
        pool_size: int,
        seconds: float,
        wait_seconds: float,
        metrics: OwnMetrics | None = None,
        threads: int | None = None,
    ) -> None:
        """Does not connect yet. Raises CannotServeError if the URL is invalid.

        `seconds` is the timeout of a read; that of a write is three times, of an upload twelve
        times as long. `prepare` waits `wait_seconds` for the database. It is used by so many
        `threads`, if not by as many as there are connections.
        """
        Database.__init__(self, metrics)
        self._seconds = seconds
        self._wait_seconds = wait_seconds
        self._is_damaged = False
        self._pool = ConnectionPool(url, pool_size, seconds, self.metrics, threads)
        # Compares text by its bytes, as SQLite does, whatever the database's locale.
        Psycopg3Database.__init__(
            self, url, autoconnect=False, field_types={"TEXT": 'TEXT COLLATE "C"'}
        )

    def prepare(self, *, copying: bool = False) -> None:
        """Waits for the database; checks its schema version, or creates the schema.

        One that a copy has begun to fill is open only to what is `copying` to it.
        """
        self._pool.await_database(self._wait_seconds)
        with self.session() as connection:
            poolers.warn(connection, self._pool.setting)
            postgres_migrating.require_served(self, connection, self._pool, copying=copying)
        self._pool.open_for_calls(self._wait_seconds)

    def migrate(self) -> list[str]:
        """Migrates the database while no other process does."""
        self._pool.await_database(self._wait_seconds)
        with self.session() as connection, postgres_migrating.turn(self._pool):
            applied = migrate(self)
            citus.distribute_new(connection)
        return applied

    def step(self, unit: Callable[[], T]) -> T:
        """Runs a unit of a migration in a transaction that gives up rather than wait for locks."""
        return postgres_migrating.step(self.connection(), unit)

    def shut_down(self) -> None:
        """Closes every connection, those in use when they are returned or after some seconds."""
        self._pool.close()

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query, on the connection of this thread's unit of work if it has one."""

        def fetch() -> list[Row]:
            return self._execute(sql, parameters).fetchall()

        if self.is_closed():
            return self._retry(Work.of(parameters), fetch, self._seconds)
        return fetch()

    def run(self, sql: str, parameters: Parameters) -> int:
        """Runs a compiled statement of a unit of work."""
        try:
            return self._execute(sql, parameters).rowcount
        except psycopg.errors.UniqueViolation as error:
            raise UniqueViolationError from error

    def run_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        """Runs a compiled statement for all rows of parameters, in pipeline mode."""
        began = perf_counter()
        try:
            with self.connection().cursor() as cursor:
                cursor.executemany(sql, rows, returning=True)
                return [result.rowcount for result in cursor.results()]
        finally:
            if times := self.times.get(sql):
                times.observe(perf_counter() - began, len(rows))

    def write(
        self,
        unit: Callable[[], T],
        *,
        tenant: str = "",
        repeatable: bool = False,
        bulk: bool = False,
    ) -> T:
        """Runs a unit of work in a transaction, with retries of transient failures."""
        if not self.is_closed():
            with self.connection().transaction():
                return unit()
        seconds = self._seconds * (_BULK if bulk else _WRITE)
        return self._retry(
            Work(tenant, is_write=True, seconds=HANGING_SECONDS * (_BULK if bulk else 1)),
            lambda: self._transact(unit, bulk=bulk),
            seconds,
            _CONTENDED_BULK_ATTEMPTS if bulk else _ATTEMPTS,
            repeatable=repeatable,
        )

    def write_one(self, sql: str, parameters: Parameters) -> int:
        """Runs a compiled statement in autocommit, with retries of transient failures."""
        if not self.is_closed():
            return self.run(sql, parameters)
        work = Work.of(parameters, is_write=True)
        return self._retry(work, lambda: self._run_alone(sql, parameters), self._seconds * _WRITE)

    def new_probe(self) -> Probe:
        """Returns what asks the database on a connection of its own."""
        return self._pool.probe()

    def probe(self) -> None:
        """Asks on a connection of its own, since calls may wait for all those of the pool."""
        if self._pool.answers():
            self.answered_at = time.monotonic()

    def sample(self) -> None:
        """Adds to the metrics of the pool."""
        self._pool.sample()

    def _execute(self, sql: str, parameters: Parameters) -> psycopg.Cursor[Any]:
        """Runs a statement; its result must be read before the next one runs."""
        connection: Connection = self.connection()
        began = perf_counter()
        try:
            if connection.local_settings and connection.pgconn.transaction_status == _IDLE:
                # In one transaction with them, which the end of the pipeline commits.
                with connection.pipeline():
                    connection.set_locally()
                    return connection.reader.execute(sql, parameters, prepare=True)
            return connection.reader.execute(sql, parameters, prepare=True)
        finally:
            if times := self.times.get(sql):
                times.observe(perf_counter() - began)

    def _run_alone(self, sql: str, parameters: Parameters) -> int:
        """Runs a statement in autocommit. Raises CommitLostError if it may have taken effect."""
        connection: Connection = self.connection()
        connection.has_warned = False
        try:
            count = self.run(sql, parameters)
        except psycopg.OperationalError as error:
            if is_undecided(error, connection):
                raise CommitLostError from error
            raise
        if connection.has_warned:
            raise PartlyCommittedError
        return count

    def _transact(self, unit: Callable[[], T], *, bulk: bool) -> T:
        """Runs a unit in a transaction. Raises CommitLostError if that may be committed."""
        connection: Connection = self.connection()
        committing = False
        try:
            with connection.transaction() as transaction:
                if connection.local_settings:
                    connection.set_locally()
                if bulk:
                    of_upload = poolers.timeouts(self._seconds * _BULK)
                    connection.execute(poolers.setting(of_upload, is_local=True))
                result = unit()
                connection.has_warned = False
                committing = True
        except psycopg.OperationalError as error:
            if committing and is_undecided(error, connection):
                raise CommitLostError from error
            raise
        if connection.has_warned:
            raise PartlyCommittedError
        if transaction.status is not psycopg.Transaction.Status.COMMITTED:
            # The driver does not report a connection that was lost before the commit.
            raise psycopg.OperationalError("the connection was lost before the commit")
        return result

    def _retry(
        self,
        work: Work,
        function: Callable[[], T],
        seconds: float,
        contended_attempts: int = _ATTEMPTS,
        *,
        repeatable: bool = True,
    ) -> T:
        """Runs a function on a pooled connection, with retries.

        Raises Unavailable if nothing was changed, and OutcomeUnknown if that is
        not known of one of the attempts.
        """
        deadline = time.monotonic() + seconds
        is_undecided = False
        for attempt in count(1):
            try:
                with self._pool.connection(work, deadline) as connection:
                    return self._on(connection, function)
            except (
                psycopg.OperationalError,
                psycopg.InternalError,
                psycopg.errors.UndefinedTable,
                *poolers.FORGOTTEN,
            ) as error:
                free_frames(error)  # Those of the pool, and this one, refer to it.
                failure: psycopg.Error = error
            is_undecided |= isinstance(failure, CommitLostError)
            contended = failure.sqlstate in CONTENDED
            attempts = contended_attempts if contended else _ATTEMPTS
            pause = backoff(attempt)
            is_last = attempt >= attempts or time.monotonic() + pause > deadline
            if is_last or not is_transient(failure) or (is_undecided and not repeatable):
                break
            time.sleep(pause)
        if failure.sqlstate in DAMAGED:
            self._note_damage(failure)
            raise DatabaseDamaged from failure
        if is_undecided:
            _log.error("the database was lost while it committed a write: its outcome is not known")
            raise OutcomeUnknown from failure
        if not isinstance(failure, Hangs):
            _log.error("the database failed to serve a call: %s", type(failure).__name__)
        raise Unavailable(UNREACHABLE) from failure

    def _note_damage(self, failure: psycopg.Error) -> None:
        """Logs the first damage that is found; its message may hold personal data."""
        if not self._is_damaged:
            self._is_damaged = True
            _log.critical(
                "the database of DATABASE_URL is damaged (%s, SQLSTATE %s): find the place in the "
                "log of PostgreSQL, rebuild an index with REINDEX, or restore a backup",
                type(failure).__name__,
                failure.sqlstate,
            )

    def _on(self, connection: Connection, function: Callable[[], T]) -> T:
        """Runs a function whose statements use a connection."""
        self._state.set_connection(connection)
        try:
            result = function()
        finally:
            self._state.reset()
        self.answered_at = time.monotonic()
        return result

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """Runs this thread's statements on a connection of its own, without timeouts.

        Raises CannotServeError instead of the driver's errors.
        """
        try:
            with self._pool.connect() as connection:
                self._state.set_connection(connection)
                yield connection
        except (psycopg.Error, peewee.DatabaseError) as error:
            raise CannotServeError(f"the database failed: {message_of(error)}") from error
        finally:
            self._state.reset()
