"""A thread that makes gRPC calls, so that Ctrl-C cannot interrupt grpcio."""

import os
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
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
        """Makes a call after those that were submitted before, in the context of this one."""
        # Traces follow it.
        pending = PendingCall(partial(copy_context().run, call))
        self._calls.put(pending)
        return pending

    def end(self) -> None:
        """Ends the thread after the calls that were submitted."""
        self._calls.put(None)

    def _run(self) -> None:
        while pending := self._calls.get():
            pending.run()
            # Frees request and response while the thread waits.
            del pending


class PendingCall(Generic[T]):
    """A call that another thread makes, and its outcome.

    A Future would not do: an interrupt while it is awaited can leave its lock held.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._results: SimpleQueue[T] = SimpleQueue()
        self._error: Exception | None = None
        self.is_done = False

    def run(self) -> None:
        """Makes the call and keeps its outcome."""
        result: Any = None
        try:
            result = self._call()
        except Exception as error:  # noqa: BLE001 - raised where the result is awaited
            self._error = error
        self.is_done = True
        self._results.put(result)

    def result(self, seconds: float | None = None) -> T:
        """Returns the result, or raises the call's error; raises queue.Empty after `seconds`."""
        result = self._results.get(timeout=seconds)
        if self._error:
            try:
                raise self._error
            finally:
                # Its frames refer to this, and to the request.
                self._error = None
        return result


class _MainThread:
    """Makes the calls of the main thread, one after another, in a thread that it keeps."""

    def __init__(self) -> None:
        self._thread: CallThread | None = None
        self._process = 0

    def make(self, call: Callable[[], T]) -> T:
        """Makes a call, and leaves it alone with its thread if it is interrupted."""
        # A process that was forked has none of the threads.
        if self._thread is None or self._process != os.getpid():
            self._thread, self._process = CallThread(), os.getpid()
        pending = self._thread.submit(call)
        try:
            return pending.result()
        finally:
            if not pending.is_done:
                self._thread.end()
                self._thread = None


_main = _MainThread()


def uninterrupted(call: Callable[[], T]) -> T:
    """Makes a call so that Ctrl-C, which interrupts the main thread, does not interrupt grpcio."""
    is_main = threading.current_thread() is threading.main_thread()
    return _main.make(call) if is_main else call()
