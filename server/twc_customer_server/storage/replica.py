"""A PostgreSQL replica that reads may use: what it has, and whether it is left out."""

import logging
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import psycopg

from twc_customer_server.concurrency.periodic import Periodic
from twc_customer_server.storage import poolers
from twc_customer_server.storage.bulkhead import Work
from twc_customer_server.storage.database import Parameters, Row
from twc_customer_server.storage.postgres_connection import Connection
from twc_customer_server.storage.postgres_errors import is_lost
from twc_customer_server.storage.postgres_pool import ConnectionPool
from twc_customer_server.telemetry.metrics import OwnMetrics

# A read of a replica may take this part of the time of a read, which leaves that of the primary
# within the deadline of the call.
_TIME_PART = 0.25

# Time between looks at a replica, and for which one is left out at least after a call failed.
LOOK_SECONDS = 1.0
_LEFT_OUT_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Position(NamedTuple):
    """A place in the write-ahead log of a database, in bytes; `system` is its identifier."""

    system: int
    wal: int


def position_sql(place: str, condition: str) -> str:
    """Returns the SQL of a place in the log, in bytes; null unless a condition holds."""
    return f"CASE WHEN {condition} THEN pg_wal_lsn_diff({place}, '0/0')::bigint END"


def look_sql(position: str) -> bytes:
    """Returns a statement that asks for the identifier of a database, and a position in its log."""
    return f"SELECT system_identifier, {position} FROM pg_control_system()".encode()  # noqa: S608 - names alone


# The position up to which a replica has replayed the log, null if it is none.
_POSITION = position_sql("pg_last_wal_replay_lsn()", "pg_is_in_recovery()")
_ASK_POSITION = f"SELECT {_POSITION}".encode()
_LOOK = look_sql(_POSITION)


class BehindError(Exception):
    """A replica has not replayed what a read must see."""


class NoReplicaError(psycopg.OperationalError):
    """What was a replica is none any more."""


class ReplicaConnection(Connection):
    """A connection to a replica, which remembers how far that was."""

    # Stays 0 behind a pooler, where the next transaction may be with another replica.
    replayed = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._before = self.cursor(binary=True)
        self._after = self.cursor(binary=True)

    def read(self, sql: str, parameters: Parameters, at_least: int) -> tuple[list[Row], int]:
        """Runs a query that sees all up to a position, in one round trip.

        Returns the position up to which the replica had replayed afterwards, too: nothing beyond
        it was seen. Raises BehindError, and NoReplicaError.
        """
        is_checked = at_least <= self.replayed
        with self.pipeline():
            if self.local_settings:
                self.set_locally()
            if not is_checked:
                # Each statement sees what was replayed when it began: this comes before it.
                self._before.execute(_ASK_POSITION, prepare=True)
            self.reader.execute(sql, parameters, prepare=True)
            self._after.execute(_ASK_POSITION, prepare=True)
        if not is_checked and _position(self._before) < at_least:
            raise BehindError
        rows, after = self.reader.fetchall(), _position(self._after)
        if not self.local_settings:
            self.replayed = after
        return rows, after


def _position(cursor: psycopg.Cursor[Any]) -> int:
    [position] = cursor.fetchone() or [None]
    if position is None:
        raise NoReplicaError
    return int(position)


class ReplicaPool(ConnectionPool):
    """Pools connections to a replica."""

    setting = "DATABASE_READ_URLS"
    database = "a replica of DATABASE_READ_URLS"
    label = "replica"
    connection_class = ReplicaConnection
    _is_configured = False

    def _configure(self, connection: Connection) -> None:
        super()._configure(connection)
        if not self._is_configured:
            self._is_configured = True
            poolers.warn(connection, self.setting)


class Replica:
    """A replica, at which a thread looks from `start` to `stop`."""

    def __init__(  # noqa: PLR0913, PLR0917 - all settings of a replica
        self,
        url: str,
        pool_size: int,
        seconds: float,
        max_lag_seconds: float,
        metrics: OwnMetrics,
        threads: int | None = None,
    ) -> None:
        """Does not connect yet. Raises CannotServeError if the URL is invalid.

        `seconds` is the timeout of a read of the primary.
        """
        self._seconds = seconds * _TIME_PART
        self._max_lag = max_lag_seconds
        self._pool = ReplicaPool(url, pool_size, self._seconds, metrics, threads)
        self._probe = self._pool.probe()
        self._looks = Periodic("replica", LOOK_SECONDS, self._look)
        self._lag_of: Callable[[Position, float], float] = lambda *_: math.inf
        self._lacking = "it has not answered yet"
        self._left_out_until = -math.inf
        # The position at which it was last seen, and the time by which it lags.
        self.replayed = 0
        self.lag_seconds = math.inf

    def start(self, lag_of: Callable[[Position, float], float]) -> None:
        """Begins to look; `lag_of` tells the lag of a position at a time, infinite if unknown."""
        self._lag_of = lag_of
        self._pool.open()
        self._looks.start()

    def stop(self) -> None:
        """Waits for a look in progress, and closes every connection."""
        self._looks.stop()
        self._probe.close()
        self._pool.close()

    def is_used(self) -> bool:
        """Tells whether reads may use it, by what is known; never waits."""
        return not self._lacking and time.monotonic() >= self._left_out_until

    def sample(self) -> None:
        """Adds to the metrics of the pool."""
        self._pool.sample()

    def read(self, sql: str, parameters: Parameters, at_least: int) -> tuple[list[Row], int]:
        """Runs a compiled query that sees all up to a position, within a quarter of a read's time.

        Returns a position beyond which nothing was seen, too. Raises BehindError and the driver's
        errors; one of a lost connection has the replica left out for some seconds.
        """
        deadline = time.monotonic() + self._seconds
        try:
            with self._pool.connection(Work.of(parameters), deadline) as connection:
                reader = cast("ReplicaConnection", connection)
                rows, position = reader.read(sql, parameters, at_least)
        except psycopg.OperationalError as error:
            if is_lost(error) or self._pool.is_down:
                self._left_out_until = time.monotonic() + _LEFT_OUT_SECONDS
            raise
        self.replayed = max(self.replayed, position)
        return rows, position

    def _look(self) -> None:
        began = time.monotonic()
        found = self._probe.ask(_LOOK)
        lacking = self._find_lacking(found, began)
        if lacking != self._lacking:
            if lacking:
                _log.warning("a replica of DATABASE_READ_URLS is left out: %s", lacking)
            else:
                _log.warning("a replica of DATABASE_READ_URLS is used")
        self._lacking = lacking

    def _find_lacking(self, found: Row | None, began: float) -> str:
        self.lag_seconds = math.inf
        if found is None:
            return "it does not answer"
        system, position = found
        if position is None:
            return "it is no replica"
        self.replayed = position
        self.lag_seconds = self._lag_of(Position(system, position), began)
        if self.lag_seconds > self._max_lag:
            return "it lags too far behind DATABASE_URL, or is of another database"
        return ""
