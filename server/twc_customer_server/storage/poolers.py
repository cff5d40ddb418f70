"""Makes connections fit poolers, such as PgBouncer, that share the sessions of a database.

In its transaction mode each transaction may have another session: what one sets for longer
holds for other clients, and what it prepares is not there for the next one, unless the
pooler keeps that apart.
"""

import logging
import secrets
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import generators, sql

# They bound a statement, and the time between two of them.
_TIMEOUTS = ("statement_timeout", "idle_in_transaction_session_timeout")

# A statement that was prepared is gone, or there is one of another client with its name.
FORGOTTEN = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.DuplicatePreparedStatement)

_KEPT = "SELECT count(*) FROM pg_prepared_statements WHERE name = %s"

_log = logging.getLogger(__name__)


def timeouts(seconds: float) -> dict[str, str]:
    """Returns the settings by which statements, and pauses between them, have an end."""
    return dict.fromkeys(_TIMEOUTS, str(round(seconds * 1000)))


def setting(settings: Mapping[str, str], *, is_local: bool) -> bytes:
    """Returns a statement that sets all settings, only until the transaction ends if `is_local`."""
    template = sql.SQL("set_config({}, {}, {})")
    calls = [template.format(name, value, is_local) for name, value in settings.items()]
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls)).as_bytes()


def adapt(connection: psycopg.Connection[Any]) -> bool:
    """Tells whether a pooler is between a connection and the database.

    If it does not keep prepared statements apart, the connection uses none from now on.
    """
    # Nothing is prepared before it is known whether that can be.
    prepare_threshold, connection.prepare_threshold = connection.prepare_threshold, None
    is_pooled = _is_pooled(connection)
    if not is_pooled or _keeps_prepared(connection):
        connection.prepare_threshold = prepare_threshold
    return is_pooled


def _is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Tells whether a pooler is between a connection and the database: its process is another."""
    [process] = connection.execute("SELECT pg_backend_pid()").fetchone() or [0]
    return bool(process != connection.info.backend_pid)


def warn(connection: psycopg.Connection[Any], setting: str) -> None:
    """Logs what the pooler of a setting costs, if there is one and it could be had for less."""
    if connection.prepare_threshold is None:
        _log.warning(
            "the pooler of %s does not support prepared statements, so that every "
            "statement is planned anew: use PgBouncer 1.22 or newer with max_prepared_statements "
            "of 200 or more",
            setting,
        )


def _keeps_prepared(connection: psycopg.Connection[Any]) -> bool:
    """Tells whether a pooler keeps prepared statements apart: it gives them names of its own."""
    name = f"twc_{secrets.token_hex(8)}"
    # In one transaction, which has one session.
    with connection.transaction():
        connection.pgconn.send_prepare(name.encode(), b"SELECT 1")
        connection.wait(generators.execute(connection.pgconn))
        [kept] = connection.execute(_KEPT, [name]).fetchone() or [0]
        if kept:
            connection.execute(sql.SQL("DEALLOCATE {}").format(sql.Identifier(name)))
    return not kept
