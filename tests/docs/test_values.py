"""The page of values tells what becomes of them."""

import re
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2.customer_pb2 import Address

from tests.docs.pages import ROOT
from twc_customer_server.customers import addresses, emails, fields, phones
from twc_customer_server.customers.context import ValidationContext

CONTEXT = ValidationContext(datetime(2026, 3, 4, tzinfo=UTC))
PAGE = (ROOT / "docs" / "values.md").read_text()

# A value, the country that it is read in, and what becomes of it.
_ROW = re.compile(r"^\| `(.*?)` \|(?: ([A-Z]{2}|) ?\|)? (.*) \|$", re.MULTILINE)


def _email(text: str, _: str) -> str:
    if problem := emails.problem(text):
        raise ValueError(problem)
    return "as written"


def _country(text: str, _: str) -> str:
    address = Address(country_code=text)
    for violation in addresses.check(address, CONTEXT):
        raise ValueError(violation.description)
    return f"`{address.country_code}`"


def _dob(text: str, _: str) -> str:
    date = fields.normalize_past_date(text, CONTEXT.now)
    return "as written" if date == text else f"`{date}`"


def _time(text: str, _: str) -> str:
    time = Timestamp()
    time.FromJsonString(text)
    if problem := fields.normalize_timestamp(time):
        raise ValueError(problem)
    return "as written" if time.ToJsonString() == text else f"`{time.ToJsonString()}`"


SECTIONS = {
    "Phone numbers": lambda text, region: f"`{phones.to_e164(text, region or None)}`",
    "E-mail addresses": _email,
    "Countries": _country,
    "Dates": _dob,
    "Times": _time,
}
ROWS = [
    (title, *row)
    for title in SECTIONS
    for row in _ROW.findall(PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0])
    if row[2] != "Stored"
]


@pytest.mark.parametrize(("title", "written", "region", "answer"), ROWS)
def test_values(title: str, written: str, region: str, answer: str) -> None:
    """A value is stored or refused as the page says."""
    stored, _, reason = answer.partition("refused")
    if stored:
        assert stored.startswith(SECTIONS[title](written, region))
    else:
        with pytest.raises(
            ValueError, match=re.escape(reason.removeprefix(": ").partition(";")[0])
        ):
            SECTIONS[title](written, region)


def test_sections() -> None:
    """Every section of the page has values."""
    assert {title for title, *_ in ROWS} == set(SECTIONS)
