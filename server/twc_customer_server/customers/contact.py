"""E-mail addresses and phone numbers: what is one, and its canonical form."""

import re

import email_validator
import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from twc_customer_server.customers import numbering
from twc_customer_server.customers.text import EMAIL_LENGTH

# Names such as `.test` and `.invalid` are reserved, yet serve in test systems
# and for customers who were made anonymous.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

# What nearly every address looks like. It accepts nothing that the library
# would refuse, at a hundredth of the time.
_PLAIN_EMAIL = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9]{1,30}(?:-[a-z0-9]{1,30})?\.){1,3}[a-z]{2,12}",
    re.ASCII | re.IGNORECASE,
).fullmatch
_LOCAL_PART_LENGTH = 64
_LETTER = re.compile(r"[^\W\d_]").search
_E164_LENGTH = len("+") + 15

NOT_AN_EMAIL = "must be an e-mail address, such as ada@example.com"
NOT_A_PHONE = "must be a phone number that can be dialled from abroad, such as +491701234567"
NO_COUNTRY = (
    "needs an international prefix, as in +491701234567, because no country is known to read it in"
)
HAS_EXTENSION = "must not have an extension, which E.164 cannot express"


def is_email(text: str) -> bool:
    """Tells whether a text is an e-mail address (RFC 5321, RFC 6531) at a domain with a dot."""
    if len(text) > EMAIL_LENGTH:
        return False
    if _PLAIN_EMAIL(text) and text.index("@") <= _LOCAL_PART_LENGTH:
        return True
    try:
        email_validator.validate_email(text, check_deliverability=False, strict=True)
    except email_validator.EmailNotValidError:
        return False
    return True


def to_e164(number: str, region: str | None) -> str:
    """Writes a phone number in E.164 format (ITU-T E.164: at most 15 digits).

    A number without an international prefix is read as one of `region`, an
    ISO 3166-1 alpha-2 code. It counts if its country exists and its length is
    one that country uses; whether it is assigned is not asked, since plans
    grow faster than their published tables. Raises ValueError with what is
    wrong.
    """
    if plain := numbering.e164(number, region):
        return plain
    try:
        parsed = phonenumbers.parse(number, region)
    except NumberParseException as error:
        unplaced = error.error_type == NumberParseException.INVALID_COUNTRY_CODE
        raise ValueError(NO_COUNTRY if unplaced and "+" not in number else NOT_A_PHONE) from error
    if parsed.extension:
        raise ValueError(HAS_EXTENSION)
    if _LETTER(number.removeprefix("tel:")):
        raise ValueError(NOT_A_PHONE)  # The library would read them as the keys of a telephone.
    written = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    if not _is_dialable(parsed) or len(written) > _E164_LENGTH:
        raise ValueError(NOT_A_PHONE)
    if not numbering.e164(written, None) and phonenumbers.parse(written) != parsed:
        # It holds a trunk prefix, which nobody dials from abroad.
        raise ValueError(NOT_A_PHONE)
    return written


def _is_dialable(number: phonenumbers.PhoneNumber) -> bool:
    reason = phonenumbers.is_possible_number_with_reason(number)
    return bool(reason == ValidationResult.IS_POSSIBLE)
