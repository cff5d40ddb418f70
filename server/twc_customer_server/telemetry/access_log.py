"""Calls that are over: what is known of each, and its line in the log."""

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from twc_customer_server.telemetry.logs import LINES

# How long lines gather, so that many are written at once, and how many may.
_GATHER_SECONDS = 0.05
_MOST = 100_000

# What a pipe that several processes share takes in one piece (POSIX: PIPE_BUF).
_PIECE = 4096

_START = f'{{"level": "INFO", "logger": "{__name__}", "pid": {os.getpid()}, "event": "call", '

_log = logging.getLogger(__name__)


class EndedCall(NamedTuple):
    """A call that is over; nothing of what it carried.

    `code` is the name of its gRPC status. `request_id` and `tenant` are of
    harmless characters, or empty. `ended` is in seconds since the Unix epoch.
    """

    rpc: str
    code: str
    tenant: str
    request_id: str
    ended: float
    seconds: float


# Takes note of a call that is over, at once: its client waits.
Account = Callable[[EndedCall], None]


class CallLog:
    """Writes a line for each call, in a thread of its own: no call waits for the log.

    The lines are those of any other record, put together here
    at a tenth of the cost.
    """

    def __init__(self) -> None:
        self._is_on = LINES.isEnabledFor(logging.INFO)
        self._ended: queue.SimpleQueue[EndedCall | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._lost = 0
        self._thread = threading.Thread(target=self._work, name="call log", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Writes what has been added, and ends the thread."""
        self._stopped.set()
        self._ended.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def add(self, call: EndedCall) -> None:
        """Has a call written, unless the log is too far behind."""
        if not self._is_on:
            return
        if self._ended.qsize() < _MOST:
            self._ended.put(call)
        else:
            self._lost += 1

    def _work(self) -> None:
        while (first := self._ended.get()) is not None:
            self._stopped.wait(_GATHER_SECONDS)
            gathered = [first]
            while not self._ended.empty() and (call := self._ended.get()) is not None:
                gathered.append(call)
            for piece in _pieces(map(_line, gathered)):
                LINES.info(piece)
            if self._lost:
                lost, self._lost = self._lost, 0
                _log.warning("the log was too slow: %d calls are not in it", lost)
            if self._stopped.is_set():
                return


def _line(call: EndedCall) -> str:
    """The line of a call: none of its texts holds what JSON would have to escape."""
    second = int(call.ended)
    return (
        f'{_START}"request_id": "{call.request_id}", "tenant": "{call.tenant}", '
        f'"rpc": "{call.rpc}", "code": "{call.code}", "milliseconds": {call.seconds * 1000:.3f}, '
        f'"time": "{_clock(second)}.{int((call.ended - second) * 1e6):06d}+00:00"}}'
    )


@lru_cache(1)
def _clock(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Joins lines, as many at a time as are not torn apart by what other processes write."""
    piece: list[str] = []
    size = 0
    for line in lines:
        if size + len(line) + 1 > _PIECE:
            yield "\n".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line) + 1
    yield "\n".join(piece)
