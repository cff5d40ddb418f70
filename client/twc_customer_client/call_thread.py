"""A thread that makes gRPC calls, so that Ctrl-C cannot interrupt grpcio."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class CallThread:
    """Makes calls one after another in a thread of its own.

    Ctrl-C raises KeyboardInterrupt anywhere in the main thread. Within grpcio
    it would leave a lock held, and the process would never exit.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[PendingCall[Any] | None] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, call: Callable[[], T]) -> "PendingCall[T]":
        """Makes a call after those that were submitted before."""
        pending = PendingCall(call)
        self._calls.put(pending)
        return pending

    def end(self) -> None:
        """Ends the thread after the calls that were submitted."""
        self._calls.put(None)

    def _run(self) -> None:
        while pending := self._calls.get():
            pending.run()


class PendingCall(Generic[T]):
    """A call that another thread makes, and its outcome.

    A Future would not do: an interrupt while it is awaited can leave its lock held.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._results: SimpleQueue[T] = SimpleQueue()
        self._error: Exception | None = None

    def run(self) -> None:
        """Makes the call and keeps its outcome."""
        result: Any = None
        try:
            result = self._call()
        except Exception as error:  # noqa: BLE001 - raised where the result is awaited
            self._error = error
        self._results.put(result)

    def result(self, seconds: float | None = None) -> T:
        """Returns the result, or raises the call's error; raises queue.Empty after `seconds`."""
        result = self._results.get(timeout=seconds)
        if self._error:
            raise self._error
        return result
