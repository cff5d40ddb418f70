"""Calls a function again and again, on a thread of its own."""

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Periodic:
    """Calls a function at once, and then with some seconds in between, from `start` to `stop`."""

    def __init__(self, name: str, seconds: float, function: Callable[[], object]) -> None:
        """`name` is the thread's. What the function raises is logged, and it is called again."""
        self._seconds = seconds
        self._function = function
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Waits for a call in progress, and ends the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._function()
            except Exception as error:  # noqa: BLE001 - the thread must go on
                _log.error("%s failed with %s", self._thread.name, type(error).__name__)
            if self._stopped.wait(self._seconds):
                return
