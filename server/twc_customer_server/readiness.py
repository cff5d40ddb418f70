"""Tells whether a server can serve calls: its database answers, and keys verify tokens.

Looks are made in the background, so that who asks costs nothing, and gets an answer even if
all threads that run calls wait for the database.
"""

import logging
import time
from collections.abc import Callable

from twc_customer_server.concurrency.periodic import Periodic
from twc_customer_server.storage.database import Database

# Time between two looks at a database that answers no call meanwhile.
PROBE_SECONDS = 1

# Time without an answer after which the database counts as away: shorter than most failovers, and
# longer than it takes to replace connections that were lost.
AWAY_SECONDS = 5

_log = logging.getLogger(__name__)


class Readiness:
    """Looks at database and keys from `start` to `stop`."""

    def __init__(self, database: Database, has_keys: Callable[[], bool]) -> None:
        """`has_keys` tells at once whether the keys of the one issuer, if there is one, count."""
        self._database = database
        self._has_keys = has_keys
        self._lacking = ""
        self._probing = Periodic("database-probe", PROBE_SECONDS, self._probe)

    def start(self) -> None:
        """Starts to look, at a database that has answered just now."""
        self._database.answered_at = time.monotonic()
        self._probing.start()

    def stop(self) -> None:
        """Waits for a look in progress, which has an end, and stops."""
        self._probing.stop()

    def is_ready(self) -> bool:
        """Tells whether nothing is lacking, by what is known; never waits. Logs each change."""
        lacking = self._find_lacking()
        if lacking != self._lacking:
            self._lacking = lacking
            if lacking:
                _log.error("not ready: %s", lacking)
            else:
                _log.warning("ready again")
        return not lacking

    def _find_lacking(self) -> str:
        if time.monotonic() - self._database.answered_at > AWAY_SECONDS:
            return "the database does not answer"
        return "" if self._has_keys() else "there are no keys to verify tokens with"

    def _probe(self) -> None:
        if time.monotonic() - self._database.answered_at >= PROBE_SECONDS:
            self._database.probe()
