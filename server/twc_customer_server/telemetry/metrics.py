"""How calls are counted, in memory that a worker and whoever serves its metrics can share.

`prometheus_client` counts for several processes, too, but in mapped files: a
write to one may wait for the disk, and each process that is started again
leaves another. Here a worker that is started again counts on where the one
before it was, and a call costs less than a microsecond.
"""

import mmap
import os
import sys
import tempfile
import threading
from bisect import bisect_left

from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import code_pb2

# Durations are counted by the first of these seconds that they do not exceed.
# The last ones are how long a read, a write and an upload may take.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)

CODES = tuple(code_pb2.Code.keys())

# The numbers of an RPC: its calls in progress, and for each code how many calls
# each bound has, and those beyond them all, and the sum of their durations.
_IN_PROGRESS = 0
_SUM = len(BOUNDS) + 1
_PLACES = {code: 1 + number * (_SUM + 1) for number, code in enumerate(CODES)}
_LENGTH = 1 + len(CODES) * (_SUM + 1)
_BYTES = 8


class Meter:
    """Counts the calls of one RPC."""

    __slots__ = ("_cells", "_lock", "rpc")

    def __init__(self, rpc: str, cells: "memoryview[float]") -> None:
        self.rpc = rpc
        self._cells = cells
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Counts a call that begins."""
        with self._lock:
            self._cells[_IN_PROGRESS] += 1

    def end(self, code: str, seconds: float) -> None:
        """Counts a call that began and has ended with a code, after a time."""
        cells = self._cells
        place = _PLACES[code]
        bucket = place + bisect_left(BOUNDS, seconds)
        with self._lock:
            cells[_IN_PROGRESS] -= 1
            cells[bucket] += 1
            cells[place + _SUM] += seconds

    @property
    def in_progress(self) -> float:
        """How many calls have begun and not ended."""
        return self._cells[_IN_PROGRESS]

    def durations(self, code: str) -> tuple[list[float], float]:
        """How many calls each bound has, and those beyond them all; and the sum of all seconds."""
        place = _PLACES[code]
        return list(self._cells[place : place + _SUM]), self._cells[place + _SUM]

    def abandon(self) -> None:
        """Has no call be in progress: the process that served them is gone."""
        self._cells[_IN_PROGRESS] = 0


class Counts:
    """The calls of a service, counted in memory of its own unless given some to share."""

    def __init__(self, service: ServiceDescriptor, memory: int = -1) -> None:
        """Counts on from what is in the memory, which `share` made for the same service."""
        self.service = service
        cells = memoryview(mmap.mmap(memory, _size(service))).cast("d")
        self.meters = {
            method.name: Meter(method.name, cells[number * _LENGTH : (number + 1) * _LENGTH])
            for number, method in enumerate(service.methods)
        }

    def abandon(self) -> None:
        """Has no call be in progress: the process that served them is gone."""
        for meter in self.meters.values():
            meter.abandon()


def share(service: ServiceDescriptor) -> int:
    """Memory for the `Counts` of one process that others read, as a file descriptor."""
    if sys.platform == "linux":
        memory = os.memfd_create("metrics")
    else:
        with tempfile.TemporaryFile() as file:
            memory = os.dup(file.fileno())
    os.truncate(memory, _size(service))
    return memory


def _size(service: ServiceDescriptor) -> int:
    return len(service.methods) * _LENGTH * _BYTES
