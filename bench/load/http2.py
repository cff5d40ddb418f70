"""gRPC over HTTP/2 without TLS: as many calls at a time on a connection as one likes.

Of HTTP/2 it has what a client of a well-behaved server needs. Headers are
compressed as clients usually do: those that repeat are sent once, later by
their index. The server is asked not to do so, whereby equal headers are equal
bytes, which need no decoding.
"""

import struct
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from bench.load.connection import Answer, ClosedError, Connection
from bench.load.requests import Request

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER = struct.Struct(">BHBBI")
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE = 1, 2, 4
_FIRST_WINDOW, _WINDOW = 65_535, (1 << 31) - 1

# Of HPACK's static table: `:method: POST` and `:scheme: http`.
_POST_HTTP = b"\x83\x86"
_FIRST_INDEX = 62

# How grpcio, with the table of headers turned off, writes `grpc-status: 0`.
_OK = b"\x0bgrpc-status\x010"


class Http2(Connection):
    """A connection for calls of one method, with the same metadata each."""

    def __init__(self, host: str, port: int, path: str, metadata: Mapping[str, str]) -> None:
        super().__init__(host, port)
        headers = {":path": path, ":authority": f"{host}:{port}", **metadata}
        headers |= {"content-type": "application/grpc", "te": "trailers"}
        self._first = _POST_HTTP + b"".join(_indexed(*header) for header in headers.items())
        last = _FIRST_INDEX + len(headers) - 1
        self._later = _POST_HTTP + bytes(0x80 | last - place for place in range(len(headers)))
        self._stream = -1
        self._open: dict[int, _Call] = {}
        self._received = b""
        self._consumed = 0
        self._window = _FIRST_WINDOW
        self._waiting: deque[tuple[Any, Request]] = deque()
        settings = ((_HEADER_TABLE_SIZE, 0), (_ENABLE_PUSH, 0), (_INITIAL_WINDOW_SIZE, _WINDOW))
        encoded = b"".join(struct.pack(">HI", *setting) for setting in settings)
        grown = _window_update(_WINDOW - _FIRST_WINDOW)
        self.socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, encoded) + grown)

    def send(self, requests: Sequence[tuple[Any, Request]]) -> None:
        """Sends requests, or keeps them until the server has room for them."""
        self._waiting.extend(requests)
        frames = b""
        while self._waiting and len(self._waiting[0][1].sent) + 5 <= self._window:
            name, request = self._waiting.popleft()
            message = b"\0" + struct.pack(">I", len(request.sent)) + request.sent
            self._window -= len(message)
            headers = self._later if self._stream > 0 else self._first
            self._stream += 2
            frames += _frame(_HEADERS, _END_HEADERS, self._stream, headers)
            frames += _frame(_DATA, _END_STREAM, self._stream, message)
            self._open[self._stream] = _Call(name, request.wanted)
        self.socket.sendall(frames)

    def receive(self) -> list[Answer]:
        """Reads what has come, and returns the answers that are whole. Raises ClosedError."""
        received = self._received + self.read()
        answers = []
        place = 0
        while place + _HEADER.size <= len(received):
            high, low, kind, flags, stream = _HEADER.unpack_from(received, place)
            end = place + _HEADER.size + (high << 16 | low)
            if end > len(received):
                break
            payload = received[place + _HEADER.size : end]
            place = end
            if kind == _DATA:
                self._consumed += len(payload)
                self._open[stream].parts.append(payload)
            elif kind == _HEADERS:
                if flags & _END_STREAM:
                    answers.append(self._open.pop(stream).end(payload))
            else:
                answers += self._control(kind, flags, stream, payload)
        self._received = received[place:]
        self._grow()
        return answers

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> list[Answer]:
        if kind == _RST_STREAM:
            return [self._open.pop(stream).end(b"reset: " + payload)]
        if kind == _GOAWAY:
            raise ClosedError(payload[8:].decode(errors="replace"))
        if kind == _WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload)
            if self._waiting:
                self.send(())
        elif kind in {_PING, _SETTINGS} and not flags & _ACK:
            answer = payload if kind == _PING else b""
            self.socket.sendall(_frame(kind, _ACK, 0, answer))
        return []

    def _grow(self) -> None:
        """Gives the server back the room that its answers took, before it is short of it."""
        if self._consumed > _WINDOW // 2:
            self.socket.sendall(_window_update(self._consumed))
            self._consumed = 0


class _Call:
    """A call that is not over: its name, and what has come of its answer."""

    __slots__ = ("_name", "_wanted", "parts")

    def __init__(self, name: Any, wanted: bytes) -> None:
        self._name = name
        self._wanted = wanted
        self.parts: list[bytes] = []

    def end(self, trailers: bytes) -> Answer:
        body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        wrong = ""
        if _OK not in trailers:
            wrong = f"a call failed: {trailers!r}"
        elif self._wanted not in body:
            wrong = f"{self._wanted!r} is not in {body!r}"
        return Answer(self._name, len(body), wrong)


def _indexed(name: str, value: str) -> bytes:
    """A header that the server is to remember under the next index."""
    return b"\x40" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    return _integer(len(text), 7) + text.encode()


def _integer(value: int, bits: int) -> bytes:
    """An integer as HPACK writes it (RFC 7541, 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    written = bytearray([most])
    value -= most
    while value >= 0x80:  # noqa: PLR2004 - seven bits a byte
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def _window_update(grown: int) -> bytes:
    return _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", grown))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    length = len(payload)
    return _HEADER.pack(length >> 16, length & 0xFFFF, kind, flags, stream) + payload
