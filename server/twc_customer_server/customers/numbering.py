"""The plain cases of phone numbers, read by what their numbering plans say in a few words.

Whatever is not plain is left to the library, which takes fifty times as long:
numbers with extensions or letters, plans with carrier codes, and whatever may
be read in two ways. What is read here the library would read the same.
"""

import re
from functools import lru_cache
from typing import NamedTuple, Self

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberDesc

# Digits as people group them.
_PLAIN = re.compile(r"\(?\+?[0-9][0-9 ()./-]*", re.ASCII).fullmatch
_GROUPING = str.maketrans("", "", " ()./-")

_MAX_DIGITS = 15
_MAX_CODE_DIGITS = 3
_TRUNK = "0"
_NEVER = r"(?!)"
_REGIONS = phonenumbers.SUPPORTED_REGIONS


class _Plan(NamedTuple):
    """The numbering plan of a country."""

    code: str
    # How many digits numbers have without the code.
    lengths: frozenset[int]
    # What the digits begin with that are no plain number, and what those of numbers look like.
    abroad: re.Pattern[str]
    prefix: re.Pattern[str] | None
    number: re.Pattern[str]
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
        """Digits as they follow the code, if it is plain where they begin."""
        if self.abroad.match(digits):
            return None
        if self.has_plain_trunk and digits[0] == _TRUNK:
            # A number that is one as it stands might keep it.
            return None if self.number.fullmatch(digits) else digits[1:]
        return None if digits.startswith(self.code) or self.has_prefix(digits) else digits

    def is_number(self, digits: str) -> bool:
        """Tells whether digits are plainly a number, as they follow the code."""
        return len(digits) in self.lengths and not self.has_prefix(digits)

    def has_prefix(self, digits: str) -> bool:
        """Tells whether digits begin with what the plan takes away, or writes differently."""
        return bool(self.prefix and self.prefix.match(digits))


def e164(number: str, region: str | None) -> str | None:
    """Writes a phone number in E.164 format, if it is plain how."""
    if not _PLAIN(number):
        return None
    digits = number.translate(_GROUPING)
    if digits[0] == "+":
        return _checked(digits[1:])
    # Others are not asked for: what callers write must not fill the memory of plans.
    plan = _region_plan(region) if region and region in _REGIONS else None
    national = plan.without_trunk(digits) if plan else None
    return _checked(plan.code + national) if plan and national else None


def _checked(digits: str) -> str | None:
    """An international number in E.164 format, if it plainly is one."""
    if len(digits) > _MAX_DIGITS:
        return None
    for length in range(1, _MAX_CODE_DIGITS + 1):
        plan = _code_plan(digits[:length])
        if plan is not None:
            return "+" + digits if plan.is_number(digits[length:]) else None
    return None


@lru_cache(None)
def _region_plan(region: str) -> _Plan | None:
    metadata = PhoneMetadata.metadata_for_region(region, None)
    return _Plan.of(metadata) if metadata else None


@lru_cache(None)
def _code_plan(code: str) -> _Plan | None:
    """The plan of a country by its code, or None if there is none."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code or 0))
    if regions is None or code[0] == "0":
        return None
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0])
    return _Plan.of(metadata) if metadata else None
