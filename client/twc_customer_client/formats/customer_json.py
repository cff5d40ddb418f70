"""Converts customers to and from JSON, and lists every violation of the contract's types."""

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.formats.field_paths import (
    CUSTOMER,
    MapKey,
    Path,
    fields_by_name,
    format_path,
    is_timestamp,
    map_value_field,
)
from twc_customer_client.formats.records import RejectReason

# The contract's limit of a customer in its Protobuf encoding.
MAX_CUSTOMER_BYTES = 256 * 1024
_PREVIEW_CHARACTERS = 200


def _is_number(value: Any) -> bool:
    """Tells whether a value is a number, or a string that writes one, as Protobuf reads it."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


# Checks a value of each type, and says what it must be.
_SCALARS: dict[int, tuple[Callable[[Any], bool], str]] = {
    FieldDescriptor.CPPTYPE_STRING: (lambda value: isinstance(value, str), "must be a string"),
    FieldDescriptor.CPPTYPE_BOOL: (lambda value: isinstance(value, bool), "must be true or false"),
    FieldDescriptor.CPPTYPE_DOUBLE: (_is_number, "must be a number"),
}


class InvalidCustomer(Exception):
    """Reports JSON that is not a customer of the contract."""

    def __init__(self, reasons: list[RejectReason]) -> None:
        super().__init__()
        self.reasons = reasons


def format_customer(customer: Customer) -> dict[str, Any]:
    """Returns a customer as the REST API does."""
    return json_format.MessageToDict(customer, always_print_fields_with_no_presence=True)


def parse_customer(value: Any, *, ignore_unknown: bool = False) -> Customer:
    """Parses a customer's JSON. Raises InvalidCustomer with every violation."""
    if not isinstance(value, dict):
        raise InvalidCustomer([RejectReason("", preview(value), "must be a JSON object")])
    try:
        customer = json_format.ParseDict(value, Customer())
    except (json_format.ParseError, RecursionError, OverflowError) as error:
        # ParseDict stops at the first violation, and does not name its path.
        reasons = list(_message_violations(value, CUSTOMER, (), ignore_unknown))
        if not reasons and ignore_unknown:
            return parse_customer(_without_unknown(value, CUSTOMER))
        raise InvalidCustomer(reasons or [RejectReason("", "", _first_line(error))]) from None
    if customer.ByteSize() > MAX_CUSTOMER_BYTES:
        # Checked here, because a larger one may exceed the limit of its batch.
        rule = f"must be at most {MAX_CUSTOMER_BYTES >> 10} KiB"
        raise InvalidCustomer([RejectReason("customer", "", rule)])
    return customer


def preview(value: Any) -> str:
    """Returns a JSON value as a short line of text for a reject reason."""
    if isinstance(value, str):
        text = value
    else:
        text = "" if value is None else re.sub(r"\s+", " ", json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _PREVIEW_CHARACTERS else text[:_PREVIEW_CHARACTERS] + "…"


def _message_violations(
    value: Any,
    message: Descriptor,
    path: Path,
    ignore_unknown: bool,  # noqa: FBT001 - passed on
) -> Iterator[RejectReason]:
    if not isinstance(value, dict):
        yield _violation(path, value, "must be an object")
        return
    fields = fields_by_name(message)
    for name, member in value.items():
        field = fields.get(name)
        if field is None:
            if not ignore_unknown:
                yield _violation((*path, name), member, "is not a field of the contract")
        elif member is not None:
            yield from _field_violations(member, field, (*path, name), ignore_unknown)


def _field_violations(
    value: Any,
    field: FieldDescriptor,
    path: Path,
    ignore_unknown: bool,  # noqa: FBT001 - passed on
) -> Iterator[RejectReason]:
    elements: list[tuple[Path, Any]]
    element_field = map_value_field(field) or field
    if map_value_field(field):
        if not isinstance(value, dict):
            yield _violation(path, value, "must be an object")
            return
        elements = [((*path, MapKey(key)), element) for key, element in value.items()]
    elif field.is_repeated:
        if not isinstance(value, list):
            yield _violation(path, value, "must be an array")
            return
        elements = [((*path, index), element) for index, element in enumerate(value)]
    else:
        elements = [(path, value)]
    for element_path, element in elements:
        yield from _element_violations(element, element_field, element_path, ignore_unknown)


def _element_violations(
    value: Any,
    field: FieldDescriptor,
    path: Path,
    ignore_unknown: bool,  # noqa: FBT001 - passed on
) -> Iterator[RejectReason]:
    if field.enum_type is not None:
        names = [each.name for each in field.enum_type.values]
        if value not in names and type(value) is not int:
            specified = [each.name for each in field.enum_type.values if each.number]
            yield _violation(path, value, f"must be one of {', '.join(specified)}")
    elif field.message_type is None:
        is_right, rule = _SCALARS[field.cpp_type]
        if not is_right(value):
            yield _violation(path, value, rule)
        elif isinstance(value, str) and not _is_unicode(value):
            yield _violation(path, "", "must not contain half of a surrogate pair")
    elif is_timestamp(field):
        if not _is_time(value):
            yield _violation(path, value, "must be a time such as 2026-05-28T10:00:00Z")
    else:
        yield from _message_violations(value, field.message_type, path, ignore_unknown)


def _without_unknown(value: Any, message: Descriptor) -> Any:
    """Returns JSON without the members that are not fields of the contract."""
    if not isinstance(value, dict):
        return value
    fields = fields_by_name(message)
    return {
        name: _field_without_unknown(member, fields[name])
        for name, member in value.items()
        if name in fields
    }


def _field_without_unknown(value: Any, field: FieldDescriptor) -> Any:
    if field.message_type is None:
        return value
    map_value = map_value_field(field)
    if map_value and isinstance(value, dict):
        return {key: _field_without_unknown(each, map_value) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_unknown(each, field.message_type) for each in value]
    return _without_unknown(value, field.message_type)


def _violation(path: Path, value: Any, rule: str) -> RejectReason:
    return RejectReason(format_path(path), preview(value), rule)


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
