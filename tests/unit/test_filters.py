"""Filters of lists: which are read, as what, and which are refused with what would be right."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.steps import ANY_TEXT, EXAMPLES
from twc_customer_server.api import filters
from twc_customer_server.api.filters import Filter, FilterError, Text
from twc_customer_server.customers import emails, fields, phone_prefixes, phones
from twc_customer_server.storage.listing import ALL_TIMES, STATUSES, Span
from twc_customer_server.storage.rows import exact_key

# 2026-01-01T00:00:00Z
NEW_YEAR = 1_767_225_600_000


def whole(wanted: str, spelled: str = "") -> Text:
    """A text that a field must equal."""
    return Text(wanted, spelled or wanted, is_prefix=False)


def prefix(wanted: str, spelled: str = "") -> Text:
    """A text that a field must begin with."""
    return Text(wanted, spelled or wanted, is_prefix=True)


TEXTS: dict[str, tuple[str, dict[str, Text]]] = {
    "word": ("lastName = King", {"lastName": whole("king")}),
    "no spaces": ("lastName=King", {"lastName": whole("king")}),
    "spaces around": ('  lastName\t=\n"King"  ', {"lastName": whole("king")}),
    "double quotes": ('lastName = "de Gaulle"', {"lastName": whole("de gaulle")}),
    "single quotes": ("lastName = 'de Gaulle'", {"lastName": whole("de gaulle")}),
    "escaped quote": (r'lastName = "a\"b"', {"lastName": whole('a"b')}),
    "escaped backslash": (r'customerRef = "a\\"', {"customerRef": whole("a\\")}),
    "escaped asterisk": (r'customerRef = "a\*"', {"customerRef": whole("a*")}),
    "prefix": ('lastName = "kin*"', {"lastName": prefix("kin")}),
    "prefix as a word": ("lastName = kin*", {"lastName": prefix("kin")}),
    "prefix with a space": ('lastName = "de *"', {"lastName": prefix("de ")}),
    "prefix with an asterisk": (r'customerRef = "a\**"', {"customerRef": prefix("a*")}),
    "has a prefix": ("lastName:mül*", {"lastName": prefix("mul", "mül")}),
    "has an email": ("email:ada@example.com", {"email": whole("ada@example.com")}),
    "accents": ("lastName = Müller", {"lastName": whole("muller", "müller")}),
    "accents of a prefix": ("lastName = MÜL*", {"lastName": prefix("mul", "mül")}),
    "apostrophe in a word": ("lastName = O'Neil*", {"lastName": prefix("o'neil")}),
    "curly apostrophe": ("lastName = O\u2019Neil", {"lastName": whole("o'neil", "o\u2019neil")}),
    "accent alone": ('lastName = "\u0301*"', {"lastName": prefix("\u0301")}),
    "name of the Protobuf field": ("last_name = King", {"lastName": whole("king")}),
    "first name": ("firstName = Ada", {"firstName": whole("ada")}),
    "reference": ('customerRef = "A 1"', {"customerRef": whole("A 1")}),
    "alternate reference": (
        "alternateCustomerRef = a*",
        {"alternateCustomerRef": prefix("a")},
    ),
    "email": ("email = Ada@Example.com", {"email": whole("ada@example.com")}),
    "prefix of an email": ("email = ADA@*", {"email": prefix("ada@")}),
    "email whose plus is a space": (
        'email = "ada news@example.com"',
        {"email": whole("ada+news@example.com")},
    ),
    "mobile": ('mobile = "+49 170 1234567"', {"mobile": whole("+491701234567")}),
    "mobile whose plus is a space": (
        'mobile = " 49 170 1234567"',
        {"mobile": whole("+491701234567")},
    ),
    "mobile of the region": ('mobile = "0170 1234567"', {"mobile": whole("+491701234567")}),
    "prefix of a mobile": ('mobile = "+49 (170) 12*"', {"mobile": prefix("+4917012")}),
    "prefix whose plus is a space": ('mobile = " 49 17*"', {"mobile": prefix("+4917")}),
    "prefix dialled from abroad": ('phone = "0049 30*"', {"phone": prefix("+4930")}),
    "prefix of the region": ('phone = "030*"', {"phone": prefix("+4930")}),
    "prefix with a zero in parentheses": (
        'phone = "+49 (0) 30*"',
        {"phone": prefix("+4930")},
    ),
    "plus sign alone": ('phone = "+*"', {"phone": prefix("+")}),
    "several": (
        "lastName = K* AND firstName = Ada",
        {"lastName": prefix("k"), "firstName": whole("ada")},
    ),
}

DATES: dict[str, tuple[str, Span]] = {
    "from": ("createdDate >= 2026-01-01T00:00:00Z", Span(NEW_YEAR, ALL_TIMES.high)),
    "after": ("createdDate > 2026-01-01T00:00:00Z", Span(NEW_YEAR + 1, ALL_TIMES.high)),
    "before": ("createdDate < 2026-01-01T00:00:00Z", Span(ALL_TIMES.low, NEW_YEAR)),
    "until": ("createdDate <= 2026-01-01T00:00:00Z", Span(ALL_TIMES.low, NEW_YEAR + 1)),
    "at": ("createdDate = 2026-01-01T00:00:00Z", Span(NEW_YEAR, NEW_YEAR + 1)),
    "quoted": ('createdDate >= "2026-01-01T00:00:00Z"', Span(NEW_YEAR, ALL_TIMES.high)),
    "date": ("createdDate >= 2026-01-01", Span(NEW_YEAR, ALL_TIMES.high)),
    "offset": ("createdDate >= 2026-01-01T01:00:00+01:00", Span(NEW_YEAR, ALL_TIMES.high)),
    "millisecond": (
        "createdDate >= 2026-01-01T00:00:00.041Z",
        Span(NEW_YEAR + 41, ALL_TIMES.high),
    ),
    "from within a millisecond": (
        "createdDate >= 2026-01-01T00:00:00.0411Z",
        Span(NEW_YEAR + 42, ALL_TIMES.high),
    ),
    "after within a millisecond": (
        "createdDate > 2026-01-01T00:00:00.0411Z",
        Span(NEW_YEAR + 42, ALL_TIMES.high),
    ),
    "tenth of a second": (
        "createdDate >= 2026-01-01T00:00:00.1Z",
        Span(NEW_YEAR + 100, ALL_TIMES.high),
    ),
    "long fraction": (
        "createdDate = 2026-01-01T00:00:00.0410000000001+00:00",
        Span(NEW_YEAR + 42, NEW_YEAR + 42),
    ),
    "long fraction of zeros": (
        "createdDate = 2026-01-01T00:00:00.0410000000000Z",
        Span(NEW_YEAR + 41, NEW_YEAR + 42),
    ),
    "before within a millisecond": (
        "createdDate < 2026-01-01T00:00:00.0411Z",
        Span(ALL_TIMES.low, NEW_YEAR + 42),
    ),
    "range": (
        "createdDate >= 2026-01-01 AND createdDate < 2026-01-02",
        Span(NEW_YEAR, NEW_YEAR + 86_400_000),
    ),
    "narrower range": (
        "createdDate >= 2025-01-01 AND createdDate > 2026-01-01 AND createdDate <= 2026-01-01",
        Span(NEW_YEAR + 1, NEW_YEAR + 1),
    ),
}

FLAGS: dict[str, tuple[str, dict[str, object]]] = {
    "state": ("state = invited", {"state": 2}),
    "state by its JSON name": ("customer_state = invited", {"state": 2}),
    "state by its other name": ('customerState = "declined"', {"state": 4}),
    "active": ("active = true", {"active": True}),
    "not active": ("active = false", {"active": False}),
    "marketing": ('accepts_marketing = "true"', {"accepts_marketing": True}),
    "all": (
        "state = enabled AND active = true AND accepts_marketing = false",
        {"state": 3, "active": True, "accepts_marketing": False},
    ),
}

A_FIELD = (
    "must have a field: email, mobile, phone, customerRef, alternateCustomerRef, firstName, "
    "lastName, createdDate, lastModifiedDate, state, active, accepts_marketing, at {}"
)
ONE_VALUE = "must have a value: a word, or a text in quotation marks, at "
ANOTHER_TERM = "must have AND and another term, or the end, at "
EMPTY = "must not be compared with an empty text; leave it out to match any"
A_STATE = "state must be disabled or invited or enabled or declined"
STARS = r"may have * at the end of a value only; \* in quotes is an asterisk"

REFUSED = {
    "too long": ("a" * 2001, "must be at most 2,000 characters long, has 2,001"),
    "unknown field": (" city = Rom", A_FIELD.format("character 2")),
    "no field": ("= Rom", A_FIELD.format("character 1")),
    "no operator": (
        "lastName King",
        "must have an operator after lastName, such as =, at character 10",
    ),
    "no value": ("lastName =", ONE_VALUE + "the end"),
    "no second value": ("lastName = K AND", ANOTHER_TERM + "character 14"),
    "no second term": ("lastName = K AND ", A_FIELD.format("the end")),
    "not equal": ("lastName != King", "lastName is compared by =, not by !="),
    "greater text": ("lastName > King", "lastName is compared by =, not by >"),
    "or": ("lastName = K OR lastName = L", ANOTHER_TERM + "character 14"),
    "not": ("NOT lastName = King", A_FIELD.format("character 1")),
    "minus": ("-lastName = King", A_FIELD.format("character 1")),
    "lower-case and": ("lastName = K and firstName = L", ANOTHER_TERM + "character 14"),
    "parentheses": ("(lastName = King)", A_FIELD.format("character 1")),
    "two words": ("lastName = de Gaulle", ANOTHER_TERM + "character 15"),
    "comma": ("lastName = a, b", ANOTHER_TERM + "character 13"),
    "open quotation mark": ('lastName = "King', ONE_VALUE + "character 12"),
    "open escape": ('lastName = "King\\"', ONE_VALUE + "character 12"),
    "other escape": (
        r'lastName = "a\n"',
        r"may have \ before a quotation mark, \ or * only, so write \\",
    ),
    "asterisk first": ("lastName = *ing", STARS),
    "asterisk within": ("lastName = K*g", STARS),
    "two asterisks": ("lastName = K**", STARS),
    "asterisk alone": ("lastName = *", f"lastName {EMPTY}"),
    "empty text": ('lastName = ""', f"lastName {EMPTY}"),
    "blank text": ('customerRef = "  "', f"customerRef {EMPTY}"),
    "long text": (
        "lastName = " + "x" * 1025,
        "lastName must be at most 1,024 characters long, has 1,025",
    ),
    "long prefix": (
        "lastName = " + "x" * 129 + "*",
        "lastName must have a prefix of at most 128 characters",
    ),
    "NUL": (
        'lastName = "a\0"',
        "lastName must not hold control characters other than tab and line breaks",
    ),
    "twice": ("lastName = K AND last_name = L", "must have one term with lastName, has two"),
    "no email": ("email = ada", f"email {emails.NOT_AN_EMAIL}; has no @"),
    "no phone": ("phone = none", f"phone {phones.NOT_A_PHONE}"),
    "no prefix of a phone": ("phone = no*", f"phone {phone_prefixes.NOT_A_PREFIX}"),
    "prefix of no digits": ('phone = "(*"', f"phone {phone_prefixes.NOT_A_PREFIX}"),
    "two plus signs": ('phone = "++4*"', f"phone {phone_prefixes.NOT_A_PREFIX}"),
    "no date": ("createdDate > never", f"createdDate {fields.NOT_A_DATE}"),
    "no day": ("createdDate > 2026-02-30", f"createdDate {fields.NOT_A_DATE}"),
    "prefix of a date": ("createdDate = 2026-02*", f"createdDate {fields.NOT_A_DATE}"),
    "date that is not": (
        "createdDate != 2026-01-01",
        "createdDate is compared by =, <, <=, > or >=, not by !=",
    ),
    "no state": ("state = sleeping", A_STATE),
    "unspecified state": (
        "state = state_unspecified",
        A_STATE,
    ),
    "prefix of a state": (
        "state = in*",
        A_STATE,
    ),
    "no boolean": ("active = yes", "active must be true or false"),
    "state by number": ("state >= 2", "state is compared by =, not by >="),
}


def parse(text: str, region: str | None = "DE") -> Filter:
    """A filter as it is read in a region."""
    return filters.parse(text, region)


def refusal(text: str, region: str | None = "DE") -> str:
    """What a filter is refused with."""
    with pytest.raises(FilterError) as error:
        parse(text, region)
    return str(error.value)


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_empty_filter(text: str) -> None:
    """A filter without terms admits all customers."""
    assert parse(text) == Filter({}, {}, STATUSES)


@pytest.mark.parametrize(("text", "texts"), TEXTS.values(), ids=TEXTS)
def test_texts(text: str, texts: dict[str, Text]) -> None:
    """A term on a text is read in the form in which customers are compared."""
    assert parse(text) == Filter(texts, {}, STATUSES)


@pytest.mark.parametrize(("text", "span"), DATES.values(), ids=DATES)
@pytest.mark.parametrize("field", ["createdDate", "lastModifiedDate"])
def test_dates(field: str, text: str, span: Span) -> None:
    """Terms on a date admit the whole milliseconds that all of them hold for."""
    assert parse(text.replace("createdDate", field)) == Filter({}, {field: span}, STATUSES)


@pytest.mark.parametrize(("text", "wanted"), FLAGS.values(), ids=FLAGS)
def test_flags(text: str, wanted: dict[str, Any]) -> None:
    """Terms on state, active and marketing admit the combinations that agree with all of them."""
    expected = [
        status
        for status in STATUSES
        if all(getattr(status, name) == value for name, value in wanted.items())
    ]
    assert [*parse(text).statuses] == expected


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_refused_filter(text: str, said: str) -> None:
    """What cannot be read is refused with its place and what would be right."""
    assert refusal(text) == said


REGIONS = {
    "US": ("201 5*", "+12015"),
    "US, with its prefix": ("1 201*", "+1201"),
    "US, abroad": ("011 49 30*", "+4930"),
    "IT": ("06 69*", "+390669"),
    "HU": ("06 1*", "+361"),
    "JP, abroad": ("010 49*", "+49"),
}


@pytest.mark.parametrize(("name", "number", "expected"), [(n, *v) for n, v in REGIONS.items()])
def test_prefix_of_region(name: str, number: str, expected: str) -> None:
    """The beginning of a national number is read by the prefixes of its region."""
    assert parse(f"phone = '{number}'", name[:2]).texts == {"phone": prefix(expected)}


def test_number_without_region() -> None:
    """Without a region, a prefix of a phone number needs that of its country."""
    for region in (None, "XX"):
        assert refusal('phone = "030*"', region) == f"phone {phones.NO_COUNTRY}"


WORDS = "lastName createdDate state = >= < : AND \" ' \\ * mül 2026-01-01 invited ( ) , - +49"
TOKENS = st.sampled_from((*WORDS.split(), " ", "\0", "\n", "\ud7ff"))


@EXAMPLES
@given(ANY_TEXT | st.lists(TOKENS, max_size=30).map("".join))
def test_any_filter(text: str) -> None:
    """Whatever a filter holds, it is read or refused, and nothing else happens."""
    with suppress(FilterError):
        parse(text)


PRINTABLE = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=100)


@EXAMPLES
@given(PRINTABLE.filter(lambda text: bool(text.strip())))
def test_quoted_text(text: str) -> None:
    """Any text can be asked for, with its quotation marks, backslashes and asterisks escaped."""
    escaped = "".join("\\" + each if each in "\"'\\*" else each for each in text)
    assert parse(f'customerRef = "{escaped}"').texts == {"customerRef": whole(exact_key(text))}
