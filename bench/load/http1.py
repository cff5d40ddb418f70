"""HTTP/1.1 connections of the load generator: one request in flight at a time."""

import re
from collections.abc import Sequence
from typing import Any

from bench.load.connection import Connection, Request, Response

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE).search
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE).search
_HEAD_END = b"\r\n\r\n"
# JSON escapes line ends in strings, so a body cannot contain it.
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Http1(Connection):
    """An HTTP/1.1 connection that expects one status of every response."""

    def __init__(self, host: str, port: int, status: int) -> None:
        super().__init__(host, port)
        self._status_line = f"HTTP/1.1 {status} ".encode()
        self._received = b""
        self._in_flight: tuple[Any, Request] | None = None

    def send(self, requests: Sequence[tuple[Any, Request]]) -> None:
        """Sends a request."""
        [self._in_flight] = requests
        self.socket.sendall(self._in_flight[1].payload)

    def receive(self) -> list[Response]:
        """Reads once; returns the response if it is complete. Raises ConnectionClosedError."""
        self._received += self.read()
        head = self._received.find(_HEAD_END)
        if head < 0 or self._in_flight is None:
            return []
        begin = head + len(_HEAD_END)
        if length := _LENGTH(self._received, 0, head):
            is_complete = len(self._received) >= begin + int(length[1])
        elif _CHUNKED(self._received, 0, head):
            is_complete = self._received.endswith(_LAST_CHUNK)
        else:
            is_complete = True
        if not is_complete:
            return []
        tag, request = self._in_flight
        response = Response(tag, len(self._received) - begin, self._error(request))
        self._received, self._in_flight = b"", None
        return [response]

    def _error(self, request: Request) -> str:
        if not self._received.startswith(self._status_line):
            return self._received[:500].decode(errors="replace")
        if request.expected not in self._received:
            return f"{request.expected!r} is not in {self._received[:3000]!r}"
        return ""
