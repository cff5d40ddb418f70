"""Looks for something again and again, once for all threads that wait for the same."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

# Time between a thread's looks at whether it still has to wait for its turn.
_TURN_SECONDS = 1


class SharedPolls:
    """Has one of the threads that wait for a subject look, and the others wait for their turn.

    Who finds something leaves, and the next one looks at once. What a look
    costs, or how long it hangs, is nothing to those who wait for another subject.
    """

    def __init__(self, seconds: float) -> None:
        """Looks have so many seconds in between."""
        self._seconds = seconds
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._turns: dict[Hashable, _Turn] = {}

    @property
    def is_stopped(self) -> bool:
        """Whether nobody is to wait any more."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Ends all waiting."""
        self._stopped.set()

    def wait(
        self,
        subject: Hashable,
        look: Callable[[], bool],
        seconds: float,
        is_wanted: Callable[[], bool],
    ) -> None:
        """Waits until a look finds something, but only for some seconds and while it is wanted.

        Raises what `look` raises.
        """
        end = time.monotonic() + seconds
        with self._turn(subject) as turn:
            while self._is_waiting(end) and is_wanted():
                left = max(0, end - time.monotonic())
                if not turn.acquire(timeout=min(_TURN_SECONDS, left)):
                    continue
                try:
                    self._poll(look, end, is_wanted)
                finally:
                    turn.release()
                return

    def _poll(self, look: Callable[[], bool], end: float, is_wanted: Callable[[], bool]) -> None:
        while self._is_waiting(end) and is_wanted() and not look():
            self._stopped.wait(min(self._seconds, max(0, end - time.monotonic())))

    def _is_waiting(self, end: float) -> bool:
        return time.monotonic() < end and not self.is_stopped

    @contextmanager
    def _turn(self, subject: Hashable) -> Iterator[threading.Lock]:
        """Yields the lock of a subject, which is forgotten when nobody waits for it."""
        with self._lock:
            turn = self._turns.setdefault(subject, _Turn())
            turn.threads += 1
        try:
            yield turn.lock
        finally:
            with self._lock:
                turn.threads -= 1
                if not turn.threads:
                    del self._turns[subject]


class _Turn:
    """The lock of who looks, and the number of threads that have it or wait for it."""

    __slots__ = ("lock", "threads")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads = 0
