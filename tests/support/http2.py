"""Calls in the middle: HTTP/2 frames one by one, as no gRPC client sends them (RFC 9113)."""

import queue
import re
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from tests.support.client import SECONDS
from tests.support.http2_frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_WINDOW,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
    header_block,
    settings,
)
from tests.support.http2_frames import message as encode_message

# `:method: POST` and `:scheme: http` in HPACK's static table.
_POST_HTTP = b"\x83\x86"
# As grpcio encodes it where its dynamic table has no room, and Envoy, which compresses names.
_STATUS = re.compile(rb"(?:grpc-status|\x9a\xca\xc8\xb2\x12\x34\xda\x8f).(\d+)", re.DOTALL)

RESET = "reset"


class Http2:
    """A connection whose streams are opened, and go on, as a test wants it."""

    def __init__(self, address: str, window: int = MAX_WINDOW) -> None:
        """`window` is what the server may send of each stream."""
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)))
        self._stream = -1
        self._open: set[int] = set()
        self._ends: queue.SimpleQueue[tuple[int, int | str]] = queue.SimpleQueue()
        first = settings((HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW_SIZE, window))
        self._socket.sendall(PREFACE + first)
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

    def begin(
        self,
        path: str,
        metadata: Iterable[tuple[str, str | bytes]] = (),
        *,
        takes_trailers: bool = True,
    ) -> int:
        """Sends the headers of a call, and nothing more; returns its stream."""
        headers = [(":path", path), (":authority", "test"), ("content-type", "application/grpc")]
        if takes_trailers:
            headers.append(("te", "trailers"))
        headers += [(name, str(value)) for name, value in metadata]
        block = header_block(headers)
        self._stream += 2
        self._open.add(self._stream)
        self._socket.sendall(frame(HEADERS, END_HEADERS, self._stream, _POST_HTTP + block))
        return self._stream

    def send(self, stream: int, message: bytes, *, length: int | None = None) -> None:
        """Sends a message, or its beginning if its length is said to be larger, and ends if not."""
        size = len(message) if length is None else length
        flags = END_STREAM if size == len(message) else 0
        data = encode_message(message, length=size)
        self._socket.sendall(frame(DATA, flags, stream, data))

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
        while len(received) >= FRAME_HEADER.size:
            high, low, kind, flags, stream = FRAME_HEADER.unpack_from(received)
            end = FRAME_HEADER.size + (high << 16 | low)
            if len(received) < end:
                break
            self._take(kind, flags, stream, received[FRAME_HEADER.size : end])
            received = received[end:]
        return received

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in {SETTINGS, PING} and not flags & ACK:
            self._socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind == HEADERS and flags & END_STREAM and (found := _STATUS.search(payload)):
            self._open.discard(stream)
            self._ends.put((stream, int(found[1])))
        elif kind == RST_STREAM and stream in self._open:
            self._open.discard(stream)
            self._ends.put((stream, RESET))
