"""Parses the request of a list, chooses the index that serves it, and builds its pages."""

import re
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_server.api import filters, page_tokens
from twc_customer_server.api.encoded import with_customers
from twc_customer_server.api.filters import Filter, Text
from twc_customer_server.customers import fields
from twc_customer_server.errors import InvalidInput, Violation
from twc_customer_server.storage.listing import (
    ALL_TIMES,
    DATES,
    LAST_TEXT,
    NAMES,
    WALKS,
    ListedPage,
    Listing,
    ListPlace,
    Segment,
    Span,
    beginning_with,
    equal_to,
)
from twc_customer_server.storage.schema import UNIQUE

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000

_ORDERS = {
    "createdDate": "createdDate",
    "created_date": "createdDate",
    "lastModifiedDate": "lastModifiedDate",
    "last_modified_date": "lastModifiedDate",
    "lastName": "lastName",
    "last_name": "lastName",
}
_ORDER = re.compile(r"\s*+(\w++)(?:\s++(asc|desc))?\s*+", re.ASCII)
_NOT_AN_ORDER = (
    "must be createdDate, lastModifiedDate or lastName, and may be followed by desc, "
    "as in createdDate desc"
)

_NOT_A_TOKEN = "must be the nextPageToken of an earlier page"  # noqa: S105 - a message
_ANOTHER_LIST = "belongs to another list; repeat the filter and the order of that one"

# Parts of a place in a token; no key holds it.
_SEPARATOR = "\x1f"
_is_integer = re.compile(r"-?[0-9]{1,18}", re.ASCII).fullmatch


class Query(NamedTuple):
    """The query of a page: the list, the place before, the page's size."""

    listing: Listing
    after: ListPlace | None
    size: int


class _Order(NamedTuple):
    field: str
    is_descending: bool


def parse(request: pb.ListCustomersRequest, tenant: str, region: str | None) -> Query:
    """Parses a request. Raises InvalidInput with all violations."""
    violations: list[Violation] = []
    listing, after = None, None
    try:
        order = _order(request.order_by)
    except ValueError as error:
        violations.append(Violation("orderBy", str(error)))
    try:
        parsed = filters.parse(request.filter, region)
    except filters.FilterError as error:
        violations.append(Violation("filter", str(error)))
    if not violations:
        try:
            listing = _listing(parsed, order)
        except ValueError as error:
            violations.append(Violation("orderBy", str(error)))
    if request.page_size < 0:
        violations.append(Violation("pageSize", f"must be from 1 to {MAX_PAGE_SIZE:,}"))
    if request.page_token:
        try:
            after = _after(request.page_token, tenant, listing)
        except ValueError as error:
            violations.append(Violation("pageToken", str(error)))
    if violations or listing is None:
        raise InvalidInput(violations)
    return Query(listing, after, min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE))


def response(tenant: str, listing: Listing, page: ListedPage) -> bytes:
    """Encodes the response with a page, and the token of the next one if there may be one."""
    message = pb.ListCustomersResponse()
    if page.place:
        message.next_page_token = _token(tenant, listing, page.place)
    return with_customers(message, page.bodies)


def _order(text: str) -> _Order | None:
    if not text.strip():
        return None
    found = _ORDER.fullmatch(text) if len(text) <= fields.MAX_TEXT_LENGTH else None
    if not found or found[1] not in _ORDERS:
        raise ValueError(_NOT_AN_ORDER)
    return _Order(_ORDERS[found[1]], found[2] == "desc")


def _listing(parsed: Filter, order: _Order | None) -> Listing:
    """Returns the list that an index serves. Raises ValueError if none does."""
    field = _field(parsed, order)
    texts = {
        name: _span(text.wanted, is_prefix=text.is_prefix)
        for name, text in sorted(parsed.texts.items())
        if name != field
    }
    dates = {name: span for name, span in sorted(parsed.dates.items()) if name != field}
    listing = Listing(field, (), texts=texts, dates=dates, statuses=parsed.statuses)
    text = parsed.texts.get(field)
    if order and order.field == field:
        listing = listing._replace(is_descending=order.is_descending)
    if text and field in NAMES and not order:
        return _best_first(listing, text)
    if text:
        span = _span(text.wanted, is_prefix=text.is_prefix)
    elif field in DATES:
        span = parsed.dates.get(field, ALL_TIMES)
    else:
        span = Span("", LAST_TEXT)
    return listing._replace(segments=(Segment(_positions(field, span)),))


def _field(parsed: Filter, order: _Order | None) -> str:
    """Returns the field whose index serves a query. Raises ValueError if there is none."""
    texts, dates = parsed.texts, parsed.dates
    for name in UNIQUE:
        if name in texts and not texts[name].is_prefix:
            return name  # Of at most one customer, which has any order.
    if order is None:
        if texts:
            return min(texts, key=lambda name: _rank(texts[name]))
        return next((name for name in DATES if name in dates), DATES[0])
    if texts and (order.field != "lastName" or "lastName" not in texts):
        choice = "be lastName or left out" if "lastName" in texts else "be left out"
        raise ValueError(f"must {choice} with terms of {_listed(texts)}")
    if dates and not texts and order.field not in dates:
        raise ValueError(
            f"must be {_listed(dates, 'or')} with a range of {_listed(dates)}, or be left out"
        )
    return order.field


def _rank(text: Text) -> tuple[bool, int]:
    """Ranks the text that few customers are likely to match first."""
    return text.is_prefix, -len(text.wanted)


def _best_first(listing: Listing, name: Text) -> Listing:
    """Returns a list by a name in which those that are spelled as asked come first."""
    if name.is_prefix:
        span = _positions(listing.field, beginning_with(name.wanted))
        segments: tuple[Segment, ...] = (
            Segment(span, is_spelled=True),
            Segment(span, is_spelled=False),
        )
        return listing._replace(segments=segments, spelling=beginning_with(name.spelled))
    wanted, spelled = name.wanted, equal_to(name.spelled)
    first = Span((wanted, spelled.low, ""), (wanted, spelled.high, ""))
    whole = _positions(listing.field, equal_to(wanted))
    segments = tuple(
        map(Segment, (first, Span(whole.low, first.low), Span(first.high, whole.high)))
    )
    return listing._replace(segments=segments)


def _span(text: str, *, is_prefix: bool) -> Span:
    return beginning_with(text) if is_prefix else equal_to(text)


def _positions(field: str, span: Span) -> Span:
    """Returns the positions in an index of which the first values are in a span."""
    rest = [""] * (len(WALKS[field]) - 1)
    return Span((span.low, *rest), (span.high, *rest))


def _token(tenant: str, listing: Listing, place: ListPlace) -> str:
    text = _SEPARATOR.join(map(str, (place.segment, *place.position)))
    return page_tokens.make((tenant, listing), text)


def _after(token: str, tenant: str, listing: Listing | None) -> ListPlace | None:
    """Parses a token; returns None if its list is not known. Raises ValueError."""
    try:
        parsed = page_tokens.parse(token)
        place = _place(parsed.place)
    except ValueError as error:
        raise ValueError(_NOT_A_TOKEN) from error
    if listing is None:
        return None
    if not parsed.is_for((tenant, listing)):
        raise ValueError(_ANOTHER_LIST)
    if not _is_in(listing, place):
        raise ValueError(_NOT_A_TOKEN)
    return place


def _place(text: str) -> ListPlace:
    """Parses the place of a token. Raises ValueError."""
    segment, *values, last = text.split(_SEPARATOR)
    if not _is_integer(segment) or "\0" in text:
        raise ValueError("is no place")
    if not values:
        return ListPlace(int(segment), (last,))
    customer_id = str(UUID(last))
    if len(values) > 1:
        return ListPlace(int(segment), (*values, customer_id))
    if not _is_integer(values[0]):
        raise ValueError("is no time")
    return ListPlace(int(segment), (int(values[0]), customer_id))


def _is_in(listing: Listing, place: ListPlace) -> bool:
    """Tells whether a place is one of a list, as that of a forged token may not be."""
    return 0 <= place.segment < len(listing.segments) and len(place.position) == len(
        WALKS[listing.field]
    )


def _listed(names: Iterable[str], conjunction: str = "and") -> str:
    return f" {conjunction} ".join(names)
