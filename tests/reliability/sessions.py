"""The sessions that a PostgreSQL database has, as another session sees and hinders them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from twc_customer_server.storage.postgres_probe import PROBE_NAME

# Runs a statement and returns the rows of its answer.
Ask = Callable[[str], list[tuple[Any, ...]]]


def asker(connection: psycopg.Connection[tuple[Any, ...]]) -> Ask:
    """Runs statements on a connection."""

    def ask(statement: str) -> list[tuple[Any, ...]]:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    return ask


def hasten_deadlocks(ask: Ask) -> None:
    """Has the database notice deadlocks soon, if the tests may: it looks after a second."""
    with suppress(psycopg.errors.InsufficientPrivilege):
        alter(ask, "SET deadlock_timeout = 100")


def alter(ask: Ask, change: str) -> None:
    """Changes what sessions of the database are like that begin from now on."""
    [[name]] = ask("SELECT current_database()")
    ask(f'ALTER DATABASE "{name}" {change}')


def waiting(ask: Ask) -> int:
    """How many sessions of the service wait for a lock."""
    return sessions(ask, "wait_event_type").count(("Lock",))


def processes(ask: Ask) -> set[int]:
    """The processes of the database that serve the service's sessions, but for its probe's."""
    named = sessions(ask, "pid, application_name")
    return {process for process, name in named if name != PROBE_NAME}


def stored(ask: Ask, what: str = "id") -> list[Any]:
    """A column of all live customers, in the order of their creation."""
    rows = ask(f"SELECT {what} FROM customer WHERE deleted_at IS NULL ORDER BY id")  # noqa: S608 - the test's own
    return [value for [value] in rows]


@contextmanager
def locked_table(ask: Ask) -> Iterator[None]:
    """Has every other session wait that comes near the customers."""
    ask("BEGIN")
    ask("LOCK TABLE customer")
    try:
        yield
    finally:
        ask("ROLLBACK")


@contextmanager
def locked_rows(ask: Ask) -> Iterator[None]:
    """Has every other session wait that changes a customer."""
    ask("BEGIN")
    ask("SELECT FROM customer FOR UPDATE")
    try:
        yield
    finally:
        ask("ROLLBACK")


def sessions(ask: Ask, column: str) -> list[tuple[Any, ...]]:
    """Returns a column of `pg_stat_activity` for all sessions but the one that asks."""
    # Within a transaction it would say the same every time.
    ask("SELECT pg_stat_clear_snapshot()")
    return ask(
        f"SELECT {column} FROM pg_stat_activity WHERE backend_type = 'client backend' "  # noqa: S608 - the test's own
        "AND datname = current_database() AND pid <> pg_backend_pid()"
    )
