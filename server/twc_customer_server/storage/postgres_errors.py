"""Tells whether to try again after an error of PostgreSQL, and what a failed write has done."""

import random

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from twc_customer_server.storage.postgres_connection import Connection

# SQLSTATEs of a lost connection, also of a coordinator to a machine of its cluster
# (None: the driver got none).
_LOST = frozenset(
    {"57P01", "57P02", "57P03", "57P05", "25P03", "08000", "08003", "08006", "08P01", None}
)

# SQLSTATEs of a serialization failure and of a deadlock.
CONTENDED = frozenset({"40001", "40P01"})

# Transient: these, the primary has become a standby, or a prepared statement is gone.
_TRANSIENT = _LOST | CONTENDED | {"25006", "26000", "42P05"}

# A table or an index is damaged.
DAMAGED = frozenset({"XX001", "XX002"})

# The server does not know, or cannot say, whether it has committed: these (40003, 08007) too.
_UNDECIDED = _LOST | {"40003", "08007"}

# Between attempts there is exponential backoff, with jitter so that rivals part.
_FIRST_BACKOFF_SECONDS = 0.01
_MAX_BACKOFF_SECONDS = 1


class CommitLostError(psycopg.OperationalError):
    """A transaction may have been committed, but no answer says so."""


class PartlyCommittedError(CommitLostError):
    """A transaction was committed, but a standby, or a machine of a cluster, may lack it.

    Another attempt would find it made, and tell the caller that it is safe.
    """

    def __init__(self) -> None:
        super().__init__("committed on some machines only")


def is_transient(failure: psycopg.Error) -> bool:
    """Tells whether a retry may succeed, on another connection or in another order."""
    return failure.sqlstate in _TRANSIENT and not isinstance(
        failure, (PoolTimeout, PoolClosed, PartlyCommittedError)
    )


def is_lost(failure: psycopg.Error) -> bool:
    """Tells whether a connection was lost, or could not be made."""
    return failure.sqlstate in _LOST and not isinstance(failure, PoolTimeout)


def is_undecided(failure: psycopg.Error, connection: Connection) -> bool:
    """Tells whether what failed may have been committed nevertheless."""
    return connection.closed or failure.sqlstate in _UNDECIDED


def sqlstate_of(error: BaseException | None) -> str | None:
    """Returns the SQLSTATE of an error of the driver, also of one that Peewee has wrapped."""
    cause = _of_driver(error)
    return cause.sqlstate if cause else None


def message_of(error: BaseException) -> str:
    """Returns the message of such an error without its details, which may have personal data."""
    cause = _of_driver(error)
    return (cause and cause.diag.message_primary) or str(error)


def _of_driver(error: BaseException | None) -> psycopg.Error | None:
    while error:
        if isinstance(error, psycopg.Error):
            return error
        error = error.__cause__ or error.__context__
    return None


def backoff(attempt: int) -> float:
    """Returns the seconds to wait after an attempt."""
    longest = min(_FIRST_BACKOFF_SECONDS * (1 << (attempt - 1)), _MAX_BACKOFF_SECONDS)
    return longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
