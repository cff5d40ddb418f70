"""Connections to PostgreSQL: pooled, lent for a time, and given up where they lead nowhere."""

import logging
import math
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from twc_customer_server.storage.database import CannotServeError

# What a URL may say otherwise. A peer that vanishes is noticed in half a minute.
_DEFAULTS: dict[str, Any] = {
    "application_name": "customer-api",
    "client_encoding": "utf8",
    "connect_timeout": "5",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}

# A request waits for a connection this part of a read's time, and no longer
# than a moment once it is known that there is none: threads that wait while the
# database is away would keep others from being told so.
_WAITING = 0.25
_MOMENT_SECONDS = 0.02

# The pool pauses longer and longer between its tries to open a connection; one
# that it could not open for so long is tried anew by the next request, at once.
_RECONNECT_SECONDS = 1

# Of several requests that find that the primary is elsewhere, one has all
# connections opened anew.
_RENEWAL_SECONDS = 1

_LIFETIME_SECONDS = 1800
_IDLE_SECONDS = 300

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 3.0

# How far behind its time a connection is given up: the database's own limits come first.
_SLACK_SECONDS = 0.25

# What the end waits for threads that open connections, and looks for those that are lent.
_CLOSING_SECONDS = 1
_LOOK_SECONDS = 0.01

_log = logging.getLogger(__name__)

# It tells of every loan, and names hosts and users. What matters is said here.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)


class Connection(psycopg.Connection[Any]):
    """A connection that nobody waits for longer than up to its deadline (of the monotonic clock).

    At its deadline it is closed: what comes after would be the answer to
    something else.
    """

    deadline = math.inf

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opened = time.monotonic()
        # To make one for each statement takes as long as half of the rest.
        self.reader = self.cursor(binary=True)
        self._ear = select.poll()
        self._ear.register(self.fileno(), select.POLLIN)

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Does what the driver does for each of its steps, but no longer than to the deadline."""
        left = self.deadline - time.monotonic()
        try:
            return super().wait(gen, interval, left if timeout is None else min(left, timeout))
        except psycopg.OperationalError:
            if time.monotonic() > self.deadline and not self.closed:
                _log.error("a connection to the database was given up: no answer in time")
                self.close()
            raise

    def is_quiet(self) -> bool:
        """Tells whether nothing has come unasked: that is nearly always the connection's end."""
        return not self._ear.poll(0)

    def hang_up(self) -> None:
        """Ends the connection under a thread that waits for it, as if the peer had."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)


class Connections:
    """At most `size` connections to the database of a URL, each lent for a limited time."""

    def __init__(self, url: str, size: int, statement_seconds: float) -> None:
        """Connects to nothing yet. Raises CannotServeError if the URL is no such."""
        if not url:
            raise CannotServeError("DATABASE_URL is required, to say where PostgreSQL is")
        try:
            self._conninfo = make_conninfo(**(_DEFAULTS | conninfo_to_dict(url)))
        except psycopg.ProgrammingError:
            # Its words would repeat the password.
            raise CannotServeError(
                "DATABASE_URL cannot be read; is anything in it to be percent-encoded?"
            ) from None
        self._statement_seconds = statement_seconds
        self._pool = ConnectionPool(
            self._conninfo,
            connection_class=Connection,
            # Statements are prepared when they first run.
            kwargs={"autocommit": True, "prepare_threshold": 0},
            min_size=1,
            max_size=size,
            open=False,
            configure=self._configure,
            max_lifetime=_LIFETIME_SECONDS,
            max_idle=_IDLE_SECONDS,
            reconnect_timeout=_RECONNECT_SECONDS,
        )
        self._lent: set[Connection] = set()
        self._is_away = False
        # Connections that were opened before lead to what is no primary any more.
        self._renewed = -math.inf

    def await_database(self, seconds: float) -> None:
        """Waits for the database to take connections. Raises CannotServeError after a time."""
        deadline = time.monotonic() + seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                self.connect().close()
            except psycopg.Error as error:
                left = deadline - time.monotonic()
                if left <= 0 or not isinstance(error, psycopg.OperationalError):
                    raise CannotServeError(
                        f"the database of DATABASE_URL cannot be reached: {error}"
                    ) from error
            else:
                return
            pause = min(pause, left)
            _log.warning("the database cannot be reached; trying again in %.1f s", pause)
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def connect(self) -> Connection:
        """Opens a connection beside the pool, without limits of time."""
        return Connection.connect(self._conninfo, autocommit=True)

    def open(self) -> None:
        """Starts to lend connections."""
        self._pool.open()

    def close(self) -> None:
        """Closes what is not lent, then what comes back in the time of a read, then the rest."""
        self._pool.close(_CLOSING_SECONDS)
        deadline = time.monotonic() + self._statement_seconds
        while self._lent and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        for connection in list(self._lent):
            connection.hang_up()

    @contextmanager
    def lent(self, deadline: float) -> Iterator[Connection]:
        """Lends a connection, up to a deadline (of the monotonic clock).

        One that was lost meanwhile, or leads to a standby, is replaced. Raises
        PoolTimeout if there is none for a while, and PoolClosed.
        """
        connection = self._take(deadline)
        connection.deadline = deadline + _SLACK_SECONDS
        self._lent.add(connection)
        try:
            yield connection
        except psycopg.errors.ReadOnlySqlTransaction:
            connection.close()
            self._renew()
            raise
        finally:
            self._lent.discard(connection)
            self._pool.putconn(connection)

    def _take(self, deadline: float) -> Connection:
        """Takes a connection out of the pool, and drops those before it that lead nowhere."""
        connection = self._next(deadline)
        while connection.opened < self._renewed or not connection.is_quiet():
            connection.close()
            self._pool.putconn(connection)
            connection = self._next(deadline)
        if self._is_away:
            self._is_away = False
            _log.warning("there are connections to the database again")
        return connection

    def _next(self, deadline: float) -> Connection:
        """Takes a connection out of the pool, or finds out that there is none at all."""
        patience = _MOMENT_SECONDS if self._is_away else self._statement_seconds * _WAITING
        try:
            return self._pool.getconn(min(patience, deadline - time.monotonic()))
        except PoolTimeout:
            if not (self._is_away or self._lent or time.monotonic() > deadline):
                self._is_away = True
                _log.error("there is no connection to the database")
            raise

    def _renew(self) -> None:
        """Has the connections that there are dropped, unless that was done a moment ago."""
        now = time.monotonic()
        if now > self._renewed + _RENEWAL_SECONDS:
            self._renewed = now

    def _configure(self, connection: Connection) -> None:
        connection.deadline = time.monotonic() + self._statement_seconds
        milliseconds = round(self._statement_seconds * 1000)
        connection.execute(f"SET statement_timeout = {milliseconds}")
        connection.execute(f"SET idle_in_transaction_session_timeout = {milliseconds}")
