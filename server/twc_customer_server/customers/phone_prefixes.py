"""Reads the beginnings of phone numbers, as people type them to search."""

import re

from phonenumbers import PhoneMetadata

from twc_customer_server.customers.phones import NO_COUNTRY

NOT_A_PREFIX = "must be the beginning of a phone number, such as +49170*"

_is_plain = re.compile(r"[0-9 ()./+-]+", re.ASCII).fullmatch
_GROUPING = str.maketrans("", "", " ()./-")
_is_plus_and_digits = re.compile(r"\+?[0-9]+|\+", re.ASCII).fullmatch

# In most countries this precedes a country code.
_COMMON_PREFIX = "00"

# A zero that is left out when the number is dialled from abroad.
_TRUNK_IN_PARENTHESES = "(0)"


def to_e164_prefix(text: str, region: str | None) -> str:
    """Converts the beginning of a phone number to that of its E.164 format.

    Without an international prefix it is one of `region`, an ISO 3166-1
    alpha-2 code. Raises ValueError with the rule that it breaks.
    """
    digits = text.replace(_TRUNK_IN_PARENTHESES, "").translate(_GROUPING)
    if not _is_plain(text) or not _is_plus_and_digits(digits):
        raise ValueError(NOT_A_PREFIX)
    if digits[0] == "+":
        return digits
    if digits.startswith(_COMMON_PREFIX):
        return "+" + digits.removeprefix(_COMMON_PREFIX)
    metadata = PhoneMetadata.metadata_for_region(region, None) if region else None
    if metadata is None:
        raise ValueError(NO_COUNTRY)
    if abroad := re.match(metadata.international_prefix or "(?!)", digits):
        return "+" + digits[abroad.end() :]
    return f"+{metadata.country_code}{digits.removeprefix(metadata.national_prefix or '')}"
