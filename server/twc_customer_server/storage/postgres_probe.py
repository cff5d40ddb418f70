"""Asks a PostgreSQL database on a connection beside those of its pool."""

import time

import psycopg
from psycopg.conninfo import make_conninfo

from twc_customer_server.storage.database import Row
from twc_customer_server.storage.postgres_connection import Connection

# By which the database knows the connection of probes.
PROBE_NAME = "customer-api-probe"

# Time to connect, and for an answer.
_SECONDS = 2


class Probe:
    """Asks on a connection of its own, which it keeps while that answers. One thread calls."""

    def __init__(self, conninfo: str) -> None:
        """Does not connect yet."""
        self._conninfo = make_conninfo(
            conninfo, connect_timeout=_SECONDS, application_name=PROBE_NAME
        )
        self._connection: Connection | None = None

    def ask(self, question: bytes) -> Row | None:
        """Returns the first row of an answer, None if none came in time."""
        try:
            if self._connection is None:
                self._connection = Connection.connect(self._conninfo, autocommit=True)
            self._connection.deadline = time.monotonic() + _SECONDS
            row: Row | None = self._connection.execute(question, prepare=False).fetchone()
        except psycopg.Error:
            self.close()
            return None
        return row

    def close(self) -> None:
        """Closes the connection, if there is one."""
        if self._connection:
            self._connection.close()
            self._connection = None
