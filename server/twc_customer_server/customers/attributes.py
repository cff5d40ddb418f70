"""Rules of attribute groups: how many, how named, and that each value reads as its type."""

import re
from collections.abc import Callable, Iterator

from twc.customer.v2 import customer_pb2 as pb

from twc_customer_server.customers import dates, text
from twc_customer_server.errors import Violation

MAX_GROUPS = 100
MAX_ATTRIBUTES = 200

ValueType = pb.Attribute.ValueType

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII).fullmatch
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII).fullmatch
_BASE64 = re.compile(
    "|".join(
        f"(?:{digit}{{4}})*(?:{digit}{{2}}==|{digit}{{3}}=)?"
        for digit in ("[A-Za-z0-9+/]", "[A-Za-z0-9_-]")
    )
).fullmatch


def check(customer: pb.Customer) -> list[Violation]:
    """Checks every attribute group of a customer; a type that is not stated is not kept."""
    return list(_groups(customer))


def _groups(customer: pb.Customer) -> Iterator[Violation]:
    if len(customer.attribute_groups) > MAX_GROUPS:
        yield Violation("attributeGroups", f"must hold at most {MAX_GROUPS} groups")
        return
    for name, group in customer.attribute_groups.items():
        if not _settle(name, group):
            for field, wrong in _group(name, group):
                yield Violation(text.member("attributeGroups", name) + field, wrong)


def _settle(name: str, group: pb.AttributeGroup) -> bool:
    """Drops types that are not stated; tells whether all is right, by a look at all at once.

    What is not, which is then not stored, `_group` finds piece by piece.
    """
    names = [name]
    texts = [group.attribute_group]
    for each, attribute in group.attributes.items():
        names.append(each)
        texts.append(attribute.attribute_value)
        if not attribute.value_type:
            attribute.ClearField("value_type")
        elif _value(attribute):
            return False
    return len(names) <= MAX_ATTRIBUTES + 1 and all(names) and text.are_right(names + texts)


def _group(name: str, group: pb.AttributeGroup) -> Iterator[Violation]:
    """What is wrong with a group, by where that is within it: paths are only made for errors."""
    yield from _name(name)
    yield from text.check(group, ".")
    if len(group.attributes) > MAX_ATTRIBUTES:
        yield Violation(".attributes", f"must hold at most {MAX_ATTRIBUTES} attributes")
        return
    for each, attribute in group.attributes.items():
        for field, wrong in _attribute(each, attribute):
            yield Violation(text.member(".attributes", each) + field, wrong)


def _attribute(name: str, attribute: pb.Attribute) -> list[Violation]:
    """What is wrong with an attribute, by where that is within it."""
    return [*_name(name), *text.check(attribute, "."), *_value(attribute)]


def _name(name: str) -> list[Violation]:
    wrong = text.describe(name) if name else "must have a name that is not empty"
    return [Violation("", wrong)] if wrong else []


def _value(attribute: pb.Attribute) -> list[Violation]:
    if attribute.value_type not in _READABLE:
        return [Violation(".value_type", "must be INTEGER, NUMBER, STRING, BLOB or DATE")]
    reads, wanted = _READABLE[attribute.value_type]
    if attribute.HasField("attribute_value") and not reads(attribute.attribute_value):
        return [Violation(".attribute_value", f"must be {wanted}")]
    return []


def _is_text(_value: str) -> bool:
    return True


def _is_date(value: str) -> bool:
    try:
        dates.read(value)
    except ValueError:
        return False
    return True


_READABLE: dict[int, tuple[Callable[[str], object], str]] = {
    ValueType.VALUE_TYPE_UNSPECIFIED: (_is_text, "text"),
    ValueType.INTEGER: (_INTEGER, "a whole number in decimal digits, such as -42"),
    ValueType.NUMBER: (_NUMBER, "a decimal number as JSON writes it, such as -1.5e3"),
    ValueType.STRING: (_is_text, "text"),
    ValueType.BLOB: (_BASE64, "padded base64, such as aGVsbG8="),
    ValueType.DATE: (_is_date, dates.NOT_A_DATE.removeprefix("must be ")),
}
