"""A connection to PostgreSQL that nobody waits for beyond a deadline."""

import logging
import math
import os
import select
import socket
import time
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen

_log = logging.getLogger(__name__)


class Connection(psycopg.Connection[Any]):
    """A connection that is closed at its deadline (of the monotonic clock).

    It cannot be used after that: a late result would be taken for that of
    another statement.
    """

    deadline = math.inf

    # What to run at the beginning of each transaction behind a pooler: what is set for longer
    # would hold for its other clients. None where the session is this connection's own.
    local_settings: bytes | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opened = time.monotonic()
        # Whether the server has sent a warning since this was last set to False. With a commit
        # it says that a standby, or a machine of a cluster, may lack it.
        self.has_warned = False
        self.add_notice_handler(self._note)
        # A new cursor for each statement would cost half as much as the statement.
        self.reader = self.cursor(binary=True)
        self._poll = select.poll()
        self._poll.register(self.fileno(), select.POLLIN)

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Waits as the driver does, but only up to the deadline."""
        left = self.deadline - time.monotonic()
        try:
            return super().wait(gen, interval, left if timeout is None else min(left, timeout))
        except psycopg.OperationalError:
            if time.monotonic() > self.deadline and not self.closed:
                _log.error(
                    "a connection to the database was closed: no response before its deadline"
                )
                self.close()
            raise

    def set_locally(self) -> None:
        """Makes the settings of the pool, until the transaction ends."""
        self.execute(self.local_settings or b"", prepare=True)

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        self.has_warned |= notice.severity_nonlocalized == "WARNING"

    def is_quiet(self) -> bool:
        """Tells whether nothing was received; between statements, data nearly always is a close."""
        return not self._poll.poll(0)

    def abort(self) -> None:
        """Shuts the socket down, which wakes a thread that waits for it."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)
