"""Encodes HTTP/2 by hand: frames (RFC 9113), headers (HPACK, RFC 7541) and gRPC's messages."""

import struct
from collections.abc import Iterable

Headers = Iterable[tuple[str, str]]

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, _, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(
    10
)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4
MAX_WINDOW = (1 << 31) - 1

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER = struct.Struct(">BHBBI")


def frame(
    kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, length: int | None = None
) -> bytes:
    """Encodes a frame, which may lie about its length."""
    size = len(payload) if length is None else length
    return FRAME_HEADER.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    """Encodes a frame of settings."""
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def header_block(headers: Headers) -> bytes:
    """Encodes headers, none of which the peer is to keep in its table."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)


def indexed(name: str, value: str) -> bytes:
    """Encodes a header that the peer is to keep in its table."""
    return b"\x40" + _text(name) + _text(value)


def message(content: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """Encodes a message of gRPC, which may lie about its length and compression."""
    return struct.pack(">BI", flag, len(content) if length is None else length) + content


def _text(text: str) -> bytes:
    encoded = text.encode("latin-1")
    return _integer(len(encoded), 7) + encoded


def _integer(value: int, bits: int) -> bytes:
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    encoded = bytearray([most])
    value -= most
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
