"""Looks for something again and again, once for all threads that wait for the same."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

# Time between a thread's looks at whether it still has to wait for its turn.
_TURN_SECONDS = 1


class SharedPolls:
    """Has one of the threads that wait for a subject look, and the others wait for their turn.

    Who finds something leaves, and the next one looks at once; who waits again is the
    last. What a look costs, or how long it hangs, is nothing to those who wait for
    another subject.
    """

    def __init__(self, seconds: float) -> None:
        """Looks have so many seconds in between."""
        self._seconds = seconds
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        # Those who wait for a subject, the first of whom looks.
        self._queues: dict[Hashable, deque[threading.Event]] = {}

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
        with self._place(subject) as my_turn:
            while self._is_waiting(end) and is_wanted():
                if my_turn.wait(min(_TURN_SECONDS, max(0, end - time.monotonic()))):
                    self._poll(look, end, is_wanted)
                    return

    def _poll(self, look: Callable[[], bool], end: float, is_wanted: Callable[[], bool]) -> None:
        while self._is_waiting(end) and is_wanted() and not look():
            self._stopped.wait(min(self._seconds, max(0, end - time.monotonic())))

    def _is_waiting(self, end: float) -> bool:
        return time.monotonic() < end and not self.is_stopped

    @contextmanager
    def _place(self, subject: Hashable) -> Iterator[threading.Event]:
        """Yields an event that is set when all who came before for a subject have left."""
        my_turn = threading.Event()
        with self._lock:
            queue = self._queues.setdefault(subject, deque())
            queue.append(my_turn)
            queue[0].set()
        try:
            yield my_turn
        finally:
            with self._lock:
                queue.remove(my_turn)
                if queue:
                    queue[0].set()
                else:
                    del self._queues[subject]
