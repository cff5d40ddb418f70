"""E-mail addresses and phone numbers."""

import re
import string

import email_validator
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.steps import ANY_TEXT, EXAMPLES
from twc_customer_server.customers import fields, phones

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
    "quoted local part": '"ada l"@example.com',
    "address literal": "ada@[192.0.2.1]",
    "NUL": "ada\0@example.com",
    "symbol in the domain": "ada@i❤.ws",
    "local part too long": f"{'a' * 65}@example.com",
    "label too long": f"ada@{'a' * 64}.com",
    "255 plain characters": f"{'a' * 64}@{_PAIR * 3}test",
    "255 characters": f"{'a' * 64}@{_LABELS}.{'c' * 58}.com",
}

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
    "full-width digits": ("\uff0b\uff14\uff19\uff11\uff17\uff10 1234567", None, "+491701234567"),
    "Arabic digits": (
        "\u0660\u0661\u0667\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
        "DE",
        "+491701234567",
    ),
    "tel URI": ("tel:+49-170-1234567", None, "+491701234567"),
    "no country needed of": ("+800 1234 5678", None, "+80012345678"),
    "prefix before region": ("+33 6 12 34 56 78", "DE", "+33612345678"),
    "00 in Germany": ("0041 44 668 18 00", "DE", "+41446681800"),
    "011 in the United States": ("011 49 170 1234567", "US", "+491701234567"),
    "Germany": ("0170 1234567", "DE", "+491701234567"),
    "Austria": ("0316 123456", "AT", "+43316123456"),
    "Switzerland": ("044 668 18 00", "CH", "+41446681800"),
    "France": ("01 23 45 67 89", "FR", "+33123456789"),
    "United Kingdom": ("020 7946 0958", "GB", "+442079460958"),
    "Italy keeps the zero": ("06 1234567", "IT", "+39061234567"),
    "United States": ("(212) 555-0123", "US", "+12125550123"),
    "Brazil": ("(11) 91234-5678", "BR", "+5511912345678"),
    "Argentina": ("011 15-1234-5678", "AR", "+5491112345678"),
    "Russia": ("8 (495) 123-45-67", "RU", "+74951234567"),
    "India": ("011 2345 6789", "IN", "+911123456789"),
    "Japan": ("03-1234-5678", "JP", "+81312345678"),
    "Australia": ("02 9876 5432", "AU", "+61298765432"),
    "15 digits": ("+43 1111111111111", None, "+431111111111111"),
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
    "too short": ("+1 212 555", None, phones.NOT_A_PHONE),
    "too long": ("+1 212 555 0123 4567", None, phones.NOT_A_PHONE),
    "hundreds of digits": ("1" * 300, "DE", phones.NOT_A_PHONE),
    "emergency number": ("110", "DE", phones.NOT_A_PHONE),
    "local number": ("555-0123", "US", phones.NOT_A_PHONE),
    "extension": ("+49 170 1234567 ext. 5", None, phones.HAS_EXTENSION),
    "short extension": ("+49 170 1234567 x5", None, phones.HAS_EXTENSION),
    "extension in a URI": ("tel:+49-170-1234567;ext=5", None, phones.HAS_EXTENSION),
    "no country": ("0170 1234567", None, phones.NO_COUNTRY),
    "unknown region": ("0170 1234567", "XX", phones.NO_COUNTRY),
    "00 without a country": ("0049 170 1234567", None, phones.NO_COUNTRY),
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
    assert fields.is_email(email)


@pytest.mark.parametrize("text", NOT_EMAILS.values(), ids=NOT_EMAILS)
def test_invalid_email(text: str) -> None:
    """A text that no mail can be sent to by SMTP is no e-mail address."""
    assert not fields.is_email(text)


@EXAMPLES
@given(PLAIN_ADDRESSES | ANY_TEXT | st.builds("{}@{}.{}".format, ANY_TEXT, ANY_TEXT, ANY_TEXT))
def test_email_against_library(text: str) -> None:
    """A text is an e-mail address exactly if the validator library says so."""
    try:
        email_validator.validate_email(text, check_deliverability=False, strict=True)
        expected = True
    except email_validator.EmailNotValidError:
        expected = False

    assert fields.is_email(text) is expected


@pytest.mark.parametrize(("number", "region", "expected"), NUMBERS.values(), ids=NUMBERS)
def test_valid_phone(number: str, region: str | None, expected: str) -> None:
    """A number in any dialable format becomes its E.164 form."""
    assert phones.to_e164(number, region) == expected


@pytest.mark.parametrize(("number", "region", "wrong"), NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_invalid_phone(number: str, region: str | None, wrong: str) -> None:
    """What cannot be dialled from abroad is refused with what would be right."""
    with pytest.raises(ValueError, match=f"^{re.escape(wrong)}$"):
        phones.to_e164(number, region)


def test_phone_beyond_15_digits() -> None:
    """E.164 has no number of more than 15 digits."""
    with pytest.raises(ValueError, match="must be a phone number"):
        phones.to_e164("+49 1111111111111 11", None)


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
