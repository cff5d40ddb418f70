"""Encodes responses of many stored customers without decoding these."""

from collections.abc import Iterable

from google.protobuf.message import Message

# Of a field that has its length before it.
_LENGTH_DELIMITED = 2


def with_customers(response: Message, bodies: Iterable[bytes]) -> bytes:
    """Encodes a response, and the customers that some bodies encode in its field `customers`.

    The fields of a message may be in any order, and repeated ones anywhere among them (the
    encoding of Protocol Buffers).
    """
    number = response.DESCRIPTOR.fields_by_name["customers"].number
    tag = _varint(number << 3 | _LENGTH_DELIMITED)
    parts: list[bytes] = []
    for body in bodies:
        parts += (tag, _varint(len(body)), body)
    parts.append(response.SerializeToString())
    return b"".join(parts)


def _varint(number: int) -> bytes:
    """Encodes a number in groups of seven bits, the lowest first."""
    groups = bytearray()
    while number >= 1 << 7:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
