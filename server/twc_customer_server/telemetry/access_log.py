"""Writes the access log: a line for each call that has ended."""

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from twc_customer_server.telemetry.call_ids import NO_TRACE, TraceIds
from twc_customer_server.telemetry.logs import RAW_LINES

# Lines are buffered so that many are written at once; beyond a number they are dropped.
_BUFFER_SECONDS = 0.05
_MAX_BUFFERED = 100_000

# Several processes share a pipe, which takes this many bytes atomically (POSIX: PIPE_BUF).
_MAX_CHUNK_BYTES = 4096

_PREFIX = f'{{"level": "INFO", "logger": "{__name__}", "pid": '

_log = logging.getLogger(__name__)


class EndedCall(NamedTuple):
    """A call that has ended, without its contents.

    `code` is the name of its gRPC status. `request_id` and `tenant` have no
    characters that JSON escapes, and may be empty, as may the ids of `trace`. `ended` is in
    seconds since the Unix epoch.
    """

    rpc: str
    code: str
    tenant: str
    request_id: str
    ended: float
    seconds: float
    trace: TraceIds = NO_TRACE


# Called when a call has ended; must return at once, as the client is waiting.
OnCallEnd = Callable[[EndedCall], None]


class AccessLog:
    """Writes a line for each call on a thread of its own, so that no call waits for the log.

    Its lines have the format of other records, at a tenth of the cost.
    """

    def __init__(self) -> None:
        self._ended: queue.SimpleQueue[EndedCall | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="access-log", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Writes the buffered lines and ends the thread."""
        self._stopped.set()
        self._ended.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def add(self, call: EndedCall) -> None:
        """Buffers a call's line, or drops it if the buffer is full."""
        if not RAW_LINES.isEnabledFor(logging.INFO):
            return
        if self._ended.qsize() < _MAX_BUFFERED:
            self._ended.put(call)
        else:
            self._dropped += 1

    def _work(self) -> None:
        while (first := self._ended.get()) is not None:
            self._stopped.wait(_BUFFER_SECONDS)
            ended = [first]
            while not self._ended.empty() and (call := self._ended.get()) is not None:
                ended.append(call)
            for chunk in _chunks(map(_line, ended)):
                RAW_LINES.info(chunk)
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                _log.warning("the access log is too slow: lines of %d calls were dropped", dropped)
            if self._stopped.is_set():
                return


def _line(call: EndedCall) -> str:
    """Formats a call as JSON by hand, since none of its texts needs escaping."""
    second = int(call.ended)
    trace = _trace(call.trace) if call.trace.trace_id else ""
    return (
        f'{_PREFIX}{os.getpid()}, "event": "call", "request_id": "{call.request_id}", {trace}'
        f'"tenant": "{call.tenant}", "rpc": "{call.rpc}", "code": "{call.code}", '
        f'"milliseconds": {call.seconds * 1000:.3f}, '
        f'"time": "{_format_second(second)}.{int((call.ended - second) * 1e6):06d}+00:00"}}'
    )


def _trace(trace: TraceIds) -> str:
    span = f'"span_id": "{trace.span_id}", ' if trace.span_id else ""
    return f'"trace_id": "{trace.trace_id}", {span}'


@lru_cache(1)
def _format_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _chunks(lines: Iterable[str]) -> Iterator[str]:
    """Joins lines into chunks that are written atomically."""
    chunk: list[str] = []
    size = 0
    for line in lines:
        if size + len(line) + 1 > _MAX_CHUNK_BYTES:
            yield "\n".join(chunk)
            chunk, size = [], 0
        chunk.append(line)
        size += len(line) + 1
    yield "\n".join(chunk)
