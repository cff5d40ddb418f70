"""HTTP/1.1: one request at a time on a connection."""

import re
from collections.abc import Sequence
from typing import Any

from bench.load.connection import Answer, Connection
from bench.load.requests import Request

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE).search
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE).search
_HEAD_END = b"\r\n\r\n"
# JSON text never holds it: it writes line ends in strings as \r\n.
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Http1(Connection):
    """A connection on which answers of one status are expected."""

    def __init__(self, host: str, port: int, status: int) -> None:
        super().__init__(host, port)
        self._begin = f"HTTP/1.1 {status} ".encode()
        self._received = b""
        self._sent: tuple[Any, Request] | None = None

    def send(self, requests: Sequence[tuple[Any, Request]]) -> None:
        """Sends a request."""
        [self._sent] = requests
        self.socket.sendall(self._sent[1].sent)

    def receive(self) -> list[Answer]:
        """Reads what has come, and returns the answer if it is whole. Raises ClosedError."""
        self._received += self.read()
        head = self._received.find(_HEAD_END)
        if head < 0 or self._sent is None:
            return []
        begin = head + len(_HEAD_END)
        if length := _LENGTH(self._received, 0, head):
            whole = len(self._received) >= begin + int(length[1])
        elif _CHUNKED(self._received, 0, head):
            whole = self._received.endswith(_LAST_CHUNK)
        else:
            whole = True
        if not whole:
            return []
        name, request = self._sent
        answer = Answer(name, len(self._received) - begin, self._wrong(request))
        self._received, self._sent = b"", None
        return [answer]

    def _wrong(self, request: Request) -> str:
        if not self._received.startswith(self._begin):
            return self._received[:500].decode(errors="replace")
        if request.wanted not in self._received:
            return f"{request.wanted!r} is not in {self._received[:3000]!r}"
        return ""
