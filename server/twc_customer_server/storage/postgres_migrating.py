"""Has one process at a time migrate a PostgreSQL database, in steps that hold nobody up."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import peewee
import psycopg
from psycopg import errors

from twc_customer_server.storage.copy_mark import require_unmarked
from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.storage.migrate import ensure_served, is_served
from twc_customer_server.storage.postgres_connection import Connection
from twc_customer_server.storage.postgres_errors import CONTENDED, sqlstate_of
from twc_customer_server.storage.postgres_pool import ConnectionPool

T = TypeVar("T")

# One process at a time gets the row; another one gets none, and asks again. Waiting for it would
# be a statement that has begun before an index: that waits for such statements.
_TAKE_TURN = b"SELECT id FROM migration_turn FOR UPDATE SKIP LOCKED"
_TURN_SECONDS = 0.1

# A step gives up after this time, while which all others would wait behind it. It tries again
# after a pause, for some minutes.
_GIVE_UP_SOON = b"SET LOCAL lock_timeout = '200ms'"
_PAUSE_SECONDS = 0.5
_STEP_SECONDS = 300
_LOCKED = CONTENDED | {"55P03"}
_LOCKED_OUT = (
    "the database cannot be migrated: for five minutes a transaction of another program has "
    "locked a table. End it (pg_stat_activity has it), then migrate again, which goes on from here"
)


@contextmanager
def turn(pool: ConnectionPool) -> Iterator[None]:
    """Keeps other processes from migrating, by a row lock.

    Unlike an advisory lock, every engine compatible with PostgreSQL has it, and every pooler.
    """
    with pool.connect() as connection:
        # Of two processes that create the table at once, one gets one of these.
        with suppress(errors.UniqueViolation, errors.DuplicateTable, errors.DuplicateObject):
            connection.execute("CREATE TABLE IF NOT EXISTS migration_turn (id integer PRIMARY KEY)")
        connection.execute("INSERT INTO migration_turn VALUES (1) ON CONFLICT DO NOTHING")
        while True:
            with connection.transaction():
                connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                if connection.execute(_TAKE_TURN).fetchone():
                    yield
                    return
            time.sleep(_TURN_SECONDS)


def step(connection: Connection, unit: Callable[[], T]) -> T:
    """Runs a unit of a migration in a transaction that gives up rather than wait for locks.

    Raises CannotServeError if it did not get them for minutes.
    """
    deadline = time.monotonic() + _STEP_SECONDS
    while True:
        try:
            with connection.transaction():
                connection.execute(_GIVE_UP_SOON)
                return unit()
        except (psycopg.Error, peewee.DatabaseError) as error:
            if sqlstate_of(error) not in _LOCKED:
                raise
            if time.monotonic() > deadline:
                raise CannotServeError(_LOCKED_OUT) from error
        time.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - no secret


def require_served(
    database: Any, connection: Connection, pool: ConnectionPool, *, copying: bool
) -> None:
    """Creates the schema in an empty database, while no other process does.

    Raises CannotServeError for one that this server does not serve, or, unless it is `copying`,
    whose copy is not complete.
    """
    _require_utf8(connection)
    if not is_served(database):
        with turn(pool):
            ensure_served(database)
    if not copying:
        require_unmarked(connection)


def _require_utf8(connection: Connection) -> None:
    """Raises CannotServeError if a database cannot hold every name."""
    [encoding] = connection.execute("SHOW server_encoding").fetchone() or [""]
    if encoding != "UTF8":
        raise CannotServeError(
            f"the database is encoded in {encoding}, which cannot hold every name: "
            "make one with ENCODING 'UTF8'"
        )
