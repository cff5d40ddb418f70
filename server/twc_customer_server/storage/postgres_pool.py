"""Pools connections to PostgreSQL, each used up to a deadline; drops those that are broken."""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import psycopg_pool
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import PoolTimeout

from twc_customer_server.storage import poolers
from twc_customer_server.storage.bulkhead import Bulkhead, Work
from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.storage.postgres_connection import Connection
from twc_customer_server.storage.postgres_probe import Probe
from twc_customer_server.telemetry.families import (
    POOL_CONNECTIONS,
    POOL_TIMEOUTS,
    POOL_WAITING,
    POOL_WAITS,
)
from twc_customer_server.telemetry.metrics import OwnMetrics

# Defaults that the URL may override. A peer that vanishes is noticed in half a minute.
_DEFAULTS: dict[str, Any] = {
    "application_name": "customer-api",
    "client_encoding": "utf8",
    "connect_timeout": "5",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}

# A request waits for a connection this fraction of a read's timeout, and only a
# moment while the database is known to be down: waiting threads would keep other
# calls from failing fast.
_WAIT_FRACTION = 0.25
_WAIT_SECONDS_WHILE_DOWN = 0.02

# The pool backs off between attempts to open a connection; after this time the
# next request starts a new attempt at once.
_RECONNECT_SECONDS = 1

# What a start waits at least for the first connection: the connect_timeout of the URL's defaults.
_FIRST_CONNECTION_SECONDS = 5

# Of several requests that find a standby, one replaces all connections.
_REPLACEMENT_SECONDS = 1

_LIFETIME_SECONDS = 1800
_IDLE_SECONDS = 300

_FIRST_BACKOFF_SECONDS = 0.1
_MAX_BACKOFF_SECONDS = 3.0

# An index has what is asked for in its order, and statements leave no other one: the planner is to
# neither sort nor read whole tables, as it may while it has no statistics of a tenant. So no value
# has a better plan than others, and one is made for a connection; one for each call would cost
# more than a get. Citus finds machines by the values. Databases differ in which settings they have.
_PLANNING = """
    SELECT name, CASE name WHEN 'plan_cache_mode' THEN 'force_generic_plan' ELSE 'off' END
    FROM pg_settings
    WHERE name IN ('enable_sort', 'enable_incremental_sort', 'enable_seqscan')
        OR (name = 'plan_cache_mode' AND to_regclass('citus_tables') IS NULL)
"""

# Time after its deadline until a connection is closed: the database's timeouts come first.
_DEADLINE_GRACE_SECONDS = 0.25

# At the end: time for threads that open connections, and between checks of those in use.
_CLOSING_SECONDS = 1
_POLL_SECONDS = 0.01

_log = logging.getLogger(__name__)

# It logs every checkout, with hosts and users. This module logs what matters.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)


class ConnectionPool:
    """At most `size` connections to the database of a URL, which a setting has."""

    setting = "DATABASE_URL"
    database = "the database"
    # The label of its metrics, which pools of the same label share.
    label = "primary"
    connection_class = Connection

    def __init__(
        self,
        url: str,
        size: int,
        statement_seconds: float,
        metrics: OwnMetrics,
        threads: int | None = None,
    ) -> None:
        """Does not connect yet. Raises CannotServeError if the URL is invalid.

        `threads` is the number of those that use it, if not as many as connections.
        """
        if not url:
            raise CannotServeError(
                f"{self.setting} is required: the URL of the PostgreSQL database"
            )
        try:
            self._conninfo = make_conninfo(**(_DEFAULTS | conninfo_to_dict(url)))
        except psycopg.ProgrammingError:
            # The driver's message would repeat the password.
            raise CannotServeError(
                f"{self.setting} cannot be parsed: percent-encode special characters in it"
            ) from None
        self._statement_seconds = statement_seconds
        self._pool = psycopg_pool.ConnectionPool(
            self._conninfo,
            connection_class=self.connection_class,
            # Prepares each statement when it first runs.
            kwargs={"autocommit": True, "prepare_threshold": 0},
            min_size=1,
            max_size=size,
            open=False,
            configure=self._configure,
            max_lifetime=_LIFETIME_SECONDS,
            max_idle=_IDLE_SECONDS,
            reconnect_timeout=_RECONNECT_SECONDS,
        )
        self._metrics = metrics
        # What the driver had counted at the last sample.
        self._sampled: Counter[str] = Counter()
        self._in_use: set[Connection] = set()
        self._bulkhead = Bulkhead(min(size, threads or size), metrics)
        # Whether no connection could be made when one was last waited for.
        self.is_down = False
        self._probe = self.probe()
        # Connections that were opened before this time may lead to a standby.
        self._replaced_at = -math.inf

    def await_database(self, seconds: float) -> None:
        """Waits until the database accepts connections. Raises CannotServeError after `seconds`."""
        deadline = time.monotonic() + seconds
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            try:
                self._connect().close()
            except psycopg.Error as error:
                left = deadline - time.monotonic()
                if left <= 0 or not isinstance(error, psycopg.OperationalError):
                    raise CannotServeError(
                        f"the database of DATABASE_URL cannot be reached: {error}"
                    ) from error
            else:
                return
            backoff = min(backoff, left)
            _log.warning("the database cannot be reached; trying again in %.1f s", backoff)
            time.sleep(backoff)
            backoff = min(backoff * 2, _MAX_BACKOFF_SECONDS)

    def connect(self) -> Connection:
        """Opens a connection outside the pool, without timeouts."""
        connection = self._connect()
        poolers.adapt(connection)
        return connection

    def _connect(self) -> Connection:
        return Connection.connect(self._conninfo, autocommit=True)

    def probe(self) -> Probe:
        """Returns what asks the database on a connection outside the pool."""
        return Probe(self._conninfo)

    def answers(self) -> bool:
        """Tells whether the database answers on a connection outside the pool, which it keeps.

        One thread calls.
        """
        if self._probe.ask(b"SELECT 1") is None:
            return False
        self._bulkhead.note_probe()
        return True

    def open(self) -> None:
        """Starts the pool."""
        if self._pool.closed:
            self._bulkhead.start()
        self._pool.open()

    def open_for_calls(self, seconds: float) -> None:
        """Starts the pool, and waits until the first call need not wait for a connection.

        Raises CannotServeError after `seconds`, but not before it had time to connect.
        """
        self.open()
        deadline = time.monotonic() + max(seconds, _FIRST_CONNECTION_SECONDS)
        while (left := deadline - time.monotonic()) > 0:
            with suppress(PoolTimeout):
                # The pool tries to connect for as long, and anew when it is asked again.
                self._pool.putconn(self._pool.getconn(min(left, _RECONNECT_SECONDS)))
                return
        raise CannotServeError(f"{self.database} of {self.setting} lets no connection serve calls")

    def close(self) -> None:
        """Closes idle connections, then those returned within a read's timeout, then the rest."""
        self._probe.close()
        self._pool.close(_CLOSING_SECONDS)
        deadline = time.monotonic() + self._statement_seconds
        while self._in_use and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        for connection in list(self._in_use):
            connection.abort()
        self._bulkhead.stop()

    def sample(self) -> None:
        """Adds to the metrics what has changed since the last time, by what the driver tells.

        One thread calls.
        """
        stats = Counter(self._pool.get_stats())
        new = stats.copy()
        new.subtract(self._sampled)
        self._sampled = stats
        series, label = self._metrics.series, self.label
        idle, size = new["pool_available"], new["pool_size"]
        series(POOL_CONNECTIONS, label, "idle").add(idle)
        series(POOL_CONNECTIONS, label, "in_use").add(size - idle)
        series(POOL_WAITING, label).add(new["requests_waiting"])
        waits = series(POOL_WAITS, label)
        waits.observe(new["requests_wait_ms"] / 1000, new["requests_queued"])
        series(POOL_TIMEOUTS, label).add(new["requests_errors"])

    @contextmanager
    def connection(self, work: Work, deadline: float) -> Iterator[Connection]:
        """Checks a connection out for some work, up to a deadline (of the monotonic clock).

        A broken connection, one to a standby, or one that a pooler has taken statements
        from, is replaced. Raises
        PoolTimeout if none is available for a while, Hangs, and PoolClosed.
        """
        use, is_answered = self._bulkhead.begin(work), True
        try:
            connection = self._check_out(deadline)
        except psycopg.Error:
            self._bulkhead.end(use, is_answered=False)
            raise
        connection.deadline = deadline + _DEADLINE_GRACE_SECONDS
        self._in_use.add(connection)
        self._bulkhead.take(use, connection)
        try:
            yield connection
        except psycopg.errors.ReadOnlySqlTransaction:
            connection.close()
            self._replace_all()
            raise
        except poolers.FORGOTTEN:
            connection.close()
            raise
        except psycopg.OperationalError:
            is_answered = False
            raise
        finally:
            self._in_use.discard(connection)
            self._bulkhead.end(use, is_answered=is_answered)
            self._pool.putconn(connection)

    def _check_out(self, deadline: float) -> Connection:
        """Returns the first connection of the pool that is usable; closes those that are not."""
        connection = self._next(deadline)
        while connection.opened < self._replaced_at or not connection.is_quiet():
            connection.close()
            self._pool.putconn(connection)
            connection = self._next(deadline)
        if self.is_down:
            self.is_down = False
            _log.warning("%s can be reached again", self.database)
        return connection

    def _next(self, deadline: float) -> Connection:
        """Returns the next connection of the pool, and notices when the database is down."""
        wait = (
            _WAIT_SECONDS_WHILE_DOWN if self.is_down else self._statement_seconds * _WAIT_FRACTION
        )
        try:
            return self._pool.getconn(min(wait, deadline - time.monotonic()))
        except PoolTimeout:
            if not (self.is_down or self._in_use or time.monotonic() > deadline):
                self.is_down = True
                _log.error("%s cannot be reached", self.database)
            raise

    def _replace_all(self) -> None:
        """Closes all connections on their next checkout, unless they were just replaced."""
        now = time.monotonic()
        if now > self._replaced_at + _REPLACEMENT_SECONDS:
            self._replaced_at = now

    def _configure(self, connection: Connection) -> None:
        connection.deadline = time.monotonic() + self._statement_seconds
        is_pooled = poolers.adapt(connection)
        settings = poolers.timeouts(self._statement_seconds)
        settings |= dict(connection.execute(_PLANNING))
        if is_pooled:
            connection.local_settings = poolers.setting(settings, is_local=True)
        else:
            connection.execute(poolers.setting(settings, is_local=False))
