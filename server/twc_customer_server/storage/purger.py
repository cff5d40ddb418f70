"""Forgets, now and then, what is kept for a time only."""

import logging
import threading
from collections.abc import Callable

from twc_customer_server.errors import Unavailable

PERIOD_SECONDS = 3600

_log = logging.getLogger(__name__)


class Purging:
    """Runs a purge when it starts, and again after each period, in a thread of its own."""

    def __init__(self, purge: Callable[[], None]) -> None:
        self._purge = purge
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="purging", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Waits for a purge that runs, and has none follow."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                self._purge()
            except Unavailable:
                _log.warning("outcomes that are over could not be purged; they wait for the next")
            if self._stopped.wait(PERIOD_SECONDS):
                return
