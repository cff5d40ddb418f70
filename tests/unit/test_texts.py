"""Texts of a new customer: how long they are, and what they hold."""

import pytest

from tests.support import builders
from tests.support.steps import fields_of, refused, settled
from twc_customer_server.errors import Violation

CONTROL = "must not hold control characters other than tab and line breaks"

TEXTS = [("customer_ref", "customerRef"), ("first_name", "firstName"), ("last_name", "lastName")]


@pytest.mark.parametrize(("field", "json_name"), TEXTS)
def test_length_of_text(field: str, json_name: str) -> None:
    """A text has at most 1,024 characters, whatever those are in bytes."""
    longest = "\U0001f600" * 1024

    assert getattr(settled(builders.customer(**{field: longest})), field) == longest
    assert refused(builders.customer(**{field: longest + "x"})) == [
        Violation(json_name, "must be at most 1,024 characters long, has 1,025")
    ]


@pytest.mark.parametrize(("field", "json_name"), TEXTS)
@pytest.mark.parametrize("character", ["\0", "\x08", "\x0b", "\x1b", "\x7f", "\x85"], ids=ascii)
def test_control_character(field: str, json_name: str, character: str) -> None:
    """A text holds no control characters, NUL least of all."""
    assert refused(builders.customer(**{field: f"a{character}b"})) == [
        Violation(json_name, CONTROL)
    ]


@pytest.mark.parametrize(("field", "json_name"), TEXTS)
def test_tab_and_line_breaks(field: str, json_name: str) -> None:
    """A text may hold tabs and line breaks, and any character that is seen."""
    text = f"{json_name}\t\r\n\u00a0\u200d\ufffd\U0001f600"

    assert getattr(settled(builders.customer(**{field: text})), field) == text


@pytest.mark.parametrize(
    ("fields", "json_name"),
    [
        ({"customer_ref": "\x1f"}, "customerRef"),
        ({"email": "\x1fada@example.com"}, "email"),
        ({"mobile": "+49 170\0 1234567"}, "mobile"),
        ({"phone": "\x1c"}, "phone"),
    ],
    ids=["reference", "e-mail address", "mobile", "phone"],
)
def test_control_character_dropped_by_normalising(fields: dict[str, str], json_name: str) -> None:
    """A control character is refused where the stored form would not show it, too."""
    assert fields_of(refused(builders.customer(**fields))) == [json_name]


def test_100_tax_exemptions() -> None:
    """A customer may have 100 tax exemptions."""
    assert len(settled(builders.customer(tax_exemptions=["x" * 1024] * 100)).tax_exemptions) == 100


def test_too_many_tax_exemptions() -> None:
    """More than 100 tax exemptions are one violation."""
    assert refused(builders.customer(tax_exemptions=[""] * 101)) == [
        Violation("taxExemptions", "must hold at most 100 texts")
    ]


def test_invalid_tax_exemptions() -> None:
    """Each tax exemption is a text that is not empty, and is named by its place."""
    customer = builders.customer(tax_exemptions=["CA_GST_EXEMPTION", "", "a\0b", "x" * 1025])

    assert refused(customer) == [
        Violation("taxExemptions[1]", "must not be empty"),
        Violation("taxExemptions[2]", CONTROL),
        Violation("taxExemptions[3]", "must be at most 1,024 characters long, has 1,025"),
    ]
