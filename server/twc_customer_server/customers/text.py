"""Rules of every text field: its length and its characters."""

import re
from collections.abc import Callable, Sequence
from operator import attrgetter, gt
from typing import NamedTuple, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from twc.customer.v2 import customer_pb2 as pb

from twc_customer_server.errors import Violation

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


def are_right(texts: Sequence[str]) -> bool:
    """Tells whether nothing is wrong with any of some texts."""
    return max(map(len, texts)) <= MAX_LENGTH and not _CONTROL("".join(texts))


def check(message: Message, path: str = "") -> list[Violation]:
    """Checks every text field of a message, though not those of messages within it."""
    fields = _FIELDS[type(message)]
    texts = fields.texts(message)
    # Nearly always all of them are right, which is cheap to see of all at once.
    if not any(map(gt, map(len, texts), fields.lengths)) and not _CONTROL("".join(texts)):
        return []
    return [
        Violation(path + json_name, wrong)
        for text, json_name, length in zip(texts, fields.json_names, fields.lengths, strict=True)
        if (wrong := describe(text, length))
    ]


def says_something(message: Message) -> bool:
    """Tells whether any text field of a message has a text."""
    return any(_FIELDS[type(message)].texts(message))


def trim(text: str) -> str:
    """Cuts white space from both ends of a text."""
    return text.strip(_SPACE)


def shorten(text: str) -> str:
    """Cuts a text to what a person can read in an error."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def member(path: str, key: str) -> str:
    """The path of a map's entry."""
    return f'{path}["{shorten(key)}"]'


class _Fields(NamedTuple):
    """The text fields of a message: how to read all of them, their names, and their limits."""

    texts: Callable[[Message], tuple[str, ...]]
    json_names: tuple[str, ...]
    lengths: tuple[int, ...]


def _fields(message: Descriptor) -> _Fields:
    fields = [
        field
        for field in message.fields
        if field.type == FieldDescriptor.TYPE_STRING
        and not field.is_repeated
        and field.name not in _IGNORED
    ]
    return _Fields(
        _reader([field.name for field in fields]),
        tuple(field.json_name for field in fields),
        tuple(_LENGTHS.get(field, MAX_LENGTH) for field in fields),
    )


def _reader(names: Sequence[str]) -> Callable[[Message], tuple[str, ...]]:
    """Reads all fields of a message at once."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda message: tuple(getattr(message, name) for name in names)


_FIELDS = {
    GetMessageClass(message): _fields(message)
    for message in pb.DESCRIPTOR.message_types_by_name.values()
}
