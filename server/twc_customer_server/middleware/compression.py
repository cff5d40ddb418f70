"""Decompresses messages, up to a limit: one of 100 kB may be 100 MB when it is decompressed."""

import zlib

# zlib reads both gzip and deflate by this.
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_GZIP = b"\x1f\x8b"
# The method of zlib's format, in half of its first byte; its first two are a multiple of 31.
_DEFLATE, _CHECK = 8, 31

# A compressed message begins with one of these bytes, and few others do.
FIRST_BYTES = frozenset(
    bytes([byte]) for byte in range(0x100) if byte == _GZIP[0] or byte & 0xF == _DEFLATE
)


def inflate(content: bytes, most: int) -> bytes:
    """Returns what was compressed by gzip or deflate, or its first `most` bytes and one more.

    Raises zlib.error.
    """
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    inflated = inflater.decompress(content, most + 1)
    if not inflater.eof and len(inflated) <= most:
        raise zlib.error("the stream is cut off")
    return inflated


def decompressed(message: bytes, most: int) -> bytes:
    """Returns a message decompressed if it is compressed, of which `inflate` returns how much.

    grpcio, which would decompress all of it on the thread that every call of a connection
    shares, is told not to, and does not say which messages are compressed. No message of
    Protobuf begins as gzip does; one that begins as deflate does is no whole stream of it.
    """
    if not _may_be_compressed(message):
        return message
    try:
        return inflate(message, most)
    except zlib.error:
        return message


def _may_be_compressed(message: bytes) -> bool:
    if message[:2] == _GZIP:
        return True
    return (
        len(message) > 1
        and message[0] & 0xF == _DEFLATE
        and int.from_bytes(message[:2]) % _CHECK == 0
    )
