"""Plain phone numbers, which are read without the library."""

from collections.abc import Callable, Iterator

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType, ValidationResult

from tests.support.steps import EXAMPLES
from twc_customer_server.customers import numbering, phones

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
FORMATS = [PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL]
KINDS = [PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE, PhoneNumberType.TOLL_FREE]

POSSIBLE = ValidationResult.IS_POSSIBLE

PLAIN = {
    "canonical": ("+491701234567", None, "+491701234567"),
    "grouped": ("+49 (170) 1234-567", None, "+491701234567"),
    "in parentheses": ("(+49) 170.1234567", None, "+491701234567"),
    "with a trunk prefix": ("030 123456", "DE", "+4930123456"),
    "without one, where there is none": ("612 34 56 78", "ES", "+34612345678"),
    "of North America": ("(212) 555-1234", "US", "+12125551234"),
    "of North America, with its trunk prefix": ("1 212 555 1234", "US", "+12125551234"),
    "with an international prefix": ("0041 44 668 18 00", "DE", "+41446681800"),
    "of Russia, with its trunk prefix": ("8 495 123 45 67", "RU", "+74951234567"),
    "of Hungary, whose trunk prefix has two digits": ("06 20 123 4567", "HU", "+36201234567"),
    "of Britain, which has another prefix": ("020 7946 0958", "GB", "+442079460958"),
    "of Brazil, where it begins like one of North America": (
        "11 91234-5678",
        "BR",
        "+5511912345678",
    ),
    "of Italy, which keeps its zero": ("+39 06 1234567", None, "+39061234567"),
}

NOT_PLAIN = {
    "trunk prefix abroad": ("+49 (0)30 123456", None),
    "international prefix of a range that is not in use": ("0049 999 123456", "DE"),
    "code without a plus sign": ("4930123456", "DE"),
    "prefix that may be a country code": ("8 999 99 999", "RU"),
    "trunk prefix before fewer digits than the region uses": ("0800 12 3456", "IM"),
    "no region": ("030 123456", None),
    "country code of another country": ("442079460958", "DE"),
    "00 where it is no international prefix": ("0044 20 7946 0958", "US"),
    "zero behind the country code": ("+56 02 635 4444", None),
    "prefix that was given up": ("+52 1 55 1234 5678", None),
    "placeholder": ("+1 000 000 0000", None),
    "valid placeholder": ("+91 99999 99999", None),
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
    known = len(numbering.PLANS_OF_REGIONS)
    for number in range(100):
        assert phones.plain_e164("030 123456", f"no region {number}") is None
    assert len(numbering.PLANS_OF_REGIONS) == known


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


def _examples() -> Iterator[tuple[str, PhoneNumber]]:
    """Every region's example numbers of every type that can be dialled from abroad."""
    for region in REGIONS:
        for kind in PhoneNumberType.values():
            number = phonenumbers.example_number_for_type(region, kind)
            if number and phonenumbers.is_possible_number_with_reason(number) == POSSIBLE:
                yield region, number


# Regions whose own numbers have one length, or many; with 00 as their prefix, and others.
READERS = ("DE", "JP", "LU", "US")
PREFIXES = {"JP": "010", "RU": "810", "SG": "001", "US": "011"}


def _national(region: str, number: PhoneNumber) -> Iterator[tuple[str, str | None]]:
    yield phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL), region


def _with_plus(region: str, number: PhoneNumber) -> Iterator[tuple[str, str | None]]:
    for form in (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.RFC3966):
        yield phonenumbers.format_number(number, form), region
        yield phonenumbers.format_number(number, form), None


def _with_00(region: str, number: PhoneNumber) -> Iterator[tuple[str, str | None]]:
    digits = _digits(number)
    yield f"00{digits}", None
    for reader in (region, *READERS):
        yield f"00 {digits}", reader


def _with_own_prefix(_: str, number: PhoneNumber) -> Iterator[tuple[str, str | None]]:
    for reader, prefix in PREFIXES.items():
        yield f"{prefix} {_digits(number)}", reader


def _without_plus(region: str, number: PhoneNumber) -> Iterator[tuple[str, str | None]]:
    digits = _digits(number)
    yield phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)[1:], region
    for reader in (region, *READERS):
        plan = numbering.PLANS_OF_REGIONS[reader]
        assert plan
        # Otherwise it is a number of the country first of all.
        trunk, rest = digits[: len(plan.trunk or "")], digits[len(plan.trunk or "") :]
        is_national = plan.is_known_by_length(digits)
        if not is_national and not (trunk == plan.trunk and plan.is_valid(rest)):
            yield digits, reader


def _with_trunk_in_parentheses(
    region: str, number: PhoneNumber
) -> Iterator[tuple[str, str | None]]:
    trunk = phonenumbers.ndd_prefix_for_region(region, strip_non_digits=True) or "0"
    national = phonenumbers.national_significant_number(number)
    for start in (f"+{number.country_code}", f"00{number.country_code}", f"{number.country_code}"):
        yield f"{start} ({trunk}) {national}", region
        yield f"{start}(0){national}", "DE"


FORMS = {
    "national": _national,
    "plus": _with_plus,
    "00": _with_00,
    "own prefix": _with_own_prefix,
    "without plus": _without_plus,
    "trunk in parentheses": _with_trunk_in_parentheses,
}


def _digits(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_number_of_every_region(
    form: Callable[[str, PhoneNumber], Iterator[tuple[str, str | None]]],
) -> None:
    """A number of any country, however it is written, is read as itself or refused."""
    read, refused = 0, 0
    for region, number in _examples():
        for text, reader in form(region, number):
            try:
                assert phones.to_e164(text, reader) == f"+{_digits(number)}", (text, reader)
                read += 1
            except ValueError:
                refused += 1

    assert refused < read


@EXAMPLES
@given(st.sampled_from(CODES), st.text("0123456789", min_size=4, max_size=12))
def test_validity_as_in_library(code: int, digits: str) -> None:
    """What is in a range in use is exactly what the library calls valid."""
    plan = numbering.plan_of_code(str(code))
    zeros = len(digits) - len(digits.lstrip("0"))
    number = PhoneNumber(code, int(digits), None, zeros > 0, zeros)

    assert plan
    assert plan.is_valid(digits) is phonenumbers.is_valid_number(number)
