"""Paths name fields of a customer, and nothing else."""

import pytest

from twc_customer_client.formats.columns import kind_of
from twc_customer_client.formats.customer_json import preview
from twc_customer_client.formats.field_paths import (
    CUSTOMER,
    canonical_path,
    format_path,
    get_value,
    parse_path,
)

PATHS = {
    "email": "text",
    "active": "bool",
    "addresses[0].defaultAddress": "bool",
    "addresses": "json",
    "addresses[3]": "json",
    "taxExemptions[2]": "text",
    "taxExemptions": "json",
    "attributeGroups": "json",
    'attributeGroups["a.b\\"]"]': "json",
    'attributeGroups["a"].attributes["b"].value_type': "text",
    "defaultAddress.city": "text",
    "createdDate": "text",
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
def test_path(text: str, kind: str) -> None:
    """A path is parsed and formatted alike, and has its kind of value."""
    path = parse_path(text)
    assert format_path(path) == text
    assert canonical_path(CUSTOMER, path) == path
    assert kind_of(path) == kind


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
