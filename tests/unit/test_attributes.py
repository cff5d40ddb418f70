"""Attribute groups: how many, how named, and that each value reads as its type."""

from typing import Any

import pytest
from twc.customer.v2.customer_pb2 import Attribute, Customer

from tests.support import builders
from tests.support.steps import fields_of, settled
from twc_customer_server.customers import attributes
from twc_customer_server.errors import Violation

INTEGER, NUMBER, STRING = Attribute.INTEGER, Attribute.NUMBER, Attribute.STRING
BLOB, DATE = Attribute.BLOB, Attribute.DATE

PATH = 'attributeGroups["g"].attributes["a"]'

WANTED = {
    INTEGER: "must be a whole number in decimal digits, such as -42",
    NUMBER: "must be a decimal number as JSON writes it, such as -1.5e3",
    BLOB: "must be padded base64, such as aGVsbG8=",
    DATE: (
        "must be a date such as 2001-05-28 or an RFC 3339 date-time such as 2001-05-28T00:00:00Z"
    ),
}

VALUES = [
    *((INTEGER, value) for value in ("0", "42", "-42", "+42", "007", "9" * 100)),
    *((NUMBER, value) for value in ("0", "-0", "42", "-1.5", "0.05", "1e3", "1.5E-3", "-1.5e+3")),
    *((STRING, value) for value in ("", "string", "42", "a\tb\r\nc", "Gr\u00fc\u00dfe \U0001f600")),
    *((BLOB, value) for value in ("", "aGVsbG8=", "aGVsbA==", "aGVs", "+/8=", "-_8=")),
    *((DATE, value) for value in ("2001-05-28", "2022-06-20T06:21:32.358Z", "2999-01-01")),
]

NOT_VALUES = [
    *((INTEGER, value) for value in ("", "string", "4.2", "1e3", " 42", "42\n", "--1", "0x2A")),
    *((INTEGER, value) for value in ("+", "1_000", "1,000", "\u0664\u0662")),
    *(
        (NUMBER, value)
        for value in ("", "string", "+1", "01", ".5", "1.", "1,5", "NaN", "Infinity")
    ),
    *((NUMBER, value) for value in ("1e", "-", "0x1p3", "1_000", " 1", "1\n", "\u0661")),
    *((BLOB, value) for value in ("string!", "aGVsbG8", "aGVsbA=", "a", "a===", "aGVs bG8=")),
    *((BLOB, value) for value in ("+_8=", "aGVsbG8=\n", "aGVs=bG8")),
    *((BLOB, value) for value in ("=", "==", "aGVs=", "aGVs==", "aGVsbG8==")),
    *((DATE, value) for value in ("", "string", "2001-02-29", "20010528", "2001-05-28T00:00:00")),
]


def _name(case: object) -> str:
    return Attribute.ValueType.Name(case) if isinstance(case, int) else ascii(case)


def _with_value(value: str, **fields: Any) -> Customer:
    customer = builders.customer()
    attribute = Attribute(attribute_value=value, **fields)
    customer.attribute_groups["g"].attributes["a"].CopyFrom(attribute)
    return customer


def _with_groups(*names: str) -> Customer:
    customer = builders.customer()
    for name in names:
        customer.attribute_groups[name].is_obsolete = False
    return customer


def _with_attributes(*names: str) -> Customer:
    customer = builders.customer()
    for name in names:
        customer.attribute_groups["g"].attributes[name].attribute_value = "x"
    return customer


def _check(customer: Customer) -> list[Violation]:
    return [*attributes.check(customer)]


@pytest.mark.parametrize(("value_type", "value"), VALUES, ids=_name)
def test_valid_value(value_type: Attribute.ValueType, value: str) -> None:
    """A value that reads as its type is kept as given."""
    customer = settled(_with_value(value, value_type=value_type))

    assert customer.attribute_groups["g"].attributes["a"].attribute_value == value


@pytest.mark.parametrize(("value_type", "value"), NOT_VALUES, ids=_name)
def test_invalid_value(value_type: Attribute.ValueType, value: str) -> None:
    """A value that does not read as its type is refused with what would."""
    violations = _check(_with_value(value, value_type=value_type))

    assert violations == [Violation(f"{PATH}.attribute_value", WANTED[value_type])]


@pytest.mark.parametrize("fields", [{}, {"value_type": 0}], ids=["not set", "unspecified"])
def test_value_without_type(fields: dict[str, Any]) -> None:
    """A value without a type is any text, and comes back without one."""
    customer = _with_value("any text", **fields)
    stored = settled(customer).attribute_groups["g"].attributes["a"]

    assert stored.attribute_value == "any text"
    assert not stored.HasField("value_type")


@pytest.mark.parametrize("number", [6, 99, -1])
def test_undefined_type(number: int) -> None:
    """A type that the contract does not define is refused by the name of its field."""
    violations = _check(_with_value("any text", value_type=number))

    assert violations == [
        Violation(f"{PATH}.value_type", "must be INTEGER, NUMBER, STRING, BLOB or DATE")
    ]


@pytest.mark.parametrize("value_type", WANTED, ids=_name)
def test_type_without_value(value_type: Attribute.ValueType) -> None:
    """An attribute may have a type and no value."""
    customer = builders.customer()
    customer.attribute_groups["g"].attributes["a"].value_type = value_type

    assert _check(customer) == []


def test_100_groups() -> None:
    """A customer may have 100 attribute groups."""
    assert _check(_with_groups(*map(str, range(100)))) == []


def test_too_many_groups() -> None:
    """More than 100 groups are refused as one violation."""
    assert _check(_with_groups(*map(str, range(101)))) == [
        Violation("attributeGroups", "must hold at most 100 groups")
    ]


def test_200_attributes() -> None:
    """A group may have 200 attributes."""
    assert _check(_with_attributes(*map(str, range(200)))) == []


def test_too_many_attributes() -> None:
    """More than 200 attributes of a group are refused as one violation."""
    assert _check(_with_attributes(*map(str, range(201)))) == [
        Violation('attributeGroups["g"].attributes', "must hold at most 200 attributes")
    ]


NAMES = {
    "empty": ("", "", "must have a name that is not empty"),
    "NUL": ("\0", "\0", "must not hold control characters other than tab and line breaks"),
    "too long": (
        "n" * 1025,
        "n" * 64 + "\u2026",
        "must be at most 1,024 characters long, has 1,025",
    ),
}


@pytest.mark.parametrize(("name", "shown", "wrong"), NAMES.values(), ids=NAMES)
def test_invalid_group_name(name: str, shown: str, wrong: str) -> None:
    """A group's name is a text that is not empty; what is shown of it is short."""
    assert _check(_with_groups(name)) == [
        Violation(f'attributeGroups["{shown}"]', wrong),
    ]


@pytest.mark.parametrize(("name", "shown", "wrong"), NAMES.values(), ids=NAMES)
def test_invalid_attribute_name(name: str, shown: str, wrong: str) -> None:
    """An attribute's name is a text that is not empty; what is shown of it is short."""
    assert _check(_with_attributes(name)) == [
        Violation(f'attributeGroups["g"].attributes["{shown}"]', wrong),
    ]


def test_longest_names() -> None:
    """Names may be 1,024 characters long, whatever those are in bytes."""
    customer = builders.customer()
    longest = "\U0001f600" * 1024
    customer.attribute_groups[longest].attributes[longest].attribute_value = "x"

    assert _check(customer) == []


@pytest.mark.parametrize("value", ["a\0b", "x" * 1025], ids=["NUL", "too long"])
def test_invalid_texts(value: str) -> None:
    """The texts of groups and attributes follow the rules of every text."""
    customer = _with_value(value)
    customer.attribute_groups["g"].attribute_group = value

    assert fields_of(_check(customer)) == [
        'attributeGroups["g"].attribute_group',
        f"{PATH}.attribute_value",
    ]


def test_violations_of_several_attributes() -> None:
    """Violations of several groups and attributes come all at once."""
    customer = builders.customer()
    for group in ("g", "h"):
        for name in ("a", "b"):
            attribute = customer.attribute_groups[group].attributes[name]
            attribute.attribute_value = "string"
            attribute.value_type = INTEGER

    assert sorted(fields_of(_check(customer))) == [
        'attributeGroups["g"].attributes["a"].attribute_value',
        'attributeGroups["g"].attributes["b"].attribute_value',
        'attributeGroups["h"].attributes["a"].attribute_value',
        'attributeGroups["h"].attributes["b"].attribute_value',
    ]
