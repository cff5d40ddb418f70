"""Counters and histograms of calls, in memory that a worker shares with the metrics server.

`prometheus_client` shares counters of several processes in mapped files: a
write may wait for the disk, and each restarted process leaves another file.
Here a restarted worker continues the counts of the one before it, and all that is
counted of a read costs less than two microseconds.
"""

import mmap
import threading
from bisect import bisect_left

from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import code_pb2

from twc_customer_server.telemetry.families import (
    FAMILIES,
    PURGE_OVERDUE,
    PURGED_ROWS,
    PURGES,
    Family,
)

# Upper bounds of the histogram's buckets, in seconds. The last three are about the
# deadlines of a read, a write and an upload.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)

CODES = tuple(code_pb2.Code.keys())

# Cells of an RPC: its calls in progress, those that started, those that ended with each
# code, the counts of the buckets, of +Inf too, and the sum of the durations.
_IN_PROGRESS = 0
_STARTED = 1
_HANDLED = {code: 2 + number for number, code in enumerate(CODES)}
_BUCKETS = 2 + len(CODES)
_SUM = _BUCKETS + len(BOUNDS) + 1
_LENGTH = _SUM + 1
_BYTES = 8

_SERIES = [(family, values, family.kind.cells) for family in FAMILIES for values in family.series()]
_OWN_LENGTH = sum(cells for _, _, cells in _SERIES)


class RpcMetrics:
    """Counts the calls of one RPC by status code and duration."""

    __slots__ = ("_cells", "_lock", "rpc")

    def __init__(self, rpc: str, cells: "memoryview[float]") -> None:
        self.rpc = rpc
        self._cells = cells
        self._lock = threading.Lock()

    def start(self) -> None:
        """Counts a call that starts."""
        cells = self._cells
        with self._lock:
            cells[_STARTED] += 1
            cells[_IN_PROGRESS] += 1

    def end(self, code: str, seconds: float) -> None:
        """Counts a started call that ends with a code after some seconds."""
        cells = self._cells
        handled = _HANDLED[code]
        bucket = _BUCKETS + bisect_left(BOUNDS, seconds)
        with self._lock:
            cells[handled] += 1
            cells[bucket] += 1
            cells[_SUM] += seconds
            # Last, as others read without the lock: a call is never missing from both.
            cells[_IN_PROGRESS] -= 1

    @property
    def in_progress(self) -> float:
        """Calls that have started and not ended."""
        return self._cells[_IN_PROGRESS]

    @property
    def started(self) -> float:
        """Calls that have started."""
        return self._cells[_STARTED]

    def handled(self, code: str) -> float:
        """Returns the number of calls that have ended with a code."""
        return self._cells[_HANDLED[code]]

    @property
    def durations(self) -> tuple[list[float], float]:
        """The counts of the buckets, of +Inf too, and the sum of all durations."""
        return list(self._cells[_BUCKETS:_SUM]), self._cells[_SUM]


class Series:
    """One series of a family."""

    __slots__ = ("_cells", "_lock")

    def __init__(self, cells: "memoryview[float]") -> None:
        self._cells = cells
        self._lock = threading.Lock()

    def add(self, amount: float = 1) -> None:
        """Adds to a counter."""
        with self._lock:
            self._cells[0] += amount

    def observe(self, seconds: float, events: float = 1) -> None:
        """Adds events, and the seconds that they took together, to a summary."""
        cells = self._cells
        with self._lock:
            cells[0] += events
            cells[1] += seconds

    def set(self, value: float) -> None:
        """Sets a gauge, or the time from which an age counts; 0 is no time."""
        self._cells[0] = value

    @property
    def values(self) -> list[float]:
        """What its cells have."""
        return list(self._cells)


class PurgeMetrics:
    """Counts the rows that are purged, and tells since when the purge of others is due."""

    def __init__(self, purged: Series, due_since: Series) -> None:
        self._purged = purged
        self._due_since = due_since

    def add(self, rows: int) -> None:
        """Counts rows that were deleted."""
        self._purged.add(rows)

    def set_due_since(self, milliseconds: int | None) -> None:
        """Tells when the oldest row that is left was due, None if none is."""
        self._due_since.set((milliseconds or 0) / 1000)

    @property
    def purged(self) -> float:
        """The rows that were deleted."""
        return self._purged.values[0]

    @property
    def due_since(self) -> float:
        """When the oldest row that is left was due, in seconds since the Unix epoch, or 0."""
        return self._due_since.values[0]


class OwnMetrics:
    """The series of all families; those of nobody else unless they are given memory."""

    def __init__(self, cells: "memoryview[float] | None" = None) -> None:
        if cells is None:
            cells = memoryview(bytearray(_OWN_LENGTH * _BYTES)).cast("d")
        self._series: dict[tuple[str, tuple[str, ...]], Series] = {}
        place = 0
        for family, values, length in _SERIES:
            self._series[family.name, values] = Series(cells[place : place + length])
            place += length

    def series(self, family: Family, *values: str) -> Series:
        """Returns the series of a family with some label values."""
        return self._series[family.name, values]


class ServiceMetrics:
    """The metrics of every RPC of a service and its own, in shared memory if that is given."""

    def __init__(self, service: ServiceDescriptor, memory: int = -1) -> None:
        """Continues the counts in the memory of a file descriptor, of `memory_bytes`."""
        self.service = service
        cells = memoryview(mmap.mmap(memory, memory_bytes(service))).cast("d")
        self.rpcs = {
            method.name: RpcMetrics(method.name, cells[number * _LENGTH : (number + 1) * _LENGTH])
            for number, method in enumerate(service.methods)
        }
        self.own = OwnMetrics(cells[len(service.methods) * _LENGTH :])
        self.purges = {
            kind: PurgeMetrics(
                self.own.series(PURGED_ROWS, kind), self.own.series(PURGE_OVERDUE, kind)
            )
            for kind in PURGES
        }


def memory_bytes(service: ServiceDescriptor) -> int:
    """Returns the size of the memory that the metrics of one process need."""
    return (len(service.methods) * _LENGTH + _OWN_LENGTH) * _BYTES


def gauge_offsets(service: ServiceDescriptor) -> list[int]:
    """Returns the offsets in that memory of what counts for a process alone, each of 8 bytes.

    They must be set to zero when the process has ended, such as calls in progress.
    """
    offsets = [number * _LENGTH * _BYTES for number in range(len(service.methods))]
    place = len(service.methods) * _LENGTH
    for family, _, length in _SERIES:
        if family.kind.is_of_process:
            offsets.append(place * _BYTES)
        place += length
    return offsets
