"""Rules of attribute groups: their number and names, and values that parse as their types."""

import re
from collections.abc import Callable, Iterator

from twc.customer.v2 import customer_pb2 as pb

from twc_customer_server.customers import fields
from twc_customer_server.errors import Violation

MAX_GROUPS = 100
MAX_ATTRIBUTES = 200

ValueType = pb.Attribute.ValueType

# Possessive quantifiers, since none of these gains by giving a digit back.
_INTEGER = re.compile(r"[+-]?\d++", re.ASCII).fullmatch
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d++)?", re.ASCII).fullmatch
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]*+|[A-Za-z0-9_-]*+)={0,2}").fullmatch
_BASE64_DIGITS = 4


def check(customer: pb.Customer) -> Iterator[Violation]:
    """Checks every attribute group of a customer; clears unspecified value types."""
    if len(customer.attribute_groups) > MAX_GROUPS:
        yield Violation("attributeGroups", f"must hold at most {MAX_GROUPS} groups")
        return
    for name, group in customer.attribute_groups.items():
        if not _is_valid(name, group):
            for field, problem in _check_group(name, group):
                yield Violation(fields.map_entry_path("attributeGroups", name) + field, problem)


def unite(kept: pb.Customer, other: pb.Customer, *, prevails: bool) -> None:
    """Adds the groups of another customer, and to groups of both its attributes.

    Of what both have, the other's stays if it `prevails`. A group of both is
    obsolete only if the one that prevails is.
    """
    for name, group in other.attribute_groups.items():
        if name not in kept.attribute_groups:
            kept.attribute_groups[name].CopyFrom(group)
            continue
        mine = kept.attribute_groups[name]
        united = pb.AttributeGroup()
        united.CopyFrom(mine if prevails else group)
        united.ClearField("is_obsolete")
        united.MergeFrom(group if prevails else mine)
        mine.CopyFrom(united)


def _is_valid(name: str, group: pb.AttributeGroup) -> bool:
    """Clears unspecified value types; tells whether a group is valid, checking all at once.

    `_check_group` finds the violations of one that is not.
    """
    if len(group.attributes) > MAX_ATTRIBUTES:
        return False
    names = [name]
    texts = [group.attribute_group, group.description]
    for each, attribute in group.attributes.items():
        names.append(each)
        texts.append(attribute.attribute_value)
        if not attribute.value_type:
            attribute.ClearField("value_type")
        elif _check_value(attribute):
            return False
    return all(names) and fields.are_valid_texts(names + texts)


def _check_group(name: str, group: pb.AttributeGroup) -> Iterator[Violation]:
    """Finds the violations of a group, with paths relative to it."""
    yield from _check_name(name)
    yield from fields.check_texts(group, ".")
    if len(group.attributes) > MAX_ATTRIBUTES:
        yield Violation(".attributes", f"must hold at most {MAX_ATTRIBUTES} attributes")
        return
    for each, attribute in group.attributes.items():
        for field, problem in _check_attribute(each, attribute):
            yield Violation(fields.map_entry_path(".attributes", each) + field, problem)


def _check_attribute(name: str, attribute: pb.Attribute) -> list[Violation]:
    """Finds the violations of an attribute, with paths relative to it."""
    return [*_check_name(name), *fields.check_texts(attribute, "."), *_check_value(attribute)]


def _check_name(name: str) -> list[Violation]:
    problem = fields.text_problem(name) if name else "must have a name that is not empty"
    return [Violation("", problem)] if problem else []


def _check_value(attribute: pb.Attribute) -> list[Violation]:
    if attribute.value_type not in _PARSERS:
        return [Violation(".value_type", "must be INTEGER, NUMBER, STRING, BLOB or DATE")]
    parses, wanted = _PARSERS[attribute.value_type]
    value = attribute.attribute_value
    if len(value) > fields.MAX_TEXT_LENGTH:
        return []  # It is refused as a text.
    if attribute.HasField("attribute_value") and not parses(value):
        return [Violation(".attribute_value", f"must be {wanted}")]
    return []


def _is_base64(value: str) -> bool:
    return len(value) % _BASE64_DIGITS == 0 and bool(_BASE64(value))


def _is_text(_value: str) -> bool:
    return True


def _is_date(value: str) -> bool:
    try:
        fields.parse_date(value)
    except ValueError:
        return False
    return True


_PARSERS: dict[int, tuple[Callable[[str], object], str]] = {
    ValueType.VALUE_TYPE_UNSPECIFIED: (_is_text, "text"),
    ValueType.INTEGER: (_INTEGER, "a whole number in decimal digits, such as -42"),
    ValueType.NUMBER: (_NUMBER, "a decimal number as JSON writes it, such as -1.5e3"),
    ValueType.STRING: (_is_text, "text"),
    ValueType.BLOB: (_is_base64, "padded base64, such as aGVsbG8="),
    ValueType.DATE: (_is_date, fields.NOT_A_DATE.removeprefix("must be ")),
}
