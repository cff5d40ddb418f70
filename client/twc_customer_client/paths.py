"""Paths into a customer's JSON: `addresses[0].city`, `attributeGroups["shoe"].attribute_group`."""

import json
import re
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_pb2


class Key(str):
    """A step into a map: one of its keys, where another text is a field."""

    __slots__ = ()


Step = str | int
Path = tuple[Step, ...]

_MESSAGES = customer_pb2.DESCRIPTOR.message_types_by_name
CUSTOMER, ADDRESS = _MESSAGES["Customer"], _MESSAGES["Address"]

# A list's places: far more than any may have, far less than would hurt.
_MAX_INDEX = 999

_STEP = re.compile(r'\.?([A-Za-z_][A-Za-z0-9_]*)|\[(\d{1,3})\]|\[("(?:[^"\\]|\\.)*")\]')


def parse(text: str) -> Path:
    """Reads a path. Raises ValueError if it is none."""
    steps: list[Step] = []
    place = 0
    while place < len(text):
        found = _STEP.match(text, place)
        if not found or (place == 0) == found.group().startswith((".", "[")):
            raise ValueError(text)
        name, index, key = found.groups()
        steps.append(name or (int(index) if index else Key(json.loads(key))))
        place = found.end()
    return tuple(steps)


def text_of(path: Path) -> str:
    """Writes a path."""
    return "".join(
        f"[{step}]"
        if isinstance(step, int)
        else f"[{json.dumps(step, ensure_ascii=False)}]"
        if isinstance(step, Key)
        else f".{step}"
        for step in path
    ).removeprefix(".")


def field_at(message: Descriptor, path: Path) -> FieldDescriptor:
    """The field that a path ends at. Raises ValueError if there is none."""
    if not path or not isinstance(path[0], str) or isinstance(path[0], Key):
        raise ValueError(path)
    field = fields_of(message).get(path[0])
    if field is None:
        raise ValueError(path)
    rest = path[1:]
    if not rest:
        return field
    if one := map_value(field):
        return _within(one, rest, key=Key)
    if field.is_repeated:
        return _within(field, rest, key=int)
    return field_at(_inside(field), rest)


def spelled(message: Descriptor, path: Path) -> Path:
    """A path with each field by its JSON name. Raises ValueError if it ends at none."""
    field_at(message, path)
    field = fields_of(message)[str(path[0])]
    inner = map_value(field) or field
    within = 2 if field.is_repeated else 1
    head, rest = (field.json_name, *path[1:within]), path[within:]
    return (*head, *spelled(inner.message_type, rest)) if rest and inner.message_type else head


def is_whole(field: FieldDescriptor, path: Path) -> bool:
    """Tells whether a path ends at all of a list or a map, not at one thing in it."""
    return field.is_repeated and not isinstance(path[-1], int)


def map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """What a field that is a map has under each key; None if it is no map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["value"]


def fields_of(message: Descriptor) -> dict[str, FieldDescriptor]:
    """The fields of a message by the names that JSON may give them."""
    return {name: field for field in message.fields for name in (field.name, field.json_name)}


def value_at(value: Any, path: Path) -> Any:
    """What JSON has at a path; None if it has nothing there."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return None
            value = value[step]
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value


def _within(field: FieldDescriptor, rest: Path, key: type[Step]) -> FieldDescriptor:
    """The field that a path ends at which goes on into a list or a map."""
    if not isinstance(rest[0], key):
        raise ValueError(rest)  # noqa: TRY004 - a wrong path, whatever is wrong with it
    if len(rest) == 1:
        return field
    return field_at(_inside(field), rest[1:])


def _inside(field: FieldDescriptor) -> Descriptor:
    """The message that a field holds. Raises ValueError if JSON has it as a text."""
    message = field.message_type
    if message is None or message.full_name == Timestamp.DESCRIPTOR.full_name:
        raise ValueError(field.name)
    return message
