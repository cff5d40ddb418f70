"""Marks a PostgreSQL database to which a copy is not complete, so that nobody serves it.

The mark is an empty table: no statement of the service comes upon it, a dump has it, and in a
cluster it is on the coordinator, so that a start does not need a machine that may be away.
"""

from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.storage.postgres_connection import Connection

COPY_AGAIN = "stop the service, empty the PostgreSQL database, and copy again"

_TABLE = b"incomplete_copy"


def is_marked(connection: Connection) -> bool:
    """Tells whether a copy to the database was begun and is not complete."""
    found = connection.execute(b"SELECT to_regclass('%b') IS NOT NULL" % _TABLE).fetchone()
    return bool(found and found[0])


def mark(connection: Connection) -> None:
    """Marks the database, unless it is marked already."""
    connection.execute(b"CREATE TABLE IF NOT EXISTS %b ()" % _TABLE)


def remove_mark(connection: Connection) -> None:
    """Says that the copy is complete."""
    connection.execute(b"DROP TABLE IF EXISTS %b" % _TABLE)


def require_unmarked(connection: Connection) -> None:
    """Raises CannotServeError if a copy to the database is not complete."""
    if is_marked(connection):
        raise CannotServeError(
            "the copy from SQLite to the PostgreSQL database is not complete: continue it with "
            f"python -m twc_customer_server copy --resume, or {COPY_AGAIN}"
        )
