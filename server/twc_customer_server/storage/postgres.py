"""The PostgreSQL database: how it is read and written, and what becomes of its failures."""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, TypeVar

import peewee
import psycopg
from playhouse.postgres_ext import Psycopg3Database
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout

from twc_customer_server.errors import Unavailable
from twc_customer_server.storage.database import (
    AWAY,
    CannotServeError,
    Database,
    Parameters,
    Row,
    UniqueViolationError,
)
from twc_customer_server.storage.migrate import ensure_current, is_current, migrate
from twc_customer_server.storage.postgres_pool import Connection, Connections

T = TypeVar("T")

# What a write, and an upload, may take as a multiple of what a read may: as
# the deadlines of the gateway's routes.
_WRITE = 3
_BULK = 12

# Tries of what failed for now, and the pauses between them, which double.
# Uploads that got in each other's way do so until one after the other is through.
_TRIES = 6
_CONTENDED_BULK_TRIES = 16
_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 1

# The connection was lost, by SQLSTATE: the server is shutting down or would
# not wait, a pooler in between says so, or, where there is none, nobody did.
_LOST = frozenset(
    {"57P01", "57P02", "57P03", "57P05", "25P03", "08000", "08003", "08006", "08P01", None}
)

# Another transaction got in the way.
_CONTENDED = frozenset({"40001", "40P01"})

# What a unit of work may run again after: these, or the primary has become a standby.
_FOR_NOW = _LOST | _CONTENDED | {"25006"}

# The server itself does not know whether it has committed.
_STATEMENT_COMPLETION_UNKNOWN = "40003"

_UNKNOWN = "the database was lost while it committed; whether the change was made is not known"

# Sets both of what `Connections` sets, until the transaction ends.
_ALLOW = """
    SELECT set_config('statement_timeout', %s, true),
        set_config('idle_in_transaction_session_timeout', %s, true)
"""

_log = logging.getLogger(__name__)


class Postgres(Psycopg3Database, Database):  # type: ignore[misc] # untyped in peewee
    """A PostgreSQL database, with a pool of connections and a transaction per unit of work."""

    def __init__(self, url: str, pool_size: int, seconds: float, wait_seconds: float) -> None:
        """Connects to nothing yet.

        A read takes at most `seconds`, a write three times and an upload
        twelve times as long; a start waits `wait_seconds` for the database.
        """
        self._seconds = seconds
        self._wait_seconds = wait_seconds
        self._connections = Connections(url, pool_size, seconds)
        # Text is compared by its bytes, as SQLite does, whatever the database's language.
        super().__init__(url, autoconnect=False, field_types={"TEXT": 'TEXT COLLATE "C"'})

    def prepare(self) -> None:
        """Waits for the database; makes an empty one current, in its turn among processes."""
        self._connections.await_database(self._wait_seconds)
        with self.session() as connection:
            _refuse_encoding(connection)
            current = is_current(self)
        if not current:
            with self.session(), self._turn():
                ensure_current(self)
        self._connections.open()

    def migrate(self) -> list[str]:
        """Brings the database to the newest version, in its turn among processes that do."""
        self._connections.await_database(self._wait_seconds)
        with self.session(), self._turn():
            return migrate(self)

    def shut_down(self) -> None:
        """Closes every connection, those in use after what they do, or after some seconds."""
        self._connections.close()

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query, on any connection if no unit of work runs in this thread."""
        if self.is_closed():
            return self._attempt(lambda: self._send(sql, parameters).fetchall(), self._seconds)
        return self._send(sql, parameters).fetchall()

    def run(self, sql: str, parameters: Parameters) -> int:
        """Runs a compiled statement of a unit of work."""
        try:
            return self._send(sql, parameters).rowcount
        except errors.UniqueViolation as error:
            raise UniqueViolationError from error

    def run_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        """Runs a compiled statement for all rows of parameters, sent without waiting for each."""
        connection: Connection = self.connection()
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows, returning=True)
            return [result.rowcount for result in cursor.results()]

    def write(self, unit: Callable[[], T], *, repeatable: bool = False, bulk: bool = False) -> T:
        """Runs a unit of work in a transaction, again if that failed for now."""
        if not self.is_closed():
            return self._transact(unit, repeatable=True, bulk=False)
        seconds = self._seconds * (_BULK if bulk else _WRITE)
        return self._attempt(
            lambda: self._transact(unit, repeatable=repeatable, bulk=bulk),
            seconds,
            _CONTENDED_BULK_TRIES if bulk else _TRIES,
        )

    def write_one(self, sql: str, parameters: Parameters) -> int:
        """Runs a compiled statement, which commits itself, again if that failed for now."""
        if not self.is_closed():
            return self.run(sql, parameters)
        return self._attempt(lambda: self.run(sql, parameters), self._seconds * _WRITE)

    def _send(self, sql: str, parameters: Parameters) -> psycopg.Cursor[Any]:
        """Runs a statement; what it returns is to be read before the next one."""
        connection: Connection = self.connection()
        return connection.reader.execute(sql, parameters, prepare=True)

    def _transact(self, unit: Callable[[], T], *, repeatable: bool, bulk: bool) -> T:
        connection: Connection = self.connection()
        committing = False
        try:
            with connection.transaction() as transaction:
                if bulk:
                    self._allow_time(connection)
                result = unit()
                committing = True
        except psycopg.OperationalError as error:
            if committing and not repeatable and _is_outcome_unknown(error, connection):
                raise Unavailable(_UNKNOWN) from error
            raise
        if transaction.status is not psycopg.Transaction.Status.COMMITTED:
            # The driver keeps quiet about a connection that was lost before.
            raise psycopg.OperationalError("the connection was lost before the commit")
        return result

    def _allow_time(self, connection: Connection) -> None:
        """Lets a transaction wait, and be waited for, as long as an upload may take."""
        milliseconds = str(round(self._seconds * _BULK * 1000))
        connection.execute(_ALLOW, (milliseconds, milliseconds))

    def _attempt(self, work: Callable[[], T], seconds: float, contended_tries: int = _TRIES) -> T:
        """Does some work on a lent connection, again if that failed for now. Raises Unavailable."""
        deadline = time.monotonic() + seconds
        for number in count(1):
            try:
                with self._connections.lent(deadline) as connection:
                    return self._on(connection, work)
            except (
                psycopg.OperationalError,
                psycopg.InternalError,
                errors.UndefinedTable,
            ) as error:
                failure: psycopg.Error = error
            tries = contended_tries if failure.sqlstate in _CONTENDED else _TRIES
            pause = _pause(number)
            is_last = number >= tries or time.monotonic() + pause > deadline
            if is_last or not _is_for_now(failure):
                break
            time.sleep(pause)
        _log.error("the database did not serve a call: %s", type(failure).__name__)
        raise Unavailable(AWAY) from failure

    def _on(self, connection: Connection, work: Callable[[], T]) -> T:
        """Does some work whose statements run on a connection."""
        self._state.set_connection(connection)
        try:
            return work()
        finally:
            self._state.reset()

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """Has what this thread asks run on a connection of its own, which takes its time.

        Raises CannotServeError in the place of the driver's errors.
        """
        try:
            with self._connections.connect() as connection:
                self._state.set_connection(connection)
                yield connection
        except (psycopg.Error, peewee.DatabaseError) as error:
            raise CannotServeError(f"the database cannot be made ready: {error}") from error
        finally:
            self._state.reset()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Waits until no other process migrates, and keeps others from it meanwhile.

        A lock on a row, which every engine that speaks for PostgreSQL has.
        """
        with self._connections.connect() as connection:
            connection.execute("SET idle_in_transaction_session_timeout = 0")
            # Of two that make the table at once one is told so, in one of three ways.
            with suppress(errors.UniqueViolation, errors.DuplicateTable, errors.DuplicateObject):
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS migration_turn (id integer PRIMARY KEY)"
                )
            connection.execute("INSERT INTO migration_turn VALUES (1) ON CONFLICT DO NOTHING")
            with connection.transaction():
                connection.execute("SELECT id FROM migration_turn FOR UPDATE")
                yield


def _pause(number: int) -> float:
    """The pause after a try. Of those that met, one is to be first the next time."""
    longest = min(_PAUSE_SECONDS * (1 << (number - 1)), _LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.5, 1)  # noqa: S311 - no secret


def _is_for_now(failure: psycopg.Error) -> bool:
    """Tells whether what failed may succeed at once, on another connection or in another order."""
    return failure.sqlstate in _FOR_NOW and not isinstance(failure, (PoolTimeout, PoolClosed))


def _is_outcome_unknown(failure: psycopg.Error, connection: Connection) -> bool:
    """Tells whether a transaction may have been committed although its commit failed."""
    return (
        connection.closed
        or failure.sqlstate in _LOST
        or failure.sqlstate == _STATEMENT_COMPLETION_UNKNOWN
    )


def _refuse_encoding(connection: Connection) -> None:
    [encoding] = connection.execute("SHOW server_encoding").fetchone() or [""]
    if encoding != "UTF8":
        raise CannotServeError(
            f"the database is encoded in {encoding}, which cannot hold every name: "
            "make one with ENCODING 'UTF8'"
        )
