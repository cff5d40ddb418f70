"""An event loop for pyvoy that runs callbacks at once, on the thread that schedules them.

pyvoy takes Envoy's events on a thread of its own, and has an event loop on another thread run
a callback for each. Those of the service only move bytes and admit calls: to wake a second
thread would cost more than they do.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any

_log = logging.getLogger(__name__)


class Future:
    """A result that one coroutine awaits, and any thread sets."""

    __slots__ = ("_error", "_is_done", "_lock", "_result", "_wake")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._wake: Callable[[], object] | None = None

    def done(self) -> bool:
        """Tells whether it is set."""
        return self._is_done

    def cancelled(self) -> bool:
        """Returns False: nothing cancels it."""
        return False

    def set_result(self, result: object) -> None:
        """Sets the result unless it is set, and has the coroutine go on, on this thread."""
        self._set(result, None)

    def set_exception(self, error: BaseException) -> None:
        """Sets what to raise in place of a result."""
        self._set(None, error)

    def wake_later(self, wake: Callable[[], object]) -> bool:
        """Calls back when it is set; returns False if it is, and then does not."""
        with self._lock:
            if not self._is_done:
                self._wake = wake
            return not self._is_done

    def __await__(self) -> Generator["Future", None, Any]:
        """Waits until it is set; returns the result, or raises the error."""
        if not self._is_done:
            yield self
        if self._error:
            try:
                raise self._error
            finally:
                # Its frames refer to this.
                self._error = None
        return self._result

    def _set(self, result: object, error: BaseException | None) -> None:
        with self._lock:
            if self._is_done:
                return
            self._result, self._error = result, error
            self._is_done = True
            wake, self._wake = self._wake, None
        if wake:
            wake()


class Loop(asyncio.AbstractEventLoop):
    """The part of an event loop that pyvoy uses."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def run_forever(self) -> None:
        """Waits for `stop`: callbacks are run elsewhere."""
        self._stopped.wait()

    def run_until_complete(self, future: Any) -> Any:
        """Runs a coroutine that waits for nothing."""
        return self.create_task(future).result()

    def stop(self) -> None:
        """Ends `run_forever`."""
        self._stopped.set()

    def close(self) -> None:
        """Does nothing: it has nothing to close."""

    async def shutdown_asyncgens(self) -> None:
        """Does nothing, as there are none."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Does nothing, as there is none."""

    def get_debug(self) -> bool:
        """Returns False."""
        return False

    # asyncio's return handles to cancel callbacks, which have run here.
    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: object,
        context: object = None,  # noqa: ARG002
    ) -> None:
        """Calls back at once."""
        try:
            callback(*args)
        except Exception as error:  # noqa: BLE001 - the thread serves every call
            _log.error("a callback of Envoy ended with %s", type(error).__name__)

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def create_future(self) -> Any:
        """Returns a future for pyvoy to set."""
        return Future()

    def create_task(self, coro: Any, **_: Any) -> Any:
        """Runs a coroutine until it waits, and then on the threads that set what it waits for."""
        outcome: asyncio.Future[Any] = asyncio.Future(loop=self)
        _step(coro, outcome)
        return outcome


class LoopPolicy(asyncio.DefaultEventLoopPolicy):
    """Has asyncio make loops of this module."""

    def new_event_loop(self) -> Loop:
        """Returns a new loop."""
        return Loop()  # type: ignore[abstract]  # pyvoy uses nothing else of it


def run(coroutine: Coroutine[Future, None, object]) -> None:
    """Runs a coroutine until it waits, and then on the threads that set what it waits for.

    Its errors are logged.
    """
    _step(coroutine, None)


def _step(
    coroutine: Coroutine[Future, None, object], outcome: "asyncio.Future[Any] | None"
) -> None:
    """Runs a coroutine until it waits, or ends with an outcome."""
    try:
        while not coroutine.send(None).wake_later(lambda: _step(coroutine, outcome)):
            pass
    except StopIteration as end:
        if outcome:
            outcome.set_result(end.value)
    except Exception as error:  # noqa: BLE001 - the thread serves every call
        if outcome:
            outcome.set_exception(error)
        else:
            _log.error("a call was left after %s", type(error).__name__)
