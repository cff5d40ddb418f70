"""The numbering plans of countries, in a short form that is read much faster than the library's."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple, Self

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberDesc

TRUNK = "0"
# People everywhere write this for the international prefix.
COMMON_PREFIX = "00"

MAX_DIGITS = 15
MAX_CODE_DIGITS = 3
_NEVER = r"(?!)"
_REGIONS = phonenumbers.SUPPORTED_REGIONS

_USUAL_KINDS = ("fixed_line", "mobile")
_KINDS = (
    *_USUAL_KINDS,
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
)

# Lengths of the country codes that have fewer digits, by the first two digits of a number.
_CODE_LENGTHS = {
    f"{code}{digit}"[:2]: len(code)
    for code in map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
    if len(code) < MAX_CODE_DIGITS
    for digit in range(10)
}

# Prefixes that a plan has given up, but not all who write its numbers: Mexico's of mobile phones,
# which WhatsApp still shows, and those that callers dialled there.
_FORMER_PREFIXES = {"52": re.compile(r"(?:1|01|04[45])(?=\d{10}\Z)")}


class Plan(NamedTuple):
    """The numbering plan of a country."""

    code: str
    # Numbers of digits that may follow the code, in all as many as E.164 allows.
    lengths: frozenset[int]
    shortest: int
    international_prefix: re.Pattern[str]
    # Whether that is 00 and nothing else.
    has_common_prefix: bool
    national_prefix: re.Pattern[str] | None
    national_number: re.Pattern[str]
    trunk: str | None
    # The length of all numbers of fixed lines and mobile phones, if it is one.
    only_length: int | None

    @classmethod
    def of(cls, metadata: PhoneMetadata) -> Self:
        """Returns the plan that the library's metadata describe."""
        code = str(metadata.country_code)
        prefix = metadata.national_prefix_for_parsing
        general = metadata.general_desc or PhoneNumberDesc()
        usual = {
            length for desc in _kinds(metadata, _USUAL_KINDS) for length in desc.possible_length
        }
        return cls(
            code,
            frozenset(general.possible_length).intersection(range(MAX_DIGITS - len(code) + 1)),
            min(general.possible_length),
            re.compile(metadata.international_prefix or _NEVER),
            metadata.international_prefix == COMMON_PREFIX,
            re.compile(prefix) if prefix else None,
            re.compile(general.national_number_pattern or _NEVER),
            metadata.national_prefix,
            usual.pop() if len(usual) == 1 else None,
        )

    def is_plain(self, digits: str) -> bool:
        """Tells whether digits that follow the code are plainly a number."""
        return (
            len(digits) in self.lengths
            and not (self.national_prefix and self.national_prefix.match(digits))
            and (digits[0] != TRUNK or self.has_zero(digits))
        )

    def is_in_use(self, digits: str) -> bool:
        """Tells whether digits that follow the code may be valid, a trunk prefix included."""
        prefix = self.national_prefix and self.national_prefix.match(digits)
        if prefix and prefix.lastindex:
            return True  # The library is to say what such a prefix does.
        without = digits[prefix.end() :] if prefix else digits
        readings = {digits, without, self.without_former_prefix(digits)}
        return any(len(it) in self.lengths and self.is_valid(it) for it in readings)

    def has_zero(self, digits: str) -> bool:
        """Tells whether a zero in front belongs to a number, as in Italy, and is no prefix."""
        is_possible = digits[1] != TRUNK and self.national_number.fullmatch(digits) is not None
        return is_possible or self.is_valid(digits)

    def allows(self, digits: str) -> bool:
        """Tells whether digits that follow the code may be a number, a trunk prefix included."""
        return len(digits) in self.lengths or (
            len(digits) > self.shortest
            and (self.has_prefix(digits) or len(self.without_former_prefix(digits)) in self.lengths)
        )

    def has_prefix(self, digits: str) -> bool:
        """Tells whether digits begin with a prefix that the plan removes or rewrites."""
        return bool(self.national_prefix and self.national_prefix.match(digits))

    def is_valid(self, digits: str) -> bool:
        """Tells whether digits that follow the code are in a range that is in use."""
        return _numbers(self.code).are_valid(digits) is not None

    def is_known_by_length(self, digits: str) -> bool:
        """Tells whether digits are a valid number of a kind whose numbers have one length."""
        return _numbers(self.code).are_of_one_length(digits) is not None

    def without_former_prefix(self, digits: str) -> str:
        """Removes a prefix that the plan had earlier."""
        former = _FORMER_PREFIXES.get(self.code)
        return former.sub("", digits, count=1) if former else digits


class _RegionalPlans(dict[str | None, Plan | None]):
    """The plans of regions, each made when it is first needed."""

    def __missing__(self, region: str | None) -> Plan | None:
        # Callers' texts must not fill the memory.
        if region not in _REGIONS:
            return None
        metadata = PhoneMetadata.metadata_for_region(region, None)
        plan = self[region] = Plan.of(metadata) if metadata else None
        return plan


# By ISO 3166-1 alpha-2 code; None for what has no plan.
PLANS_OF_REGIONS = _RegionalPlans()


def plan_of_number(digits: str) -> Plan | None:
    """Returns the plan whose country code digits begin with."""
    return plan_of_code(digits[: _CODE_LENGTHS.get(digits[:2], MAX_CODE_DIGITS)])


@lru_cache(None)
def plan_of_code(code: str) -> Plan | None:
    """Returns the plan of a country code of at most three digits, if there is one."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code or 0))
    if regions is None or code[0] == "0":
        return None
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0])
    return Plan.of(metadata) if metadata else None


class _Numbers(NamedTuple):
    """The numbers of the regions that share a code, as patterns of the digits that follow it."""

    are_valid: Callable[[str], re.Match[str] | None]
    are_of_one_length: Callable[[str], re.Match[str] | None]


@lru_cache(None)
def _numbers(code: str) -> _Numbers:
    found = (
        PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
        for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]
    )
    regions = [metadata for metadata in found if metadata]
    return _Numbers(
        _any_of(_pattern(it, _kinds(it, _KINDS)) for it in regions),
        _any_of(_pattern(it, _kinds_of_one_length(it)) for it in regions),
    )


def _kinds_of_one_length(metadata: PhoneMetadata) -> list[PhoneNumberDesc]:
    # Fixed lines are hardly written without a trunk prefix of zero, mobile phones are.
    familiar = _USUAL_KINDS if metadata.national_prefix != TRUNK else ("mobile",)
    return [kind for kind in _kinds(metadata, familiar) if len(kind.possible_length) == 1]


def _kinds(metadata: PhoneMetadata, names: tuple[str, ...]) -> list[PhoneNumberDesc]:
    """Returns the kinds of numbers of these names that a plan has."""
    kinds = [getattr(metadata, name) for name in names]
    return [kind for kind in kinds if kind and kind.national_number_pattern]


def _pattern(metadata: PhoneMetadata, kinds: list[PhoneNumberDesc]) -> str:
    """Returns the pattern of a region's numbers of these kinds."""
    general = (metadata.general_desc or PhoneNumberDesc()).national_number_pattern or _NEVER
    alternatives = "|".join(kind.national_number_pattern or _NEVER for kind in kinds) or _NEVER
    return rf"(?=(?:{general})\Z)(?:{alternatives})"


def _any_of(patterns: Iterable[str]) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(patterns)).fullmatch
