"""gRPC connections of the load generator: concurrent calls over HTTP/2 without TLS.

It implements the part of HTTP/2 (RFC 9113) that a client of a well-behaved
server needs. Request headers use HPACK's dynamic table, as those of usual
clients do: the first call sends them literally, later ones by index. The server
is asked not to use that table, so equal headers are equal bytes and need no
decoding.
"""

import struct
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from bench.load.connection import Connection, ConnectionClosedError, Request, Response

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER = struct.Struct(">BHBBI")
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE = 1, 2, 4
_FIRST_WINDOW, _WINDOW = 65_535, (1 << 31) - 1

# `:method: POST` and `:scheme: http` in HPACK's static table.
_POST_HTTP = b"\x83\x86"
_FIRST_INDEX = 62

# `grpc-status: 0` as grpcio encodes it without the dynamic table, and as grpc-go does, with the
# name in Huffman code (RFC 7541, appendix B).
_OK = (b"\x0bgrpc-status\x010", b"\x88\x9a\xca\xc8\xb2\x124\xda\x8f\x010")


class Http2(Connection):
    """A connection for calls of one method, all with the same metadata."""

    def __init__(self, host: str, port: int, path: str, metadata: Mapping[str, str]) -> None:
        super().__init__(host, port)
        headers = {":path": path, ":authority": f"{host}:{port}", **metadata}
        headers |= {"content-type": "application/grpc", "te": "trailers"}
        self._first_headers = _POST_HTTP + b"".join(_indexed(*header) for header in headers.items())
        last = _FIRST_INDEX + len(headers) - 1
        self._later_headers = _POST_HTTP + bytes(
            0x80 | last - place for place in range(len(headers))
        )
        self._stream = -1
        self._in_flight: dict[int, _Call] = {}
        self._received = b""
        self._consumed = 0
        self._window = _FIRST_WINDOW
        self._queue: deque[tuple[Any, Request]] = deque()
        settings = ((_HEADER_TABLE_SIZE, 0), (_ENABLE_PUSH, 0), (_INITIAL_WINDOW_SIZE, _WINDOW))
        encoded = b"".join(struct.pack(">HI", *setting) for setting in settings)
        window = _window_update(_WINDOW - _FIRST_WINDOW)
        self.socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, encoded) + window)

    def send(self, requests: Sequence[tuple[Any, Request]]) -> None:
        """Sends requests; queues those that exceed the server's flow-control window."""
        self._queue.extend(requests)
        frames = b""
        while self._queue and len(self._queue[0][1].payload) + 5 <= self._window:
            tag, request = self._queue.popleft()
            message = b"\0" + struct.pack(">I", len(request.payload)) + request.payload
            self._window -= len(message)
            headers = self._later_headers if self._stream > 0 else self._first_headers
            self._stream += 2
            frames += _frame(_HEADERS, _END_HEADERS, self._stream, headers)
            frames += _frame(_DATA, _END_STREAM, self._stream, message)
            self._in_flight[self._stream] = _Call(tag, request.expected)
        self.socket.sendall(frames)

    def receive(self) -> list[Response]:
        """Reads once; returns the responses that are complete. Raises ConnectionClosedError."""
        received = self._received + self.read()
        responses = []
        offset = 0
        while offset + _HEADER.size <= len(received):
            high, low, kind, flags, stream = _HEADER.unpack_from(received, offset)
            end = offset + _HEADER.size + (high << 16 | low)
            if end > len(received):
                break
            payload = received[offset + _HEADER.size : end]
            offset = end
            if kind == _DATA:
                self._consumed += len(payload)
                self._in_flight[stream].parts.append(payload)
            elif kind == _HEADERS:
                if flags & _END_STREAM:
                    responses.append(self._in_flight.pop(stream).end(payload))
            else:
                responses += self._control(kind, flags, stream, payload)
        self._received = received[offset:]
        self._update_window()
        return responses

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> list[Response]:
        if kind == _RST_STREAM:
            return [self._in_flight.pop(stream).end(b"reset: " + payload)]
        if kind == _GOAWAY:
            raise ConnectionClosedError(payload[8:].decode(errors="replace"))
        if kind == _WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload)
            if self._queue:
                self.send(())
        elif kind in {_PING, _SETTINGS} and not flags & _ACK:
            acknowledged = payload if kind == _PING else b""
            self.socket.sendall(_frame(kind, _ACK, 0, acknowledged))
        return []

    def _update_window(self) -> None:
        """Returns flow-control credit to the server before it runs out of it."""
        if self._consumed > _WINDOW // 2:
            self.socket.sendall(_window_update(self._consumed))
            self._consumed = 0


class _Call:
    """A call in flight: its tag, and the part of the response that has arrived."""

    __slots__ = ("_expected", "_tag", "parts")

    def __init__(self, tag: Any, expected: bytes) -> None:
        self._tag = tag
        self._expected = expected
        self.parts: list[bytes] = []

    def end(self, trailers: bytes) -> Response:
        body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        error = ""
        if not any(ok in trailers for ok in _OK):
            error = f"a call failed: {trailers!r}"
        elif self._expected not in body:
            error = f"{self._expected!r} is not in {body!r}"
        return Response(self._tag, len(body), error)


def _indexed(name: str, value: str) -> bytes:
    """Encodes a header that the server adds to its dynamic table (RFC 7541, 6.2.1)."""
    return b"\x40" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    return _integer(len(text), 7) + text.encode()


def _integer(value: int, bits: int) -> bytes:
    """Encodes an integer with a prefix of so many bits (RFC 7541, 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    encoded = bytearray([most])
    value -= most
    while value >= 0x80:  # noqa: PLR2004 - seven bits a byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _window_update(increment: int) -> bytes:
    return _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", increment))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    length = len(payload)
    return _HEADER.pack(length >> 16, length & 0xFFFF, kind, flags, stream) + payload
