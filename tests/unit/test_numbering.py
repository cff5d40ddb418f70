"""Plain phone numbers, which are read without the library."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from twc_customer_server.customers import phones

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
FORMATS = [PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL]
KINDS = [PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE, PhoneNumberType.TOLL_FREE]

PLAIN = {
    "canonical": ("+491701234567", None, "+491701234567"),
    "grouped": ("+49 (170) 1234-567", None, "+491701234567"),
    "in parentheses": ("(+49) 170.1234567", None, "+491701234567"),
    "with a trunk prefix": ("030 123456", "DE", "+4930123456"),
    "without one, where there is none": ("612 34 56 78", "ES", "+34612345678"),
    "of North America": ("(212) 555-1234", "US", "+12125551234"),
    "of Italy, which keeps its zero": ("+39 06 1234567", None, "+39061234567"),
}

NOT_PLAIN = {
    "trunk prefix abroad": ("+49 (0)30 123456", None),
    "international prefix": ("0049 30 123456", "DE"),
    "code without a plus sign": ("4930123456", "DE"),
    "prefix that may belong to the number": ("1 212 555 1234", "US"),
    "no region": ("030 123456", None),
    "letters": ("+49 30 CALLME", None),
    "extension": ("+49 30 123456 x12", None),
    "too short": ("+49 3", None),
    "no country": ("+999 123456789", None),
    "other digits": ("+49 30 १२३४५६", None),
    "empty": ("", "DE"),
}


@pytest.mark.parametrize(("number", "region", "expected"), PLAIN.values(), ids=PLAIN)
def test_plain_numbers(number: str, region: str | None, expected: str) -> None:
    """What most numbers look like is read at once."""
    assert phones.plain_e164(number, region) == expected


@pytest.mark.parametrize(("number", "region"), NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_ambiguous_numbers(number: str, region: str | None) -> None:
    """What may be read in two ways, or not at all, is left to the library."""
    assert phones.plain_e164(number, region) is None


def test_unknown_regions() -> None:
    """What is no region is left to the library, and not remembered."""
    known = phones._plan_of_region.cache_info()  # noqa: SLF001 - how much it remembers
    for number in range(100):
        assert phones.plain_e164("030 123456", f"no region {number}") is None
    assert phones._plan_of_region.cache_info() == known  # noqa: SLF001 - how much it remembers


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """Numbers of all countries, as they are written there, and nearly so."""
    region = draw(st.sampled_from(REGIONS))
    example = phonenumbers.example_number_for_type(region, draw(st.sampled_from(KINDS)))
    digits = st.text("0123456789", min_size=1, max_size=13)
    starts = ["", "0", "00", "1", "8", *map(str, CODES), *(f"+{code}" for code in CODES)]
    if example is None or draw(st.booleans()):
        return draw(st.sampled_from(starts)) + draw(digits)
    number = phonenumbers.format_number(example, draw(st.sampled_from(FORMATS)))
    place = draw(st.integers(0, len(number)))
    return number[:place] + draw(st.text("0123456789 -()", max_size=1)) + number[place:]


@given(number=numbers(), region=st.sampled_from([None, *REGIONS]))
def test_numbers_as_in_library(number: str, region: str | None) -> None:
    """What is read at once the library reads the same, with every check of its result."""
    if plain := phones.plain_e164(number, region):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(phones, "plain_e164", lambda *_: None)
            assert phones.to_e164(number, region) == plain
