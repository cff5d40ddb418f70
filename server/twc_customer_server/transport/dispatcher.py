"""Takes the calls that grpcio submits to its executor, and hands each to what serves it."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from twc_customer_server.transport.incoming import Behavior, IncomingCall

Accept = Callable[[IncomingCall], object]

_log = logging.getLogger(__name__)


class Dispatcher:
    """Hands each call to the function that accepts the calls of its handler."""

    def __init__(self, accepts: Mapping[Behavior, Accept]) -> None:
        self._accepts = accepts

    @property
    def executor(self) -> ThreadPoolExecutor:
        """Returns itself as the executor of grpcio, which calls nothing but `submit`."""
        return cast("ThreadPoolExecutor", self)

    def submit(self, *submitted: Any) -> None:
        """Takes a call from grpcio, on the thread that reads its events.

        That must not wait or fail. Without a Future to return, grpcio does
        not count calls, which `Limits` does.
        """
        call = IncomingCall(submitted)
        try:
            self._accepts[call.behavior](call)
        except Exception as error:  # noqa: BLE001 - grpcio's thread serves every call
            _log.error("a call was cancelled after %s", type(error).__name__)
            call.cancel()
