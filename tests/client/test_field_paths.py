"""Paths name fields of a customer, and nothing else."""

import pytest
from google.protobuf.descriptor import FieldDescriptor

from twc_customer_client.formats.columns import CellKind, kind_of, parse_value
from twc_customer_client.formats.customer_json import InvalidCustomer, parse_customer, preview
from twc_customer_client.formats.field_paths import (
    CUSTOMER,
    canonical_path,
    format_path,
    get_value,
    parse_path,
)

PATHS = {
    "email": CellKind.TEXT,
    "active": CellKind.BOOL,
    "addresses[0].defaultAddress": CellKind.BOOL,
    "addresses": CellKind.JSON,
    "addresses[3]": CellKind.JSON,
    "taxExemptions[2]": CellKind.TEXT,
    "taxExemptions": CellKind.JSON,
    "attributeGroups": CellKind.JSON,
    'attributeGroups["a.b\\"]"]': CellKind.JSON,
    'attributeGroups["a"].attributes["b"].value_type': CellKind.TEXT,
    "defaultAddress.city": CellKind.TEXT,
    "createdDate": CellKind.TEXT,
    "spendToNextTier": CellKind.NUMBER,
    "optin_preferences": CellKind.JSON,
    "optin_preferences.sms": CellKind.BOOL,
}
INVALID = [
    "",
    ".email",
    "email.",
    "email.x",
    "email[0]",
    "[0]",
    "shoe",
    "addresses.city",
    'addresses["0"]',
    "addresses[0].city.x",
    "addresses[1000].city",
    "taxExemptions[0].x",
    "attributeGroups[0]",
    "attributeGroups.a",
    "createdDate.seconds",
    "=email",
]


@pytest.mark.parametrize(("text", "kind"), PATHS.items())
def test_path(text: str, kind: CellKind) -> None:
    """A path is parsed and formatted alike, and has its kind of value."""
    path = parse_path(text)
    assert format_path(path) == text
    assert canonical_path(CUSTOMER, path) == path
    assert kind_of(path) is kind


@pytest.mark.parametrize("text", INVALID)
def test_invalid_path(text: str) -> None:
    """A text that names no field of a customer is not a path."""
    with pytest.raises(ValueError):  # noqa: PT011 - with any message
        kind_of(canonical_path(CUSTOMER, parse_path(text)))


def test_canonical_path() -> None:
    """Fields may have the names of the contract; keys of maps stay as they are."""
    path = parse_path('attribute_groups["first_name"].attributes["a"].attribute_value')
    assert canonical_path(CUSTOMER, path)[:2] == ("attributeGroups", "first_name")


def test_get_value() -> None:
    """A value is found by its path; None stands for a missing one."""
    value = {"addresses": [{"city": "Berlin"}]}
    assert get_value(value, ("addresses", 0, "city")) == "Berlin"
    for path in (("addresses", 1), ("email", 0), ("addresses", "city"), ("addresses", 0, 0)):
        assert get_value(value, path) is None


def test_preview() -> None:
    """A preview is one line, and shortens a long value."""
    assert preview({"a": [1, "b\n"]}) == '{"a": [1, "b\\n"]}'
    assert preview("x" * 300) == "x" * 200 + "…"
    assert preview(None) == ""


@pytest.mark.parametrize("text", ["12.5", " 7 ", "-1e3"])
def test_number(text: str) -> None:
    """A cell with a number has it as JSON writes it."""
    assert parse_value(text, CellKind.NUMBER) == float(text)


@pytest.mark.parametrize(
    "text", ["12,5", "1.234,5", "1e999", "9" * 400, "NaN", '"5"', "true", "[]"]
)
def test_no_number(text: str) -> None:
    """What may be another number where others live, or none, is refused."""
    with pytest.raises(ValueError, match=r"must be a number such as 12\.5"):
        parse_value(text, CellKind.NUMBER)


@pytest.mark.parametrize("field", [*CUSTOMER.fields], ids=lambda it: it.json_name)
def test_wrong_type(field: FieldDescriptor) -> None:
    """A value of another type is a violation that names its field, whatever the field is."""
    with pytest.raises(InvalidCustomer) as raised:
        parse_customer({field.json_name: [["x"]]})
    assert {it.field.partition("[")[0] for it in raised.value.reasons} == {field.json_name}
    assert all("must be" in it.reason for it in raised.value.reasons)
