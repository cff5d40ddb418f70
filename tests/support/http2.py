"""Calls in the middle: HTTP/2 frames one by one, as no gRPC client sends them (RFC 9113)."""

import queue
import re
import socket
import struct
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from tests.support.client import SECONDS

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER = struct.Struct(">BHBBI")
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_HEADER_TABLE_SIZE, _INITIAL_WINDOW_SIZE = 1, 4
# `:method: POST` and `:scheme: http` in HPACK's static table.
_POST_HTTP = b"\x83\x86"
# As grpcio encodes it where its dynamic table has no room.
_STATUS = re.compile(rb"grpc-status.(\d+)", re.DOTALL)

RESET = "reset"


class Http2:
    """A connection whose streams are opened, and go on, as a test wants it."""

    def __init__(self, address: str, window: int = (1 << 31) - 1) -> None:
        """`window` is what the server may send of each stream."""
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)))
        self._stream = -1
        self._open: set[int] = set()
        self._ends: queue.SimpleQueue[tuple[int, int | str]] = queue.SimpleQueue()
        settings = ((_HEADER_TABLE_SIZE, 0), (_INITIAL_WINDOW_SIZE, window))
        encoded = b"".join(struct.pack(">HI", *setting) for setting in settings)
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, encoded))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The server may have closed it.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(SECONDS)
        self._socket.close()

    def begin(self, path: str, metadata: Iterable[tuple[str, str | bytes]] = ()) -> int:
        """Sends the headers of a call, and nothing more; returns its stream."""
        headers = [(":path", path), (":authority", "test"), ("te", "trailers")]
        headers.append(("content-type", "application/grpc"))
        block = b"".join(_literal(name, str(value)) for name, value in [*headers, *metadata])
        self._stream += 2
        self._open.add(self._stream)
        self._socket.sendall(_frame(_HEADERS, _END_HEADERS, self._stream, _POST_HTTP + block))
        return self._stream

    def send(self, stream: int, message: bytes, *, length: int | None = None) -> None:
        """Sends a message, or its beginning if its length is said to be larger, and ends if not."""
        size = len(message) if length is None else length
        flags = _END_STREAM if size == len(message) else 0
        data = b"\0" + struct.pack(">I", size) + message
        self._socket.sendall(_frame(_DATA, flags, stream, data))

    def end(self) -> tuple[int, int | str]:
        """Waits for the next end of a call; returns its stream, and its status or RESET."""
        return self._ends.get(timeout=SECONDS)

    def _read(self) -> None:
        received = b""
        with suppress(OSError):
            while chunk := self._socket.recv(1 << 16):
                received = self._take_frames(received + chunk)

    def _take_frames(self, received: bytes) -> bytes:
        """Takes the frames that are complete, and returns the rest."""
        while len(received) >= _HEADER.size:
            high, low, kind, flags, stream = _HEADER.unpack_from(received)
            end = _HEADER.size + (high << 16 | low)
            if len(received) < end:
                break
            self._take(kind, flags, stream, received[_HEADER.size : end])
            received = received[end:]
        return received

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in {_SETTINGS, _PING} and not flags & _ACK:
            self._socket.sendall(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind == _HEADERS and flags & _END_STREAM and (found := _STATUS.search(payload)):
            self._open.discard(stream)
            self._ends.put((stream, int(found[1])))
        elif kind == _RST_STREAM and stream in self._open:
            self._open.discard(stream)
            self._ends.put((stream, RESET))


def _literal(name: str, value: str) -> bytes:
    """Encodes a header without the table (RFC 7541, 6.2.2)."""
    return b"\0" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    length, encoded = len(text), bytearray()
    if length < 0x7F:
        encoded.append(length)
    else:
        encoded.append(0x7F)
        length -= 0x7F
        while length >= 0x80:
            encoded.append(length & 0x7F | 0x80)
            length >>= 7
        encoded.append(length)
    return bytes(encoded) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    length = len(payload)
    return _HEADER.pack(length >> 16, length & 0xFFFF, kind, flags, stream) + payload
