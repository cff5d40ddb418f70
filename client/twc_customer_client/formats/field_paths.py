"""Paths into a customer's JSON: `addresses[0].city`, `attributeGroups["shoe"].attribute_group`."""

import json
import re
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_pb2


class MapKey(str):
    """A step that is a key of a map; a plain `str` is the name of a field."""

    __slots__ = ()


Step = str | int
Path = tuple[Step, ...]

_MESSAGES = customer_pb2.DESCRIPTOR.message_types_by_name
CUSTOMER, ADDRESS = _MESSAGES["Customer"], _MESSAGES["Address"]

# The name of a field, an index of up to three digits, or a quoted key.
_STEP = re.compile(r'\.?([A-Za-z_][A-Za-z0-9_]*)|\[(\d{1,3})\]|\[("(?:[^"\\]|\\.)*")\]')


def parse_path(text: str) -> Path:
    """Parses a path. Raises ValueError."""
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if not match or (position == 0) == match.group().startswith((".", "[")):
            raise ValueError(text)
        name, index, key = match.groups()
        steps.append(name or (int(index) if index else MapKey(json.loads(key))))
        position = match.end()
    return tuple(steps)


def format_path(path: Path) -> str:
    """Returns a path as text."""
    return "".join(
        f"[{step}]"
        if isinstance(step, int)
        else f"[{json.dumps(step, ensure_ascii=False)}]"
        if isinstance(step, MapKey)
        else f".{step}"
        for step in path
    ).removeprefix(".")


def resolve_field(message: Descriptor, path: Path) -> FieldDescriptor:
    """Returns the field that a path ends at. Raises ValueError if there is none."""
    if not path or not isinstance(path[0], str) or isinstance(path[0], MapKey):
        raise ValueError(path)
    field = _find_field(message, path[0])
    rest = path[1:]
    if not rest:
        return field
    if value := map_value_field(field):
        return _resolve_element(value, rest, MapKey)
    if field.is_repeated:
        return _resolve_element(field, rest, int)
    return resolve_field(_message_of(field), rest)


def canonical_path(message: Descriptor, path: Path) -> Path:
    """Returns a path with each field by its JSON name. Raises ValueError if there is none."""
    resolve_field(message, path)
    field = _find_field(message, str(path[0]))
    element = map_value_field(field) or field
    length = 2 if field.is_repeated else 1
    head, rest = (field.json_name, *path[1:length]), path[length:]
    if rest and element.message_type:
        return (*head, *canonical_path(element.message_type, rest))
    return head


def is_collection(field: FieldDescriptor, path: Path) -> bool:
    """Returns whether a path to `field` ends at a whole list or map, not at one element."""
    return field.is_repeated and not isinstance(path[-1], int)


def is_timestamp(field: FieldDescriptor) -> bool:
    """Returns whether a field is a timestamp, which JSON has as a string."""
    message = field.message_type
    return message is not None and message.full_name == Timestamp.DESCRIPTOR.full_name


def map_value_field(field: FieldDescriptor) -> FieldDescriptor | None:
    """Returns the field of a map's values; None if `field` is not a map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["value"]


def fields_by_name(message: Descriptor) -> dict[str, FieldDescriptor]:
    """Returns the fields of a message by each name that JSON input may use."""
    return {name: field for field in message.fields for name in (field.name, field.json_name)}


def get_value(value: Any, path: Path) -> Any:
    """Returns the value at a path into JSON; None if there is none."""
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


def _find_field(message: Descriptor, name: str) -> FieldDescriptor:
    """Returns the field with a name in any case, as headers have it. Raises ValueError."""
    for each, field in fields_by_name(message).items():
        if each.lower() == name.lower():
            return field
    raise ValueError(name)


def _resolve_element(field: FieldDescriptor, rest: Path, step_type: type[Step]) -> FieldDescriptor:
    """Returns the field that a path ends at which continues into a list or map."""
    if not isinstance(rest[0], step_type):
        raise ValueError(rest)  # noqa: TRY004 - a path that is wrong, like any other
    if len(rest) == 1:
        return field
    return resolve_field(_message_of(field), rest[1:])


def _message_of(field: FieldDescriptor) -> Descriptor:
    """Returns the message type of a field. Raises ValueError if JSON has it as a scalar."""
    if field.message_type is None or is_timestamp(field):
        raise ValueError(field.name)
    return field.message_type
