"""What processes have used up: time of a core, and memory."""

from collections.abc import Iterable
from contextlib import suppress

import psutil

from bench.processes import descendants


class Spent:
    """What some processes, and all that they have started, have used at one moment."""

    def __init__(self, pids: Iterable[int]) -> None:
        # User and system time.
        self.seconds = 0.0
        self.mebibytes = 0.0
        for pid in pids:
            for process in [psutil.Process(pid), *descendants(pid)]:
                with suppress(psutil.NoSuchProcess):
                    used = process.cpu_times()
                    self.seconds += used.user + used.system
                    self.mebibytes += process.memory_info().rss / (1 << 20)
