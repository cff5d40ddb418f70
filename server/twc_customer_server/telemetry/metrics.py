"""Counters and histograms of calls, in memory that a worker shares with the metrics server.

`prometheus_client` shares counters of several processes in mapped files: a
write may wait for the disk, and each restarted process leaves another file.
Here a restarted worker continues the counts of the one before it, and a call
costs less than a microsecond.
"""

import mmap
import threading
from bisect import bisect_left

from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import code_pb2

# Upper bounds of the histogram's buckets, in seconds. The last three are about the
# deadlines of a read, a write and an upload.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)

CODES = tuple(code_pb2.Code.keys())

# What is purged, by kind of rows.
PURGES = ("outcomes", "deletions")

# Cells of an RPC: its calls in progress, then for each code the counts of the
# buckets, of +Inf too, and the sum of the durations.
_IN_PROGRESS = 0
_SUM = len(BOUNDS) + 1
_PLACES = {code: 1 + number * (_SUM + 1) for number, code in enumerate(CODES)}
_LENGTH = 1 + len(CODES) * (_SUM + 1)
_BYTES = 8

# Cells of a purge, behind those of the RPCs: the rows it has deleted, and when the oldest
# that it has not was due.
_PURGED = 0
_DUE_SINCE = 1
_PURGE_LENGTH = 2


class RpcMetrics:
    """Counts the calls of one RPC by status code and duration."""

    __slots__ = ("_cells", "_lock", "rpc")

    def __init__(self, rpc: str, cells: "memoryview[float]") -> None:
        self.rpc = rpc
        self._cells = cells
        self._lock = threading.Lock()

    def start(self) -> None:
        """Counts a call that starts."""
        with self._lock:
            self._cells[_IN_PROGRESS] += 1

    def end(self, code: str, seconds: float) -> None:
        """Counts a started call that ends with a code after some seconds."""
        cells = self._cells
        place = _PLACES[code]
        bucket = place + bisect_left(BOUNDS, seconds)
        with self._lock:
            cells[bucket] += 1
            cells[place + _SUM] += seconds
            # Last, as others read without the lock: a call is never missing from both.
            cells[_IN_PROGRESS] -= 1

    @property
    def in_progress(self) -> float:
        """Calls that have started and not ended."""
        return self._cells[_IN_PROGRESS]

    def durations(self, code: str) -> tuple[list[float], float]:
        """Returns the counts of the buckets, of +Inf too, and the sum of all durations."""
        place = _PLACES[code]
        return list(self._cells[place : place + _SUM]), self._cells[place + _SUM]


class PurgeMetrics:
    """Counts the rows that are purged, and tells since when the purge of others is due.

    One thread writes.
    """

    __slots__ = ("_cells",)

    def __init__(self, cells: "memoryview[float]") -> None:
        self._cells = cells

    def add(self, rows: int) -> None:
        """Counts rows that were deleted."""
        self._cells[_PURGED] += rows

    def set_due_since(self, milliseconds: int | None) -> None:
        """Tells when the oldest row that is left was due, None if none is."""
        self._cells[_DUE_SINCE] = (milliseconds or 0) / 1000

    @property
    def purged(self) -> float:
        """The rows that were deleted."""
        return self._cells[_PURGED]

    @property
    def due_since(self) -> float:
        """When the oldest row that is left was due, in seconds since the Unix epoch, or 0."""
        return self._cells[_DUE_SINCE]


class ServiceMetrics:
    """The metrics of every RPC of a service and of purges, in shared memory if that is given."""

    def __init__(self, service: ServiceDescriptor, memory: int = -1) -> None:
        """Continues the counts in the memory of a file descriptor, of `memory_bytes`."""
        self.service = service
        cells = memoryview(mmap.mmap(memory, memory_bytes(service))).cast("d")
        self.rpcs = {
            method.name: RpcMetrics(method.name, cells[number * _LENGTH : (number + 1) * _LENGTH])
            for number, method in enumerate(service.methods)
        }
        self.purges = {
            purge: PurgeMetrics(cells[place : place + _PURGE_LENGTH])
            for purge, place in zip(PURGES, _purge_places(service), strict=True)
        }


def memory_bytes(service: ServiceDescriptor) -> int:
    """Returns the size of the memory that the metrics of one process need."""
    return (len(service.methods) * _LENGTH + len(PURGES) * _PURGE_LENGTH) * _BYTES


def gauge_offsets(service: ServiceDescriptor) -> list[int]:
    """Returns the offsets in that memory of what counts for a process alone, each of 8 bytes.

    They must be set to zero when the process has ended: calls in progress, and purges due.
    """
    in_progress = [number * _LENGTH for number in range(len(service.methods))]
    due = [place + _DUE_SINCE for place in _purge_places(service)]
    return [place * _BYTES for place in (*in_progress, *due)]


def _purge_places(service: ServiceDescriptor) -> list[int]:
    """Returns the cells at which those of each purge begin."""
    first = len(service.methods) * _LENGTH
    return [first + number * _PURGE_LENGTH for number in range(len(PURGES))]
