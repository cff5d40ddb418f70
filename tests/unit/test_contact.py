"""E-mail addresses and phone numbers."""

import re
import string

import email_validator
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.steps import ANY_TEXT, EXAMPLES
from twc_customer_server.customers import emails, phones, written_numbers

_LABELS = f"{'a' * 63}.{'b' * 63}"
_PAIR = f"{'b' * 30}-{'c' * 30}."

EMAILS = {
    "plain": "ada@example.com",
    "upper case": "ADA.LOVELACE@EXAMPLE.COM",
    "plus tag": "ada+news@example.com",
    "underscore and hyphen": "ada_l-b@my-shop.co.uk",
    "apostrophe": "o'neill@example.com",
    "digits": "0815@123.com",
    "punycode domain": "ada@xn--bcher-kva.example",
    "international domain": "ada@bücher.example",
    "international local part": "jürgen@example.com",
    "wholly international": "用户@例子.广告",
    "quoted local part": '"john doe"@example.com',
    "quoted at sign": '"john@home"@example.com',
    "quoted quotation mark": r'"john \"j\" doe"@example.com',
    "quoted dots": '"a..b."@docomo.ne.jp',
    "reserved domain": "ada@shop.test",
    "reserved domain and apostrophe": "o'neill@shop.test",
    "anonymous domain": "deleted-1@anonymous.invalid",
    "longest local part": f"{'a' * 64}@example.com",
    "longest label": f"ada@{'a' * 63}.com",
    "254 characters": f"{'a' * 64}@{_LABELS}.{'c' * 57}.com",
}

NOT_EMAILS = {
    "empty": "",
    "placeholder": "string",
    "no at sign": "ada.example.com",
    "two at signs": "ada@home@example.com",
    "no local part": "@example.com",
    "no domain": "ada@",
    "domain without a dot": "ada@localhost",
    "leading dot": ".ada@example.com",
    "trailing dot": "ada.@example.com",
    "double dot": "ada..l@example.com",
    "double dot in the domain": "ada@example..com",
    "domain ends in a dot": "ada@example.com.",
    "label begins with a hyphen": "ada@-example.com",
    "underscore in the domain": "ada@my_shop.com",
    "numeric top-level domain": "ada@example.123",
    "space within": "ada l@example.com",
    "space around": " ada@example.com",
    "line feed behind": "ada@example.com\n",
    "display name": "Ada <ada@example.com>",
    "empty quotes": '""@example.com',
    "open quotes": '"ada l@example.com',
    "address literal": "ada@[192.0.2.1]",
    "NUL": "ada\0@example.com",
    "symbol in the domain": "ada@i❤.ws",
    "local part too long": f"{'a' * 65}@example.com",
    "label too long": f"ada@{'a' * 64}.com",
    "255 plain characters": f"{'a' * 64}@{_PAIR * 3}test",
    "255 characters": f"{'a' * 64}@{_LABELS}.{'c' * 58}.com",
}

# A text, and what is said to be wrong with it.
FAULTS = {
    "no at sign": ("ada.example.com", "has no @"),
    "two at signs": ("ada@home@example.com", "has a second @ at position 9"),
    "no local part": ("@example.com", "has nothing before @"),
    "no domain": ("ada@", "has nothing after @"),
    "no dot in the domain": ("ada@localhost", "has no dot after @"),
    "leading dot": (".ada@example.com", "has a dot at the beginning of what is before @"),
    "final dot": ("ada.@example.com", "has a dot at the end of what is before @"),
    "two dots": ("ada..l@example.com", "has two dots in a row at position 4"),
    "two dots in the domain": ("ada@example..com", "has two dots in a row at position 12"),
    "domain ends in a dot": ("ada@example.com.", "has a dot at the end of what is after @"),
    "hyphen": ("ada@-example.com", "has a hyphen at position 5, where a part of a domain begins"),
    "underscore": ("ada@my_shop.com", "has the character _ at position 7, which no domain has"),
    "numeric top level": ("ada@example.123", "ends in a number, which is no top-level domain"),
    "space": ("ada l@example.com", "has a space at position 4"),
    "space in the domain": ("ada@exa mple.com", "has a space at position 8, which no domain has"),
    "comma": ("ada,l@example.com", "has the character , at position 4"),
    "display name": ("Ada <ada@example.com>", "has a space at position 4"),
    "two addresses": ("ada@example.com;l@example.com", "has a second @ at position 18"),
    "open quotes": (
        '"ada@example.com',
        "has no quotation mark before @ that ends the one at position 1",
    ),
    "quotes of a part": (
        '"ada".l@example.com',
        "has no quotation mark before @ that ends the one at position 1",
    ),
    "empty quotes": ('""@example.com', "has nothing between the quotation marks"),
    "hyphens": (
        "ada@a0--0.com",
        "has two hyphens at position 7, which a domain has behind xn alone",
    ),
    "final hyphen": (
        "ada@a.example-.com",
        "has a hyphen at position 14, where a part of a domain ends",
    ),
    "variation selector": (
        "ada@\ufe0fexample.com",
        "has an invisible character at position 5, VARIATION SELECTOR-16 (U+FE0F)",
    ),
    "address literal": ("ada@[192.0.2.1]", "has an IP address after @, not a domain"),
    "digit at the end": ("ada@example.y1", "ends in a digit, as no top-level domain does"),
    "symbol": ("ada@i❤.ws", "has the character ❤ at position 6, which no domain has"),
    "zero-width space": (
        "ada@example.com\u200b",
        "has an invisible character at position 16, ZERO WIDTH SPACE (U+200B)",
    ),
    "no-break space": (
        "ada\u00a0l@example.com",
        "has an invisible character at position 4, NO-BREAK SPACE (U+00A0)",
    ),
    "mark of direction": (
        "\u202aada@example.com",
        "has an invisible character at position 1, LEFT-TO-RIGHT EMBEDDING (U+202A)",
    ),
    "filler": (
        "ada\u3164@example.com",
        "has an invisible character at position 4, HANGUL FILLER (U+3164)",
    ),
    "line feed": (
        "ada@example.com\n",
        "has an invisible character at position 16, a control character (U+000A)",
    ),
    "local part too long": (
        f"{'a' * 65}@example.com",
        "has 65 bytes before @, which may be 64",
    ),
    "local part with too many bytes": (
        f"{'ü' * 33}@example.com",
        "has 66 bytes before @, which may be 64",
    ),
    "label too long": (
        f"ada@{'a' * 64}.com",
        "has 64 characters without a dot from position 5, which may be 63",
    ),
}

WITH_DOTS = ["a..b@docomo.ne.jp", "ab.@ezweb.ne.jp", "a...b..@docomo.ne.jp", "ü..b@example.com"]
NOT_WITH_DOTS = [
    ".ab@docomo.ne.jp",
    "..@docomo.ne.jp",
    "ab@docomo..ne.jp",
    f"a{'.' * 64}@a.jp",
    '"ab".@a.jp',
]

# A number as people write it, the region it is read in, and its E.164 form.
NUMBERS = {
    "E.164": ("+491701234567", None, "+491701234567"),
    "spaces": ("+49 170 1234567", None, "+491701234567"),
    "hyphens": ("+1-416-555-0123", None, "+14165550123"),
    "dots": ("+49.30.90.18.20", None, "+4930901820"),
    "slash": ("+49 30/901820", None, "+4930901820"),
    "parentheses": ("+1 (212) 555-0123", None, "+12125550123"),
    "no-break spaces": ("+49\u00a030\u00a0901820", None, "+4930901820"),
    "left-to-right mark": ("\u200e+49 170 1234567", None, "+491701234567"),
    "trunk zero in parentheses": ("+44 (0)20 7946 0958", None, "+442079460958"),
    "variation selector": ("+49\ufe0d 170 1234567", None, "+491701234567"),
    "isolated from text of the other direction": (
        "\u2068+49 170 1234567\u2069",
        None,
        "+491701234567",
    ),
    "characters around": ("<#+49 170 1234567>,", None, "+491701234567"),
    "full-width digits": ("\uff0b\uff14\uff19\uff11\uff17\uff10 1234567", None, "+491701234567"),
    "Arabic digits": (
        "\u0660\u0661\u0667\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
        "DE",
        "+491701234567",
    ),
    "tel URI": ("tel:+49-170-1234567", None, "+491701234567"),
    "tel URI in upper case": ("TEL:+49-170-1234567", None, "+491701234567"),
    "word before": ("Tel: +49 170 1234567", None, "+491701234567"),
    "fraction of a table": ("1701234567.0", "DE", "+491701234567"),
    "fraction that would make it another country's": ("7700900123.0", "GB", "+447700900123"),
    "fraction behind a country code": ("14155552671.00", "US", "+14155552671"),
    "fraction with a comma": ("612345678,0", "ES", "+34612345678"),
    "fraction-like group of a number": ("+49.30.90.18.00", None, "+4930901800"),
    "trunk zero behind a country code": ("+44 07700 900123", None, "+447700900123"),
    "zero that belongs to all numbers": ("+229 01 91 23 45 67", None, "+2290191234567"),
    "shorter numbers of a plan that has changed": ("51 80 04 51", "BJ", "+22951800451"),
    "fixed line of Argentina": ("0 3715 65 4320", "AR", "+543715654320"),
    "carrier before an area code in Brazil": ("0318522222222", "BR", "+558522222222"),
    "toll-free number that begins like a trunk prefix": ("88005553535", "RU", "+78005553535"),
    "two country codes that are one": ("6328027000", "PH", "+6328027000"),
    "plus signs twice": ("++44 20 7946 0958", None, "+442079460958"),
    "soft hyphen": ("0170\u00ad1234567", "DE", "+491701234567"),
    "formula of a spreadsheet": ('="+447976399087"', None, "+447976399087"),
    "no country needed of": ("+800 1234 5678", None, "+80012345678"),
    "prefix before region": ("+33 6 12 34 56 78", "DE", "+33612345678"),
    "trunk zero in parentheses without a plus sign": ("49(0)345279580", "DE", "+49345279580"),
    "trunk zero in parentheses behind 00": ("0049 (0)345 279580", None, "+49345279580"),
    "trunk prefix of Russia in parentheses": ("+7 (8) 495 123-45-67", None, "+74951234567"),
    "zero in parentheses that Italy keeps": ("+39 (0)6 1234567", None, "+39061234567"),
    "zero in parentheses that Italy has not": ("+39 (0)347 1234567", None, "+393471234567"),
    "00 without a country": ("0049 170 1234567", None, "+491701234567"),
    "00 in Russia": ("0044 20 7946 0958", "RU", "+442079460958"),
    "00 in the United States": ("0044 20 7946 0958", "US", "+442079460958"),
    "00 in Japan": ("001 415 555 2671", "JP", "+14155552671"),
    "810 in Russia": ("8 10 44 20 7946 0958", "RU", "+442079460958"),
    "00 and a carrier in Brazil": ("0015 44 20 7946 0958", "BR", "+442079460958"),
    "own country code": ("41 44 668 18 00", "CH", "+41446681800"),
    "own country code, where numbers may begin with it": ("4930123456", "DE", "+4930123456"),
    "other country code": ("44 7911 123456", "US", "+447911123456"),
    "prefix that Mexico gave up": ("+52 1 55 1234 5678", None, "+525512345678"),
    "prefix that Mexico gave up, in Mexico": ("044 55 1234 5678", "MX", "+525512345678"),
    "prefix that Mexico gave up, elsewhere": ("0052 1 55 1234 5678", "DE", "+525512345678"),
    "area code like a country code": ("(352) 371-1234", "US", "+13523711234"),
    "country code behind which an area code is missing": ("6720\u00a06899", "YE", "+96767206899"),
    "parentheses within a country code": ("(4420) 79460958", "DE", "+49442079460958"),
    "space within a country code": ("4 42079460958", "DE", "+49442079460958"),
    "trunk prefix that begins a country code": ("84951234567", "RU", "+74951234567"),
    "length that tells the country": ("6565123456", "IN", "+916565123456"),
    "zeros at the end of a number": ("+44 20 7000 0000", None, "+442070000000"),
    "digits of one kind that are a number": ("044 444 44 44", "CH", "+41444444444"),
    "00 in Germany": ("0041 44 668 18 00", "DE", "+41446681800"),
    "011 in the United States": ("011 49 170 1234567", "US", "+491701234567"),
    "Germany": ("0170 1234567", "DE", "+491701234567"),
    "Austria": ("0316 123456", "AT", "+43316123456"),
    "Switzerland": ("044 668 18 00", "CH", "+41446681800"),
    "France": ("01 23 45 67 89", "FR", "+33123456789"),
    "United Kingdom": ("020 7946 0958", "GB", "+442079460958"),
    "Italy keeps the zero of a range that is not in use": ("0446681800", "IT", "+390446681800"),
    "Italy keeps the zero": ("06 1234567", "IT", "+39061234567"),
    "United States": ("(212) 555-0123", "US", "+12125550123"),
    "Brazil": ("(11) 91234-5678", "BR", "+5511912345678"),
    "Argentina": ("011 15-1234-5678", "AR", "+5491112345678"),
    "Russia": ("8 (495) 123-45-67", "RU", "+74951234567"),
    "India": ("011 2345 6789", "IN", "+911123456789"),
    "Japan": ("03-1234-5678", "JP", "+81312345678"),
    "Australia": ("02 9876 5432", "AU", "+61298765432"),
    "15 digits": ("+43 1720102030405", None, "+431720102030405"),
}

NOT_NUMBERS = {
    "placeholder": ("string", None, phones.NOT_A_PHONE),
    "placeholder with a region": ("string", "DE", phones.NOT_A_PHONE),
    "empty": ("", None, phones.NOT_A_PHONE),
    "NUL": ("\0", None, phones.NOT_A_PHONE),
    "only a plus sign": ("+", None, phones.NOT_A_PHONE),
    "only a country code": ("+49", None, phones.NOT_A_PHONE),
    "unknown country code": ("+999 1234567", None, phones.NOT_A_PHONE),
    "trunk prefix twice": ("+49 00 1701234567", None, phones.NOT_A_PHONE),
    "plus sign before a national number": ("+5108675432", "US", phones.NOT_A_PHONE),
    "former length of a plan that has changed": ("+22586230609", None, phones.NOT_A_PHONE),
    "two numbers": ("020 7946 0958, 020 7946 0959", "GB", phones.NOT_A_PHONE),
    "letter for a digit": ("+44 7700 9OO123", None, phones.NOT_A_PHONE),
    "mask of a form": ("+1 (415) 555-26__", "US", phones.NOT_A_PHONE),
    "note": ("020 7946 0958 (work)", "GB", phones.NOT_A_PHONE),
    "too short": ("+1 212 555", None, phones.NOT_A_PHONE),
    "too long": ("+1 212 555 0123 4567", None, phones.NOT_A_PHONE),
    "hundreds of digits": ("1" * 300, "DE", phones.NOT_A_PHONE),
    "emergency number": ("110", "DE", phones.NOT_A_PHONE),
    "local number": ("555-0123", "US", phones.NOT_A_PHONE),
    "local number in Canada": ("555-0123", "CA", phones.NOT_A_PHONE),
    "extension": ("+49 170 1234567 ext. 5", None, phones.HAS_EXTENSION),
    "short extension": ("+49 170 1234567 x5", None, phones.HAS_EXTENSION),
    "extension in a URI": ("tel:+49-170-1234567;ext=5", None, phones.HAS_EXTENSION),
    "rounded by a spreadsheet": ("4.47976E+11", "GB", written_numbers.ROUNDED),
    "rounded by a spreadsheet with a comma": ("4,47976E+11", "DE", written_numbers.ROUNDED),
    "no country": ("0170 1234567", None, phones.NO_COUNTRY),
    "unknown region": ("0170 1234567", "XX", phones.NO_COUNTRY),
    "country code without a country": ("49 170 1234567", None, phones.NO_COUNTRY),
    "00 and no country code": ("00 0 170 1234567", "DE", phones.NOT_A_PHONE),
    "zero behind a country code": ("+56026354444", None, phones.NOT_A_PHONE),
    "zero in parentheses, and a digit too few": ("+56 (0)2 635 4444", None, phones.NOT_A_PHONE),
    "own country code behind a trunk prefix": ("04998259", "DE", phones.NOT_A_PHONE),
    "own country code behind a trunk prefix and more": (
        "\u00a0049\u00a098259",
        "DE",
        phones.NOT_A_PHONE,
    ),
    "zeros behind a country code that has others": ("+810014155552671", None, phones.NOT_A_PHONE),
    "one digit without a country": ("1", None, phones.NOT_A_PHONE),
    "zeros": ("000-000-0000", "US", phones.PLACEHOLDER),
    "zeros without a country": ("+00000000000", None, phones.PLACEHOLDER),
    "zeros behind a country code": ("+1 000 000 0000", None, phones.PLACEHOLDER),
    "zeros behind an area code": ("+1 212 000 0000", None, phones.PLACEHOLDER),
    "ones": ("1111111111", "DE", phones.PLACEHOLDER),
    "nines that are a number": ("99999999", "NO", phones.PLACEHOLDER),
    "nines behind a country code": ("+91 99999 99999", None, phones.PLACEHOLDER),
    "digits that count up": ("123-456-7890", "US", phones.PLACEHOLDER),
    "digits that count down": ("+1 987 654 3210", None, phones.PLACEHOLDER),
}

# A number, the region it is read in, and what it may mean there.
UNCLEAR = {
    "fraction": ("491716783154.0", "DE", "+491716783154 or +49491716783154"),
    "own country code": ("491716783154", "DE", "+491716783154 or +49491716783154"),
    "other country code": ("442079460958", "DE", "+442079460958 or +49442079460958"),
    "country code in parentheses": ("(49) 171 6783154", "DE", "+491716783154 or +49491716783154"),
    "length that tells the country": ("4930123456", "US", "+14930123456 or +4930123456"),
    "country code, or no trunk prefix": ("376712345", "JP", "+376712345 or +81376712345"),
    "two prefixes": ("0034612345678", "SG", "+34612345678 or +4612345678"),
    "zero that may be kept": ("+39 (0)3123456789", None, "+3903123456789 or +393123456789"),
}

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
# Drawn text by text, which is ten times as fast as the same from a regular expression.
PLAIN_ADDRESSES = st.builds(
    lambda local, labels, last: f"{local}@{'.'.join([*labels, last])}",
    st.text(f"{_LETTERS_AND_DIGITS}_+.-", min_size=1, max_size=66),
    st.lists(st.text(f"{_LETTERS_AND_DIGITS}-", min_size=1, max_size=32), max_size=4),
    st.text(_LETTERS_AND_DIGITS, min_size=1, max_size=13),
)
WRITTEN_NUMBERS = st.from_regex(r"\+?[0-9][0-9 ()/.-]{4,17}", fullmatch=True)
REGIONS = st.sampled_from([None, "AR", "BR", "DE", "FR", "GB", "IN", "IT", "MX", "RU", "US"])


@pytest.mark.parametrize("email", EMAILS.values(), ids=EMAILS)
def test_valid_email(email: str) -> None:
    """An address that mail can be sent to is an e-mail address, in any script."""
    assert emails.problem(email) is None


@pytest.mark.parametrize("text", NOT_EMAILS.values(), ids=NOT_EMAILS)
def test_invalid_email(text: str) -> None:
    """A text that no mail can be sent to by SMTP is no e-mail address."""
    assert emails.problem(text) is not None


@EXAMPLES
@given(PLAIN_ADDRESSES | ANY_TEXT | st.builds("{}@{}.{}".format, ANY_TEXT, ANY_TEXT, ANY_TEXT))
def test_email_against_library(text: str) -> None:
    """A text is an e-mail address if the library says so, it shows, and what is before @ fits."""
    try:
        email_validator.validate_email(
            text, check_deliverability=False, strict=True, allow_quoted_local=True
        )
        expected = len(text.rpartition("@")[0].encode()) <= 64 and "\u3164" not in text
    except email_validator.EmailNotValidError:
        expected = False

    assert (emails.problem(text) is None) is expected


@pytest.mark.parametrize(("number", "region", "expected"), NUMBERS.values(), ids=NUMBERS)
def test_valid_phone(number: str, region: str | None, expected: str) -> None:
    """A number in any dialable format becomes its E.164 form."""
    assert phones.to_e164(number, region) == expected


@pytest.mark.parametrize(("number", "region", "wrong"), NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_invalid_phone(number: str, region: str | None, wrong: str) -> None:
    """What cannot be dialled from abroad is refused with what would be right."""
    with pytest.raises(ValueError, match=f"^{re.escape(wrong)}$"):
        phones.to_e164(number, region)


@pytest.mark.parametrize(("text", "fault"), FAULTS.values(), ids=FAULTS)
def test_fault_of_email(text: str, fault: str) -> None:
    """A text that is no e-mail address is refused with what is wrong with it, and where."""
    assert emails.problem(text) == f"{emails.NOT_AN_EMAIL}; {fault}"


@pytest.mark.parametrize("email", WITH_DOTS)
def test_email_with_dots(email: str) -> None:
    """Dots in a row, and before @, are accepted where they are asked for, and only there."""
    assert emails.problem(email, accept_dots=True) is None
    assert emails.problem(email) is not None


@pytest.mark.parametrize("text", NOT_WITH_DOTS)
def test_no_email_with_dots(text: str) -> None:
    """No carrier has addresses with other dots, or longer ones."""
    assert emails.problem(text, accept_dots=True) is not None


def test_phone_beyond_15_digits() -> None:
    """E.164 has no number of more than 15 digits."""
    with pytest.raises(ValueError, match="must be a phone number"):
        phones.to_e164("+49 1720102030405 11", None)


@pytest.mark.parametrize(("number", "region", "meanings"), UNCLEAR.values(), ids=UNCLEAR)
def test_unclear_phone(number: str, region: str, meanings: str) -> None:
    """A number that may be one of two is refused with both."""
    with pytest.raises(ValueError, match=f"^{re.escape(phones.AMBIGUOUS.format(meanings))}$"):
        phones.to_e164(number, region)


@EXAMPLES
@given(WRITTEN_NUMBERS, REGIONS)
@example("+49 00 1701234567", None)
def test_phone_in_e164_form(number: str, region: str | None) -> None:
    """A number in E.164 form is its own E.164 form, whichever region it is read in."""
    try:
        once = phones.to_e164(number, region)
    except ValueError:
        return

    assert phones.to_e164(once, None) == once
    assert phones.to_e164(once, region) == once


@EXAMPLES
@given(ANY_TEXT, REGIONS)
def test_any_text_as_phone(text: str, region: str | None) -> None:
    """Whatever the text, it is written in digits or refused by a ValueError."""
    try:
        number = phones.to_e164(text, region)
    except ValueError:
        return

    assert re.fullmatch(r"\+[1-9][0-9]+", number)
