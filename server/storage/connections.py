"""Connections to PostgreSQL: pooled, and cut where one outlives its time."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool

from server.storage.database import CannotServeError

Connection = psycopg.Connection[Any]

# What a URL may say otherwise. A peer that vanishes is noticed in half a minute.
_DEFAULTS: dict[str, Any] = {
    "application_name": "customer-api",
    "client_encoding": "utf8",
    "connect_timeout": "5",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}

# A request waits for a connection this part of its time: with the database
# away, threads that wait for long would keep others from being told so.
_WAITING = 0.25

# Connections that the pool could not open for so long are asked for anew, at
# once, by the next request.
_RECONNECT_SECONDS = 5

_LIFETIME_SECONDS = 1800
_IDLE_SECONDS = 300

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 3.0

# How far behind its time a connection is cut: the database's own limits come first.
_SLACK_SECONDS = 0.25

_log = logging.getLogger(__name__)


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
        self._watch = _Watch()

    def await_database(self, seconds: float) -> None:
        """Waits for the database to take connections. Raises CannotServeError after a time."""
        deadline = time.monotonic() + seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                if time.monotonic() + pause > deadline:
                    raise CannotServeError(
                        f"the database of DATABASE_URL cannot be reached: {error}"
                    ) from error
                _log.warning("the database cannot be reached; trying again in %.1f s", pause)
            else:
                return
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def connect(self) -> Connection:
        """Opens a connection beside the pool, without limits of time."""
        return psycopg.connect(self._conninfo, autocommit=True)

    def open(self) -> None:
        """Starts to lend connections."""
        self._pool.open()
        self._watch.start()

    def close(self) -> None:
        """Closes what is not lent, and what is when it comes back."""
        self._pool.close()
        self._watch.stop()

    @contextmanager
    def lent(self, deadline: float) -> Iterator[Connection]:
        """Lends a connection; at a deadline (of the monotonic clock) it is cut.

        One that was lost meanwhile, or leads to a standby, is replaced. Raises
        PoolTimeout if none is there in a part of the time.
        """
        connection = self._pool.getconn((deadline - time.monotonic()) * _WAITING)
        try:
            with self._watch.until(deadline + _SLACK_SECONDS, connection):
                yield connection
        except psycopg.errors.ReadOnlySqlTransaction:
            connection.close()
            raise
        finally:
            self._pool.putconn(connection)

    def _configure(self, connection: Connection) -> None:
        milliseconds = round(self._statement_seconds * 1000)
        connection.execute(f"SET statement_timeout = {milliseconds}")
        connection.execute(f"SET idle_in_transaction_session_timeout = {milliseconds}")


class _Watch:
    """Cuts connections whose time is over, so that whoever waits for one goes on."""

    def __init__(self) -> None:
        self._deadlines: dict[Connection, float] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="database-watch", daemon=True)

    def start(self) -> None:
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    @contextmanager
    def until(self, deadline: float, connection: Connection) -> Iterator[None]:
        with self._lock:
            self._deadlines[connection] = deadline
        try:
            yield
        finally:
            with self._lock:
                del self._deadlines[connection]

    def _work(self) -> None:
        while not self._stopped.wait(_SLACK_SECONDS):
            with self._lock:
                for connection, deadline in self._deadlines.items():
                    if time.monotonic() > deadline and not connection.closed:
                        _log.error("a connection to the database was cut: no answer in time")
                        _cut(connection)


def _cut(connection: Connection) -> None:
    """Ends a connection under the thread that waits for it, as if the peer had."""
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)
