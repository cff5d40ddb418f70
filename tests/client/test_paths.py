"""Paths name what a customer has, and nothing else."""

import pytest

from twc_customer_client import paths, shapes
from twc_customer_client.columns import kind_of

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
NONE = [
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
    """A path is read and written alike, and has its kind of value."""
    path = paths.parse(text)
    assert paths.text_of(path) == text
    assert paths.spelled(paths.CUSTOMER, path) == path
    assert kind_of(path) == kind


@pytest.mark.parametrize("text", NONE)
def test_no_path(text: str) -> None:
    """What names nothing of a customer is no path."""
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        kind_of(paths.spelled(paths.CUSTOMER, paths.parse(text)))


def test_spelled() -> None:
    """Fields may be named as the contract does, and keys of maps stay as they are."""
    path = paths.parse('attribute_groups["first_name"].attributes["a"].attribute_value')
    assert paths.spelled(paths.CUSTOMER, path)[:2] == ("attributeGroups", "first_name")


def test_value_at() -> None:
    """A value is found by its path, and nothing where there is none."""
    value = {"addresses": [{"city": "Berlin"}]}
    assert paths.value_at(value, ("addresses", 0, "city")) == "Berlin"
    for path in (("addresses", 1), ("email", 0), ("addresses", "city"), ("addresses", 0, 0)):
        assert paths.value_at(value, path) is None


def test_shown() -> None:
    """A value is shown on one line, and not all of one that is long."""
    assert shapes.shown({"a": [1, "b\n"]}) == '{"a": [1, "b\\n"]}'
    assert shapes.shown("x" * 300) == "x" * 200 + "…"
    assert shapes.shown(None) == ""
