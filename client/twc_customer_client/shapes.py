"""JSON as a customer, or what of it the contract does not have."""

import json
import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client import paths
from twc_customer_client.paths import Key, Path
from twc_customer_client.problems import Reason

MAX_BYTES = 256 * 1024
_SHOWN = 200

_KINDS = {
    FieldDescriptor.CPPTYPE_STRING: (str, "must be a text"),
    FieldDescriptor.CPPTYPE_BOOL: (bool, "must be true or false"),
}


class Misshapen(Exception):
    """JSON that is no customer."""

    def __init__(self, reasons: list[Reason]) -> None:
        super().__init__()
        self.reasons = reasons


def customer(value: Any, *, ignore_unknown: bool = False) -> Customer:
    """Reads a customer. Raises Misshapen with all that is wrong with it."""
    try:
        read = json_format.ParseDict(value, Customer()) if isinstance(value, dict) else None
    except (json_format.ParseError, RecursionError) as error:
        wrong = list(_wrong(value, paths.CUSTOMER, (), ignore_unknown))
        if not wrong and ignore_unknown:
            return customer(_known(value, paths.CUSTOMER))
        raise Misshapen(wrong or [Reason("", "", _first_line(error))]) from None
    if read is None:
        raise Misshapen([Reason("", shown(value), "must be an object, which is a customer")])
    if read.ByteSize() > MAX_BYTES:
        # Which the server would say, too, but of a batch that may be too large itself.
        raise Misshapen([Reason("customer", "", f"must be at most {MAX_BYTES >> 10} KiB")])
    return read


def shown(value: Any) -> str:
    """A value as a person may want to see it beside the reason why it was rejected."""
    if isinstance(value, str):
        text = value
    else:
        text = "" if value is None else re.sub(r"\s+", " ", json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _wrong(value: Any, message: Descriptor, at: Path, ignore_unknown: bool) -> Iterator[Reason]:  # noqa: FBT001 - passed on
    if not isinstance(value, dict):
        yield _reason(at, value, "must be an object")
        return
    fields = paths.fields_of(message)
    for name, member in value.items():
        here = (*at, name)
        field = fields.get(name)
        if field is None:
            if not ignore_unknown:
                yield _reason(here, member, "is no field that the contract knows")
        elif member is not None:
            yield from _wrong_field(member, field, here, ignore_unknown)


def _wrong_field(
    value: Any,
    field: FieldDescriptor,
    at: Path,
    ignore_unknown: bool,  # noqa: FBT001 - passed on
) -> Iterator[Reason]:
    one = paths.map_value(field)
    if one:
        if not isinstance(value, dict):
            yield _reason(at, value, "must be an object")
            return
        items = [((*at, Key(key)), item) for key, item in value.items()]
    elif field.is_repeated:
        if not isinstance(value, list):
            yield _reason(at, value, "must be an array")
            return
        one = field
        items = [((*at, place), item) for place, item in enumerate(value)]
    else:
        one, items = field, [(at, value)]
    for here, item in items:
        yield from _wrong_one(item, one, here, ignore_unknown)


def _wrong_one(
    value: Any,
    field: FieldDescriptor,
    at: Path,
    ignore_unknown: bool,  # noqa: FBT001 - passed on
) -> Iterator[Reason]:
    if field.enum_type is not None:
        names = [each.name for each in field.enum_type.values if each.number]
        if value not in [each.name for each in field.enum_type.values] and type(value) is not int:
            yield _reason(at, value, f"must be one of {', '.join(names)}")
    elif field.message_type is None:
        kind, rule = _KINDS[field.cpp_type]
        if not isinstance(value, kind):
            yield _reason(at, value, rule)
        elif isinstance(value, str) and not _is_unicode(value):
            yield _reason(at, "", "must not have half of a surrogate pair")
    elif field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
        if not _is_time(value):
            yield _reason(at, value, "must be a time such as 2026-05-28T10:00:00Z")
    else:
        yield from _wrong(value, field.message_type, at, ignore_unknown)


def _known(value: Any, message: Descriptor) -> Any:
    """JSON without the members that the contract does not know."""
    if not isinstance(value, dict):
        return value
    fields = paths.fields_of(message)
    return {
        name: _known_field(item, fields[name]) for name, item in value.items() if name in fields
    }


def _known_field(value: Any, field: FieldDescriptor) -> Any:
    if field.message_type is None:
        return value
    one = paths.map_value(field)
    if one and isinstance(value, dict):
        return {key: _known_field(item, one) for key, item in value.items()}
    if isinstance(value, list):
        return [_known(item, field.message_type) for item in value]
    return _known(value, field.message_type)


def _reason(at: Path, value: Any, rule: str) -> Reason:
    return Reason(paths.text_of(at), shown(value), rule)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_time(value: Any) -> bool:
    try:
        Timestamp().FromJsonString(value)
    except (ValueError, TypeError, AttributeError):
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or "cannot be read"
