"""Rules of phone numbers: reads what people write, returns E.164.

Plain numbers are read by the short form of each country's plan, at a tenth of
the library's time and with the same result. All others are read in every way
that may be meant, and refused if that leaves more than one number.
"""

import re
from typing import NamedTuple

import phonenumbers
from phonenumbers import NumberParseException

from twc_customer_server.customers import fields, numbering
from twc_customer_server.customers.numbering import COMMON_PREFIX, PLANS_OF_REGIONS, TRUNK, Plan
from twc_customer_server.customers.written_numbers import (
    HAS_EXTENSION,
    NOT_A_PHONE,
    WrittenNumber,
)

__all__ = ["HAS_EXTENSION", "NOT_A_PHONE", "NO_COUNTRY", "plain_e164", "to_e164"]

NO_COUNTRY = (
    "needs an international prefix, as in +491701234567, because no country is known to read it in"
)
AMBIGUOUS = "must be written in full, as {}, because it can be read as either"
PLACEHOLDER = (
    "must be somebody's phone number, such as +491701234567, not a placeholder; "
    "leave it out if none is known"
)

# Digits in the groups that people write, unless they end like a number with a fraction.
_PLAIN = re.compile(r"\(?\+?[0-9][0-9 ()./-]*(?<!\.0)(?<!\.00)", re.ASCII).fullmatch
_GROUPING = b" ()./-"
_TRUNK_IN_PARENTHESES = f"({TRUNK})"

# The library's time grows with the square of a text's length.
_MAX_PARSED_LENGTH = 64

# Digits that count up or down, are all the same or end in so many that are, are placeholders
# unless they are a valid number; from a length on, all the same are placeholders in any case.
_SEQUENCES = "01234567890123456789 98765432109876543210"
_SHORT = 4
_END = 7
_LONG_REPETITION = 10


def to_e164(number: str, region: str | None) -> str:
    """Converts a phone number to E.164 format (ITU-T E.164: at most 15 digits).

    A country code follows a plus sign, 00, or the international prefix of
    `region`, an ISO 3166-1 alpha-2 code; or begins the number, if only that
    makes it valid. Any other number is one of `region`. Its country must exist
    and use numbers of its length; whether the number is assigned is not
    checked, since plans grow faster than their published tables. Raises
    ValueError with the rule that the number breaks.
    """
    if len(number) <= fields.MAX_TEXT_LENGTH and (plain := plain_e164(number, region)):
        return plain
    if len(number) > _MAX_PARSED_LENGTH:
        raise ValueError(NOT_A_PHONE)
    written = WrittenNumber.read(number)
    readings = _readings(written, region)
    if _is_placeholder(written, readings):
        raise ValueError(PLACEHOLDER)
    if not readings:
        raise ValueError(NOT_A_PHONE)
    if len(readings) > 1:
        numbers = sorted(reading.e164 for reading in readings)
        raise ValueError(AMBIGUOUS.format(" or ".join(numbers)))
    return readings[0].e164


def plain_e164(number: str, region: str | None) -> str | None:
    """Converts a plain number to E.164 format; returns None for any that is not plain."""
    if not _PLAIN(number) or _TRUNK_IN_PARENTHESES in number:
        return None
    # Bytes, because they are translated several times as fast as text.
    digits = number.encode().translate(None, _GROUPING).decode()
    if digits[0] == "+":
        digits = digits[1:]
        plan = numbering.plan_of_number(digits)
        national = digits[len(plan.code) :] if plan else ""
    elif not (plan := PLANS_OF_REGIONS[region]):
        return None
    elif digits.startswith(COMMON_PREFIX):
        digits = digits[len(COMMON_PREFIX) :]
        abroad = numbering.plan_of_number(digits) if plan.has_common_prefix else None
        national = digits[len(abroad.code) :] if abroad else ""
        if abroad and not abroad.is_valid(national):
            return None
        plan = abroad
    else:
        national = _plain_national(digits, plan) or ""
        # Countries that share a code share what is dialled from abroad.
        plan = numbering.plan_of_code(plan.code)
    if not plan or not national or not plan.is_plain(national):
        return None
    # A number that may be a placeholder is not plain.
    if national in _SEQUENCES or (national[-1] == national[-2] and _is_monotonous(national)):
        return None
    return f"+{plan.code}{national}"


def _plain_national(digits: str, plan: Plan) -> str | None:
    """Returns a national number's digits as they follow the code, or None if unclear."""
    if not plan.has_common_prefix and plan.international_prefix.match(digits):
        return None
    prefix = plan.national_prefix and plan.national_prefix.match(digits)
    if prefix and prefix[0] == plan.trunk != plan.code:
        return _plain_without_trunk(digits, plan.trunk, plan)
    if digits.startswith(plan.code):
        # As in North America, where the trunk prefix is the country code.
        return digits[len(plan.code) :] if plan.trunk == plan.code else None
    return None if prefix or _may_be_abroad(digits, plan) else digits


def _may_be_abroad(digits: str, plan: Plan) -> bool:
    """Tells whether digits without a prefix may be a number of a country other than the plan's."""
    # First what costs less: North America's ranges are those of many regions.
    if digits[0] == TRUNK or (plan.trunk != plan.code and plan.is_known_by_length(digits)):
        return False
    abroad = numbering.plan_of_number(digits)
    rest = digits[len(abroad.code) :] if abroad else ""
    if abroad is None or len(rest) < abroad.shortest or not abroad.allows(rest):
        return False
    if plan.is_valid(digits) and not abroad.is_in_use(rest):
        return False
    return not plan.is_known_by_length(digits)


def _plain_without_trunk(digits: str, trunk: str, plan: Plan) -> str | None:
    national = digits[len(trunk) :]
    # Of regions that share a code, some use fewer lengths than others.
    if len(national) not in plan.lengths:
        return None
    # A trunk prefix other than zero may begin a country code.
    if (trunk != TRUNK or national.startswith(plan.code)) and not plan.is_valid(national):
        return None
    # A number that is valid as it stands might keep its zero.
    return None if plan.national_number.fullmatch(digits) else national


class _Reading(NamedTuple):
    """A number that a text may mean."""

    e164: str
    # The digits behind the country code.
    national: str
    is_valid: bool


def _readings(written: WrittenNumber, region: str | None) -> list[_Reading]:
    """Returns the numbers that a text may mean: one, two if it is unclear, or none.

    Raises ValueError if it needs a country, and none is known.
    """
    if written.has_plus:
        return _international(written)
    plan = PLANS_OF_REGIONS[region]
    national = _national(written.digits, plan, region) if plan else None
    if lengths := _prefix_lengths(written.digits, plan):
        abroad = [reading for length in lengths for reading in _international(written, length)]
        others = (_with_code(written), national)
        valid = [reading for reading in (*abroad, *others) if reading and reading.is_valid]
        return _distinct(*valid) or _distinct(*abroad) or _distinct(national)
    if plan is None:
        raise ValueError(NO_COUNTRY)
    if _plan_before_trunk(written):
        return [reading for reading in _international(written) if reading.is_valid]
    return _choose(written.digits, plan, national, _with_code(written))


def _choose(
    digits: str, plan: Plan, national: _Reading | None, with_code: _Reading | None
) -> list[_Reading]:
    """Chooses between a national number and the one whose country code the digits begin with."""
    is_own = digits.startswith(plan.code)
    if national and national.is_valid:
        if plan.trunk and digits == plan.trunk + national.national:
            return [national]
        if not is_own and plan.is_known_by_length(digits):
            return [national]
        return _distinct(national, with_code if with_code and with_code.is_valid else None)
    if with_code and with_code.is_valid:
        # Digits of the one length of the country's numbers may be one of those, mistyped or new.
        is_unclear = national and len(national.national) == plan.only_length
        return _distinct(national if is_unclear else None, with_code)
    if not is_own:
        return _distinct(national)
    return _distinct(national, with_code) if with_code else []


def _distinct(*readings: _Reading | None) -> list[_Reading]:
    return [*dict.fromkeys(reading for reading in readings if reading)]


def _prefix_lengths(digits: str, plan: Plan | None) -> set[int]:
    """Returns the lengths of the international prefixes that digits begin with."""
    own = plan.international_prefix.match(digits) if plan else None
    lengths = {own.end()} if own else set()
    return lengths | {len(COMMON_PREFIX)} if digits.startswith(COMMON_PREFIX) else lengths


def _with_code(written: WrittenNumber) -> _Reading | None:
    """Reads a number that begins with a country code, which nobody writes in two groups."""
    plan = numbering.plan_of_number(written.digits)
    if plan is None:
        return None
    first = written.first_group
    is_whole = first == plan.code if written.is_first_enclosed else len(first) >= len(plan.code)
    reading = _read(written.digits) if is_whole else None
    # Nor does anybody leave out an area code behind a country code.
    return reading if reading and len(reading.e164) <= len("+" + written.digits) else None


def _international(written: WrittenNumber, start: int = 0) -> list[_Reading]:
    """Reads the digits from a place on as a country code and a number."""
    digits = written.digits[start:]
    plan = _plan_before_trunk(written, start)
    if plan is None:
        return _distinct(_read(digits))
    without = _read(plan.code + digits[len(plan.code) + written.enclosed :])
    if plan.has_prefix(digits[len(plan.code) :]):
        return _distinct(without)
    # Where there is no trunk prefix, a zero belongs to some numbers, as in Italy.
    kept = _read(digits)
    return _distinct(*(reading for reading in (without, kept) if reading and reading.is_valid))


def _plan_before_trunk(written: WrittenNumber, start: int = 0) -> Plan | None:
    """Returns the plan whose code is followed by a trunk prefix in parentheses, if that is so."""
    code = written.digits[start : written.before_enclosed]
    group = written.digits[written.before_enclosed :][: written.enclosed]
    plan = numbering.plan_of_code(code) if 0 < len(code) <= numbering.MAX_CODE_DIGITS else None
    if plan is None or not group:
        return None
    prefix = plan.national_prefix
    return plan if group == TRUNK or (prefix and prefix.fullmatch(group)) else None


def _national(digits: str, plan: Plan, region: str | None) -> _Reading | None:
    """Reads digits as a number of a plan, with or without a trunk prefix."""
    digits = plan.without_former_prefix(digits)
    if plan.international_prefix.match(digits) or digits.startswith(plan.code):
        # The library would remove what they begin with.
        reading = _parse(f"+{plan.code}{digits}", None)
    else:
        reading = _parse(digits, region)
    if reading and not reading.is_valid and reading.national.startswith(plan.code):
        return None
    return reading


def _read(digits: str) -> _Reading | None:
    """Reads digits that begin with a country code."""
    plan = numbering.plan_of_number(digits)
    if plan is None:
        return None
    national = plan.without_former_prefix(digits[len(plan.code) :])
    return _parse(f"+{plan.code}{national}", None)


def _parse(text: str, region: str | None) -> _Reading | None:
    """Reads a text by the library; returns None if it is no possible number."""
    try:
        parsed = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    plan = numbering.plan_of_code(str(parsed.country_code))
    national = phonenumbers.national_significant_number(parsed)
    if plan is None or len(national) not in plan.lengths:
        return None
    reading = _Reading(f"+{plan.code}{national}", national, plan.is_valid(national))
    # A prefix that is left is one that nobody dials from abroad.
    if national[0] == TRUNK and not plan.has_zero(national):
        return None
    if plan.has_prefix(national) and phonenumbers.parse(reading.e164) != parsed:
        return None
    return reading


def _is_placeholder(written: WrittenNumber, readings: list[_Reading]) -> bool:
    """Tells whether a text only fills a field, whatever it may be read as."""
    digits = written.digits
    if _is_repetition(digits):
        return True
    if not readings:
        plan = numbering.plan_of_number(digits) if written.has_plus else None
        return _is_monotonous(digits[len(plan.code) :] if plan else digits)
    return any(
        _is_monotonous(national)
        and not (is_valid and (len(national) < _LONG_REPETITION or not _is_repetition(national)))
        for _, national, is_valid in readings
    )


def _is_monotonous(digits: str) -> bool:
    """Tells whether digits are all the same, end so, or count up or down."""
    return len(digits) >= _SHORT and (digits in _SEQUENCES or not digits[-_END:].strip(digits[-1]))


def _is_repetition(digits: str) -> bool:
    return len(digits) >= _SHORT and not digits.strip(digits[0])
