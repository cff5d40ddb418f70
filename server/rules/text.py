"""Rules of every text field: its length and its characters."""

import re
from typing import TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from twc.customer.v2 import customer_pb2 as pb

from server.errors import Violation

MAX_LENGTH = 1024
EMAIL_LENGTH = 254

_LENGTHS = {
    pb.Customer.DESCRIPTOR.fields_by_name["email"]: EMAIL_LENGTH,
    pb.Address.DESCRIPTOR.fields_by_name["email"]: EMAIL_LENGTH,
    pb.Address.DESCRIPTOR.fields_by_name["phone"]: 64,
}

# What a request has no say in is not looked at.
_IGNORED = {"id", "customer_id"}

# NUL and the other control characters that no person types; PostgreSQL cannot
# store NUL at all.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]").search

# White space that may be cut from the ends of a text: all but control
# characters, which are to be seen and refused.
_SPACE = "".join(
    character
    for character in map(chr, range(0x3001))
    if character.isspace() and not _CONTROL(character)
)

_SHOWN = 64

M = TypeVar("M", bound=Message)


def describe(text: str, length: int = MAX_LENGTH) -> str | None:
    """Says what is wrong with a text, or None if nothing is."""
    if len(text) > length:
        return f"must be at most {length:,} characters long, has {len(text):,}"
    if _CONTROL(text):
        return "must not hold control characters other than tab and line breaks"
    return None


def check(message: Message, path: str = "") -> list[Violation]:
    """Checks every text field of a message, though not those of messages within it."""
    return [
        Violation(path + json_name, wrong)
        for name, json_name, length in _FIELDS[message.DESCRIPTOR.name]
        if (text := getattr(message, name)) and (wrong := describe(text, length))
    ]


def trim(text: str) -> str:
    """Cuts white space from both ends of a text."""
    return text.strip(_SPACE)


def shorten(text: str) -> str:
    """Cuts a text to what a person can read in an error."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def member(path: str, key: str) -> str:
    """The path of a map's entry."""
    return f'{path}["{shorten(key)}"]'


def _fields(message: Descriptor) -> list[tuple[str, str, int]]:
    return [
        (field.name, field.json_name, _LENGTHS.get(field, MAX_LENGTH))
        for field in message.fields
        if field.type == FieldDescriptor.TYPE_STRING
        and not field.is_repeated
        and field.name not in _IGNORED
    ]


_FIELDS = {
    message.name: _fields(message) for message in pb.DESCRIPTOR.message_types_by_name.values()
}
