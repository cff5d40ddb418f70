"""What the service's processes take, sampled over time, and whether that grows."""

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import psutil

from tests.support.client import SECONDS
from tests.support.concurrency import in_background

MEBIBYTE = 1 << 20
# The first half of a run fills caches and pools, and says nothing of the rest.
_WARM = 0.5


class Series(NamedTuple):
    """A quantity over time."""

    times: list[float]
    values: list[float]

    @property
    def warm(self) -> "Series":
        """What was sampled after the service had warmed up."""
        begin = self.times[0] + _WARM * (self.times[-1] - self.times[0])
        first = next(number for number, it in enumerate(self.times) if it >= begin)
        return Series(self.times[first:], self.values[first:])

    @property
    def slope(self) -> float:
        """By how much it grows in a second, as a line through the samples says."""
        if len(self.times) < 2 or self.times[0] == self.times[-1]:
            return 0.0
        return statistics.linear_regression(self.times, self.values).slope

    @property
    def growth(self) -> float:
        """By how much it grew while it was sampled, as that line says."""
        return self.slope * (self.times[-1] - self.times[0])


class Sampler:
    """Measures at intervals, in a thread, until it is stopped."""

    def __init__(self, measure: Callable[[], dict[str, float]], seconds: float) -> None:
        self.series: dict[str, Series] = {}
        self._measure = measure
        self._seconds = seconds
        self._done = threading.Event()
        [self._sampling] = in_background([self._sample])

    def stop(self) -> dict[str, Series]:
        """Ends the thread, and returns what was sampled."""
        self._done.set()
        self._sampling.result(SECONDS)
        return self.series

    def _sample(self) -> None:
        while True:
            now = time.monotonic()
            for name, value in self._measure().items():
                series = self.series.setdefault(name, Series([], []))
                series.times.append(now)
                series.values.append(value)
            if self._done.wait(self._seconds):
                return


def measured(name: str, process: psutil.Process) -> dict[str, float]:
    """Measures a process; nothing if it has ended."""
    with suppress(psutil.Error), process.oneshot():
        return {
            f"{name}: memory (MiB)": process.memory_info().rss / MEBIBYTE,
            f"{name}: files": process.num_fds(),
            f"{name}: threads": process.num_threads(),
        }
    return {}
