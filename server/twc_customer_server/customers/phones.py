"""Rules of phone numbers: reads what people write, returns E.164.

Plain numbers are read by a short form of each country's numbering plan, at a
fiftieth of the library's time and with the same result. All others go to the
library: numbers with extensions or letters, plans with carrier codes, and
texts that can be read in two ways.
"""

import re
from functools import lru_cache
from typing import NamedTuple, Self

import phonenumbers
from phonenumbers import (
    NumberParseException,
    PhoneMetadata,
    PhoneNumberDesc,
    PhoneNumberFormat,
    ValidationResult,
)

from twc_customer_server.customers import fields

NOT_A_PHONE = "must be a phone number that can be dialled from abroad, such as +491701234567"
NO_COUNTRY = (
    "needs an international prefix, as in +491701234567, because no country is known to read it in"
)
HAS_EXTENSION = "must not have an extension, which E.164 cannot express"

# Digits in the groups that people write.
_PLAIN = re.compile(r"\(?\+?[0-9][0-9 ()./-]*", re.ASCII).fullmatch
_GROUPING = str.maketrans("", "", " ()./-")
_LETTER = re.compile(r"[^\W\d_]").search

# The library's time grows with the square of a text's length.
_MAX_PARSED_LENGTH = 64

_MAX_DIGITS = 15
_MAX_CODE_DIGITS = 3
_TRUNK = "0"
_NEVER = r"(?!)"
_REGIONS = phonenumbers.SUPPORTED_REGIONS


def to_e164(number: str, region: str | None) -> str:
    """Converts a phone number to E.164 format (ITU-T E.164: at most 15 digits).

    A number without an international prefix is read as one of `region`, an
    ISO 3166-1 alpha-2 code. Its country must exist and use numbers of its
    length; whether the number is assigned is not checked, since plans grow
    faster than their published tables. Raises ValueError with the rule that
    the number breaks.
    """
    if len(number) <= fields.MAX_TEXT_LENGTH and (plain := plain_e164(number, region)):
        return plain
    if len(number) > _MAX_PARSED_LENGTH:
        raise ValueError(NOT_A_PHONE)
    try:
        parsed = phonenumbers.parse(number, region)
    except NumberParseException as error:
        unplaced = error.error_type == NumberParseException.INVALID_COUNTRY_CODE
        raise ValueError(NO_COUNTRY if unplaced and "+" not in number else NOT_A_PHONE) from error
    if parsed.extension:
        raise ValueError(HAS_EXTENSION)
    if _LETTER(number.removeprefix("tel:")):
        raise ValueError(NOT_A_PHONE)  # The library would read letters as keys of a telephone.
    written = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    if not _is_possible(parsed) or len(written) > len("+") + _MAX_DIGITS:
        raise ValueError(NOT_A_PHONE)
    if not plain_e164(written, None) and phonenumbers.parse(written) != parsed:
        # It holds a trunk prefix, which nobody dials from abroad.
        raise ValueError(NOT_A_PHONE)
    return written


def plain_e164(number: str, region: str | None) -> str | None:
    """Converts a plain number to E.164 format; returns None for any that is not plain."""
    if not _PLAIN(number):
        return None
    digits = number.translate(_GROUPING)
    if digits[0] == "+":
        return _international(digits[1:])
    # Looked up only if it exists: callers' texts must not fill the cache of plans.
    plan = _plan_of_region(region) if region and region in _REGIONS else None
    national = plan.without_trunk(digits) if plan else None
    return _international(plan.code + national) if plan and national else None


class _Plan(NamedTuple):
    """The numbering plan of a country."""

    code: str
    # Numbers of digits that may follow the code.
    lengths: frozenset[int]
    international_prefix: re.Pattern[str]
    national_prefix: re.Pattern[str] | None
    national_number: re.Pattern[str]
    has_plain_trunk: bool

    @classmethod
    def of(cls, metadata: PhoneMetadata) -> Self:
        prefix = metadata.national_prefix_for_parsing
        general = metadata.general_desc or PhoneNumberDesc()
        return cls(
            str(metadata.country_code),
            frozenset(general.possible_length),
            re.compile(metadata.international_prefix or _NEVER),
            re.compile(prefix) if prefix else None,
            re.compile(general.national_number_pattern or _NEVER),
            prefix == _TRUNK and not metadata.national_prefix_transform_rule,
        )

    def without_trunk(self, digits: str) -> str | None:
        """Returns a national number's digits as they follow the code, or None if unclear."""
        if self.international_prefix.match(digits):
            return None
        if self.has_plain_trunk and digits[0] == _TRUNK:
            # A number that is valid as it stands might keep its zero.
            return None if self.national_number.fullmatch(digits) else digits[1:]
        return None if digits.startswith(self.code) or self.has_prefix(digits) else digits

    def is_plain(self, digits: str) -> bool:
        """Tells whether digits that follow the code are plainly a number."""
        return len(digits) in self.lengths and not self.has_prefix(digits)

    def has_prefix(self, digits: str) -> bool:
        """Tells whether digits begin with a prefix that the plan removes or rewrites."""
        return bool(self.national_prefix and self.national_prefix.match(digits))


def _international(digits: str) -> str | None:
    """Returns digits in E.164 format if they plainly are an international number."""
    if len(digits) > _MAX_DIGITS:
        return None
    for length in range(1, _MAX_CODE_DIGITS + 1):
        plan = _plan_of_code(digits[:length])
        if plan is not None:
            return "+" + digits if plan.is_plain(digits[length:]) else None
    return None


@lru_cache(None)
def _plan_of_region(region: str) -> _Plan | None:
    metadata = PhoneMetadata.metadata_for_region(region, None)
    return _Plan.of(metadata) if metadata else None


@lru_cache(None)
def _plan_of_code(code: str) -> _Plan | None:
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code or 0))
    if regions is None or code[0] == "0":
        return None
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0])
    return _Plan.of(metadata) if metadata else None


def _is_possible(number: phonenumbers.PhoneNumber) -> bool:
    reason = phonenumbers.is_possible_number_with_reason(number)
    return bool(reason == ValidationResult.IS_POSSIBLE)
