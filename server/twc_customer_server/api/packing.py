"""Packs the answer to a request with an idempotency key, as it is kept for repeats.

A repeat has the same content as the first request, which is therefore at hand
to unpack the answer, and serves as the dictionary: of a new customer that it
repeats, little more than ids and times is kept.
"""

import zlib
from collections.abc import Iterator, Sequence

# Tells packed answers from those of older servers, which are kept as they are: no
# encoding of a customer, and none of results with lengths before them, begins with it.
_MARK = b"\0"

_LENGTH_BYTES = 4

# Deflate looks back 32 KiB: half of it for the part of the request, half for the
# part of the answer before.
_DICTIONARY_BYTES = 1 << 14


def pack(parts: Sequence[bytes], request: Sequence[bytes]) -> bytes:
    """Packs the parts of an answer, each to the part of the request in its place."""
    packed = [_MARK]
    previous = b""
    for part, content in zip(parts, request, strict=True):
        deflate = zlib.compressobj(zlib.Z_BEST_SPEED, zdict=_dictionary(previous, content))
        compressed = deflate.compress(part) + deflate.flush()
        packed += (len(compressed).to_bytes(_LENGTH_BYTES), compressed)
        previous = part
    return b"".join(packed)


def unpack(packed: bytes, request: Sequence[bytes]) -> bytes:
    """Returns the parts of a packed answer to a request, joined."""
    if packed[:1] != _MARK:
        return packed
    parts = [b""]
    for compressed, content in zip(_split(packed), request, strict=True):
        inflate = zlib.decompressobj(zdict=_dictionary(parts[-1], content))
        parts.append(inflate.decompress(compressed))
    return b"".join(parts)


def _split(packed: bytes) -> Iterator[bytes]:
    place = len(_MARK)
    while place < len(packed):
        start = place + _LENGTH_BYTES
        place = start + int.from_bytes(packed[place:start])
        yield packed[start:place]


def _dictionary(previous: bytes, content: bytes) -> bytes:
    return previous[-_DICTIONARY_BYTES:] + content[-_DICTIONARY_BYTES:]
