"""Calls functions later, on one thread, unless what they are for has ended before."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

# Calls are late by up to this, so that many share one waking of the thread.
_GRAIN_SECONDS = 0.01

_log = logging.getLogger(__name__)


class EndingCall(Protocol):
    """A call that tells when it has ended."""

    def on_end(self, callback: Callable[[], object]) -> None:
        """Calls back when the call has ended, or at once if it has."""


class Timer:
    """Calls functions later, from `start` to `stop`, and one after the other."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._order = itertools.count()
        self._entries: list[tuple[float, int, Callable[[], object]]] = []
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="rpc-timer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what was to be called later is not."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()

    def call_later(self, seconds: float, function: Callable[[], object]) -> None:
        """Calls a function after some seconds."""
        entry = (time.monotonic() + seconds, next(self._order), function)
        with self._changed:
            heapq.heappush(self._entries, entry)
            if self._entries[0] is entry:
                self._changed.notify()

    def call_when_due(
        self,
        seconds: float,
        call: EndingCall,
        due: Callable[[], object],
        ended: Callable[[], object],
    ) -> None:
        """Calls `due` after some seconds, or `ended` as soon as a call has ended.

        A call that has ended leaves nothing behind but an entry of the timer:
        clients that give up at once may make thousands of them.
        """
        if not seconds:
            due()
            return
        delayed = _Delayed(due, ended)
        self.call_later(seconds, delayed.on_due)
        call.on_end(delayed.on_end)

    def call_every(self, seconds: float, function: Callable[[], object]) -> None:
        """Calls a function again and again, with some seconds in between."""

        def call() -> None:
            self.call_later(seconds, call)
            function()

        self.call_later(seconds, call)

    def _run(self) -> None:
        while due := self._wait():
            for function in due:
                try:
                    function()
                except Exception as error:  # noqa: BLE001 - the thread must call the others
                    _log.error("a timer's call ended with %s", type(error).__name__)

    def _wait(self) -> list[Callable[[], object]]:
        """Waits until functions are due, and returns them; none when the timer is stopped."""
        due: list[Callable[[], object]] = []
        with self._changed:
            while not (self._is_stopped or due):
                until = time.monotonic() + _GRAIN_SECONDS
                while self._entries and self._entries[0][0] <= until:
                    due.append(heapq.heappop(self._entries)[2])
                if not due:
                    earliest = (
                        self._entries[0][0] - until + _GRAIN_SECONDS if self._entries else None
                    )
                    self._changed.wait(earliest)
        return due


class _Delayed:
    """What to do when a call is due, or when it has ended before; done once."""

    __slots__ = ("_steps",)

    def __init__(self, due: Callable[[], object], ended: Callable[[], object]) -> None:
        self._steps = [(due, ended)]

    def on_due(self) -> None:
        self._do(0)

    def on_end(self) -> None:
        self._do(1)

    def _do(self, number: int) -> None:
        try:
            steps = self._steps.pop()
        except IndexError:
            return
        steps[number]()
