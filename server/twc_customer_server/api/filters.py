"""Parses the filter of a list: a part of the grammar of AIP-160.

    filter = term { "AND" term }
    term   = field ( "=" | ":" | "<" | "<=" | ">" | ">=" ) value

A value is a quoted text, or a word. `*` at the end of a text makes it a prefix.
`:` is the same as `=`, since no field is a list.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.api import selectors
from twc_customer_server.customers import fields, phone_prefixes, phones
from twc_customer_server.storage import rows
from twc_customer_server.storage.listing import ALL_TIMES, DATES, NAMES, STATUSES, TEXTS, Span
from twc_customer_server.storage.rows import Status

MAX_LENGTH = 2000

# Keys of longer texts are digests, which no prefix finds.
_MAX_PREFIX_LENGTH = 128

_FIELD = re.compile(r"\s*+([^\W\d]\w*+)", re.ASCII)
_OPERATOR = re.compile(r"\s*+(<=|>=|!=|[<>=:])")
_VALUE = re.compile(
    r"""\s*+(?:"(?P<double>(?:[^"\\]|\\.)*+)"|'(?P<single>(?:[^'\\]|\\.)*+)'"""
    r"""|(?P<word>[^\s"'<>=!(),\\][^\s"<>=!(),\\]*+))""",
    re.DOTALL,
)
_AND = re.compile(r"\s++AND(?=\s)")
_END = re.compile(r"\s*+\Z")
_PIECE = re.compile(r"\\(?P<escaped>.)|(?P<wildcard>\*)|[^\\*]++", re.DOTALL)
_FRACTION = re.compile(r"\.(\d{1,3})(\d*+)", re.ASCII)
_EQUALS = ("=", ":")
_ESCAPABLE = frozenset("\"'\\*")

_BOOLEANS: dict[str, int] = {"true": True, "false": False}
_STATES = {
    name: number for name, number in Customer.State.items() if number != Customer.state_unspecified
}

# The values of the fields that have few, which are the fields of a status.
_VALUES = {"state": _STATES, "active": _BOOLEANS, "accepts_marketing": _BOOLEANS}

# Each field by the names that it has.
_NAMES = {
    name: json_name
    for field in Customer.DESCRIPTOR.fields
    if (json_name := field.json_name) in (*TEXTS, *DATES, *_VALUES)
    for name in (field.name, json_name)
} | dict.fromkeys(("state", "customer_state", "customerState"), "state")
_A_FIELD = f"a field: {', '.join((*TEXTS, *DATES, *_VALUES))}"


class FilterError(ValueError):
    """A filter cannot be read; the message says what would be right."""


class Text(NamedTuple):
    """A text that a field must equal or begin with.

    For a name, `wanted` is compared without accents and `spelled` with them;
    for other fields both are the same.
    """

    wanted: str
    spelled: str
    is_prefix: bool


class Filter(NamedTuple):
    """The terms of a filter, by the JSON names of their fields."""

    texts: dict[str, Text]
    dates: dict[str, Span]
    statuses: tuple[Status, ...]


class _Term(NamedTuple):
    """A term as it is written; `is_prefix` if `*` ends its value."""

    field: str
    operator: str
    value: str
    is_prefix: bool


def parse(text: str, region: str | None) -> Filter:
    """Parses a filter; a phone number is read in a region, if it says no country.

    Raises FilterError.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"must be at most {MAX_LENGTH:,} characters long, has {len(text):,}")
    parsed = Filter({}, {}, STATUSES)
    seen: set[str] = set()
    for term in _terms(text) if text.strip() else ():
        if term.field in seen and term.field not in DATES:
            raise FilterError(f"must have one term with {term.field}, has two")
        seen.add(term.field)
        try:
            parsed = _add(parsed, term, region)
        except ValueError as error:
            raise FilterError(f"{term.field} {error}") from error
    return parsed


def _terms(text: str) -> Iterator[_Term]:
    at = 0
    while at == 0 or not _END.match(text, at):
        if at:
            at = _expect(_AND, text, at, "AND and another term, or the end").end()
        field = _expect(_FIELD, text, at, _A_FIELD)
        if field[1] not in _NAMES:
            raise _unexpected(text, at, _A_FIELD)
        operator = _expect(_OPERATOR, text, field.end(), f"an operator after {field[1]}, such as =")
        value = _expect(
            _VALUE, text, operator.end(), "a value: a word, or a text in quotation marks"
        )
        at = value.end()
        yield _Term(_NAMES[field[1]], operator[1], *_read(value))


def _expect(pattern: re.Pattern[str], text: str, at: int, expected: str) -> re.Match[str]:
    if found := pattern.match(text, at):
        return found
    raise _unexpected(text, at, expected)


def _unexpected(text: str, at: int, expected: str) -> FilterError:
    """Returns the error of a filter that has something else at a place."""
    # Counted, because an error must not repeat what may be personal data.
    place = len(text) - len(text[at:].lstrip())
    where = "at the end" if place == len(text) else f"at character {place + 1}"
    return FilterError(f"must have {expected}, {where}")


def _read(value: re.Match[str]) -> tuple[str, bool]:
    """Returns the text of a value, and whether it is a prefix."""
    raw = value[value.lastgroup or 0]
    text = []
    is_prefix = False
    for piece in _PIECE.finditer(raw):
        if is_prefix:
            raise FilterError(r"may have * at the end of a value only; \* in quotes is an asterisk")
        if (escaped := piece["escaped"]) is not None:
            if escaped not in _ESCAPABLE:
                raise FilterError(r"may have \ before a quotation mark, \ or * only, so write \\")
            text.append(escaped)
        elif piece["wildcard"]:
            is_prefix = True
        else:
            text.append(piece[0])
    return "".join(text), is_prefix


def _add(parsed: Filter, term: _Term, region: str | None) -> Filter:
    """Returns a filter with a term more. Raises ValueError."""
    if term.field in DATES:
        span = _instants(term)
        if before := parsed.dates.get(term.field):
            span = Span(max(before.low, span.low), min(before.high, span.high))
        return parsed._replace(dates=parsed.dates | {term.field: span})
    if term.operator not in _EQUALS:
        raise ValueError(f"is compared by =, not by {term.operator}")
    if term.field in TEXTS:
        return parsed._replace(texts=parsed.texts | {term.field: _text(term, region)})
    return parsed._replace(statuses=_matching(parsed.statuses, term))


def _text(term: _Term, region: str | None) -> Text:
    if problem := fields.text_problem(term.value):
        raise ValueError(problem)
    if not term.value.strip():
        raise ValueError("must not be compared with an empty text; leave it out to match any")
    if term.is_prefix and len(term.value) > _MAX_PREFIX_LENGTH:
        raise ValueError(f"must have a prefix of at most {_MAX_PREFIX_LENGTH} characters")
    key = _key(term, region)
    if term.field in NAMES:
        return Text(rows.name_fold(key), key, term.is_prefix)
    return Text(key, key, term.is_prefix)


def _key(term: _Term, region: str | None) -> str:
    value, is_prefix = term.value, term.is_prefix
    match term.field:
        case "firstName" | "lastName":
            return rows.name_prefix(value) if is_prefix else rows.name_key(value)
        case "email":
            if is_prefix:
                return rows.email_prefix(value.replace(" ", "+"))
            return rows.email_key(selectors.parse_email(value))
        case "mobile" | "phone":
            number = "+" + value[1:] if value[0] == " " else value
            to_key = phone_prefixes.to_e164_prefix if is_prefix else phones.to_e164
            return to_key(number, region)
    return value if is_prefix else rows.exact_key(value)


def _matching(statuses: tuple[Status, ...], term: _Term) -> tuple[Status, ...]:
    values = _VALUES[term.field]
    if term.is_prefix or term.value not in values:
        raise ValueError(f"must be {' or '.join(values)}")
    wanted = values[term.value]
    return tuple(each for each in statuses if getattr(each, term.field) == wanted)


def _instants(term: _Term) -> Span:
    """Returns the milliseconds since the Unix epoch that a term on a date admits."""
    try:
        second = fields.parse_date(term.value + "*" * term.is_prefix)
    except ValueError as error:
        raise ValueError(fields.NOT_A_DATE) from error
    fraction = _FRACTION.search(term.value)
    millis, rest = (fraction[1].ljust(3, "0"), fraction[2]) if fraction else ("0", "")
    at = fields.to_milliseconds(second) + int(millis)
    # Stored dates are whole milliseconds: a moment within one lies between two of them.
    first_from, first_after = at + bool(rest.strip("0")), at + 1
    match term.operator:
        case "=" | ":":
            return Span(first_from, first_after)
        case ">=":
            return Span(first_from, ALL_TIMES.high)
        case ">":
            return Span(first_after, ALL_TIMES.high)
        case "<":
            return Span(ALL_TIMES.low, first_from)
        case "<=":
            return Span(ALL_TIMES.low, first_after)
    raise ValueError(f"is compared by =, <, <=, > or >=, not by {term.operator}")
