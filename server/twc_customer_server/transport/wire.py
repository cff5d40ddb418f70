"""gRPC on HTTP/2 as an ASGI server passes it: frames, metadata, deadlines and statuses."""

import base64
import binascii
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

import grpc

from twc_customer_server.transport.interface import Metadata

Headers = Iterable[tuple[bytes, bytes]]

# Headers of HTTP and gRPC themselves, which are no metadata.
_OWN = frozenset(
    {
        b"accept-encoding",
        b"content-length",
        b"content-type",
        b"grpc-accept-encoding",
        b"grpc-encoding",
        b"grpc-timeout",
        b"host",
        b"te",
        b"transfer-encoding",
    }
)
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MAX_TIMEOUT_DIGITS = 8

_ENCODINGS = (b"gzip", b"deflate")
_PREFIX = struct.Struct(">BI")

# Printable ASCII, but for the percent sign, stands for itself in a status message.
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


class ProtocolError(Exception):
    """Reports that a client sent no gRPC, or too much; has the status to answer with."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Head(NamedTuple):
    """Holds what the headers of a request say."""

    metadata: Metadata
    # Seconds until the deadline, if there is one.
    timeout: float | None
    # The compression of messages that say that they are compressed.
    encoding: bytes


def read_head(headers: Headers) -> Head:
    """Reads the headers of a request. Raises ProtocolError."""
    metadata: list[tuple[str, str | bytes]] = []
    own: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _OWN:
            own[name] = value
        elif name.endswith(b"-bin"):
            metadata += ((name.decode("latin-1"), _binary(part)) for part in value.split(b","))
        else:
            metadata.append((name.decode(), value.decode("latin-1")))
    if not own.get(b"content-type", b"").startswith(b"application/grpc"):
        raise ProtocolError(
            grpc.StatusCode.INTERNAL, "the header content-type must be application/grpc"
        )
    if own.get(b"te") != b"trailers":
        raise ProtocolError(
            grpc.StatusCode.INTERNAL, "gRPC needs HTTP/2 and the header te: trailers"
        )
    timeout = own.get(b"grpc-timeout")
    seconds = None if timeout is None else _seconds(timeout)
    return Head(tuple(metadata), seconds, own.get(b"grpc-encoding", b""))


class FrameReader:
    """Takes the parts of a request's body, and returns its messages as they came.

    Those that are compressed are decompressed, up to their limit, where they are decoded.
    """

    def __init__(self, encoding: bytes, most: int) -> None:
        """Messages take `most` bytes at most."""
        self._encoding = encoding
        self._most = most
        self._buffer = bytearray()
        # Whether all of the body has come.
        self.is_complete = False

    def add(self, part: bytes, *, is_last: bool) -> None:
        """Takes the next part of the body."""
        self._buffer += part
        self.is_complete = is_last

    def take(self) -> bytes | None:
        """Returns the next message if it is there. Raises ProtocolError."""
        buffer = self._buffer
        if len(buffer) < _PREFIX.size:
            self._require_whole()
            return None
        is_compressed, length = _PREFIX.unpack_from(buffer)
        if length > self._most:
            raise ProtocolError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"received message larger than max ({length} vs. {self._most})",
            )
        if is_compressed and self._encoding not in _ENCODINGS:
            raise ProtocolError(
                grpc.StatusCode.UNIMPLEMENTED, "messages may be compressed by gzip or deflate"
            )
        end = _PREFIX.size + length
        if len(buffer) < end:
            self._require_whole()
            return None
        content = bytes(memoryview(buffer)[_PREFIX.size : end])
        del buffer[:end]
        return content

    def _require_whole(self) -> None:
        if self.is_complete and self._buffer:
            raise ProtocolError(grpc.StatusCode.INTERNAL, "the body ends within a message")


def frame(message: bytes) -> bytes:
    """Returns a message as it is sent."""
    return _PREFIX.pack(0, len(message)) + message


def frames(messages: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Yields messages as they are sent, joined until they take `most` bytes, or an error comes."""
    gathered: list[bytes] = []
    size = 0
    try:
        for message in messages:
            gathered.append(frame(message))
            size += len(message)
            if size >= most:
                yield b"".join(gathered)
                gathered, size = [], 0
    except Exception:
        if gathered:
            yield b"".join(gathered)
        raise
    if gathered:
        yield b"".join(gathered)


def encode_metadata(metadata: Metadata | None) -> list[tuple[bytes, bytes]]:
    """Returns metadata as headers."""
    return [
        (name.encode(), value.encode() if isinstance(value, str) else base64.b64encode(value))
        for name, value in metadata or ()
    ]


def encode_status(
    code: grpc.StatusCode, message: str, metadata: Metadata | None
) -> Sequence[tuple[bytes, bytes]]:
    """Returns the status of a call, and the metadata beside it, as headers or trailers."""
    number: int = code.value[0]
    headers = [(b"grpc-status", b"%d" % number)]
    if message:
        headers.append((b"grpc-message", quote(message, safe=_PLAIN).encode()))
    return headers + encode_metadata(metadata)


def _binary(value: bytes) -> bytes:
    try:
        return base64.b64decode(value.strip() + b"=" * (-len(value.strip()) % 4), validate=True)
    except binascii.Error:
        raise ProtocolError(
            grpc.StatusCode.INTERNAL, "metadata with -bin in its name must be base64"
        ) from None


# Most clients give the same each time, and the gateway does.
@lru_cache(64)
def _seconds(timeout: bytes) -> float:
    number, unit = timeout[:-1], _UNITS.get(timeout[-1:])
    if unit is None or not number.isdigit() or len(number) > _MAX_TIMEOUT_DIGITS:
        raise ProtocolError(grpc.StatusCode.INTERNAL, "the header grpc-timeout is malformed")
    return int(number) * unit
