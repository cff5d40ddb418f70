"""Reads lists of customers by walks: each reads an index in its order, chunk by chunk.

A walk examines a bounded number of customers for a page, of which only those
that match the other conditions of its query have their message read.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add, and_
from typing import Any

from peewee import SQL, Case, Tuple

from twc_customer_server.storage.database import Database, Reader, Row
from twc_customer_server.storage.listing import (
    DATES,
    NAMES,
    NEXT,
    STATUSES,
    TEXTS,
    WALKS,
    ListedPage,
    Listing,
    ListPlace,
    Position,
    Span,
)
from twc_customer_server.storage.schema import Column, CustomerRow
from twc_customer_server.storage.statements import CHUNK_ROWS, Query, parameter

# Customers that are examined for one page, in a few milliseconds.
MAX_EXAMINED = 2000

# A page is one message. By REST the gateway makes JSON of it at once, on the thread that has the
# requests of all tenants: that takes 25 ms for so much.
MAX_LIST_BYTES = 1024 * 1024

# A customer takes these in the message beside its own bytes.
_FRAMING_BYTES = 8

_row = CustomerRow
_LIVE = _row.deleted_at.is_null()


class Lists:
    """The part of the store that lists the customers of every tenant."""

    def __init__(self, database: Database) -> None:
        self._database: Reader = database
        self._compile = database.compile
        # Each is compiled when it is first used: to compile all takes a start 40 ms.
        self._by_field: dict[tuple[str, bool], str] = {}
        self._by_status: dict[tuple[int, bool], str] = {}

    def by_field(self, name: str, *, is_descending: bool) -> str:
        """Returns the statement that walks a field other than the date of creation."""
        key = (name, is_descending)
        if key not in self._by_field:
            self._by_field[key] = self._compile(_walk(name, is_descending=is_descending))
        return self._by_field[key]

    def by_status(self, count: int, *, is_descending: bool) -> str:
        """Returns the statement that walks dates of creation, with at least `count` statuses."""
        branches = 1 << (count - 1).bit_length()
        key = (branches, is_descending)
        if key not in self._by_status:
            walk = _walk_statuses(branches, is_descending=is_descending)
            self._by_status[key] = self._compile(walk)
        return self._by_status[key]

    def list_page(
        self, tenant: str, listing: Listing, after: ListPlace | None, size: int
    ) -> ListedPage:
        """Reads a page of at most `size` customers and MAX_LIST_BYTES, for MAX_EXAMINED ones."""
        parameters = listing.parameters(tenant)
        sql = self._statement(listing)
        page = _Page(size)
        first = after.segment if after else 0
        for number, segment in enumerate(listing.segments[first:], first):
            parameters["any_spelling"] = segment.is_spelled is None
            parameters["is_spelled"] = bool(segment.is_spelled)
            span = segment.span
            if after and number == first:
                span = _rest(span, after.position, is_descending=listing.is_descending)
            while True:
                limit = page.limit
                chunk = parameters | _positions(span) | {"limit": limit}
                rows = self._database.rows(sql, chunk)
                if page.take(number, rows):
                    return ListedPage(page.bodies, page.last)
                if len(rows) < limit:
                    break
                position = rows[-1][:-1]
                span = _rest(span, position, is_descending=listing.is_descending)
                if segment.is_spelled is not None:
                    span = _skip(span, position, listing.spelling, segment.is_spelled)
        return ListedPage(page.bodies, None)

    def _statement(self, listing: Listing) -> str:
        if listing.field != "createdDate":
            return self.by_field(listing.field, is_descending=listing.is_descending)
        return self.by_status(len(listing.statuses), is_descending=listing.is_descending)


class _Page:
    """A page while it is filled, and the last customer that was examined for it."""

    def __init__(self, size: int) -> None:
        self.bodies: list[bytes] = []
        self.last: ListPlace | None = None
        self._size = size
        self._room = MAX_LIST_BYTES
        self._left = MAX_EXAMINED
        self._next_rows = size + 1

    @property
    def limit(self) -> int:
        """The number of rows to read next."""
        return min(self._next_rows, CHUNK_ROWS, self._left)

    def take(self, segment: int, rows: Sequence[Row]) -> bool:
        """Takes the customers of rows that match; tells whether the page ends before the next."""
        is_full = False
        examined = len(rows)
        for number, row in enumerate(rows):
            if (body := row[-1]) is not None:
                self._room -= len(body) + _FRAMING_BYTES
                is_full = len(self.bodies) == self._size or (self._room < 0 and bool(self.bodies))
                if is_full:
                    examined = number
                    break
                self.bodies.append(body)
        if examined:
            self.last = ListPlace(segment, rows[examined - 1][:-1])
        self._left -= examined
        self._next_rows = CHUNK_ROWS
        return is_full or self._left == 0


def _positions(span: Span) -> dict[str, object]:
    return {
        f"{bound}_{at}": value
        for bound, position in zip(Span._fields, span, strict=True)
        for at, value in enumerate(position)
    }


def _rest(span: Span, last: Position, *, is_descending: bool) -> Span:
    """Returns the part of a span that follows a position."""
    return Span(span.low, last) if is_descending else Span((*last[:-1], last[-1] + NEXT), span.high)


def _skip(span: Span, last: Sequence[str], spelling: Span, is_spelled: bool) -> Span:  # noqa: FBT001
    """Returns the part of a span of names that follows those like the last one.

    Without their accents they are the same, and none of them is spelled as wanted.
    """
    fold, key, _ = last
    if (spelling.low <= key < spelling.high) == is_spelled:
        return span
    if not is_spelled:
        low = (fold, spelling.high, "")
    elif key < spelling.low:
        low = (fold, spelling.low, "")
    else:
        low = (fold + NEXT, "", "")
    return Span(low, span.high)


def _is_in(column: Column, name: str) -> Query:
    return (column >= parameter(f"{name}_low")) & (column < parameter(f"{name}_high"))


def _walk(name: str, *, is_descending: bool) -> Query:
    """Returns the walk of a field, with all other conditions."""
    columns = WALKS[name]
    conditions = [
        parameter(f"any_{other}") | _is_in(WALKS[other][0], other)
        for other in TEXTS
        if other != name
    ]
    conditions += [_is_in(WALKS[date][0], date) for date in DATES if date != name]
    statuses = [parameter(f"status_{number}") for number in range(len(STATUSES))]
    conditions.append(_row.status.in_(statuses))
    if name in NAMES:
        spelled = _is_in(columns[1], "spelling")
        conditions.append(parameter("any_spelling") | (spelled == parameter("is_spelled")))
    walked = _of_span(_row, columns)
    # The index by date of modification has deleted customers as well.
    if name == "lastModifiedDate":
        conditions.append(_LIVE)
    else:
        walked &= _LIVE
    matching = Case(None, [(reduce(and_, conditions), _row.body)])
    query = _row.select(*columns, matching).where(walked)
    return _in_order(query, columns, is_descending=is_descending)


def _walk_statuses(count: int, *, is_descending: bool) -> Query:
    """Returns the walk by date of creation through customers with some statuses.

    The database merges the walks of the statuses, of which an index has each in
    order. Each has an order and a limit of its own: PostgreSQL plans it apart.
    """
    branches = []
    for number in range(count):
        row = CustomerRow.alias()
        columns = (row.created_at, row.id)
        matching = Case(None, [(_is_in(row.modified_at, "lastModifiedDate"), row.body)])
        has_status = row.status == parameter(f"status_{number}")
        walk = row.select(*columns, matching.alias("body")).where(
            _of_span(row, columns), has_status, row.deleted_at.is_null()
        )
        walk = _in_order(walk, columns, is_descending=is_descending)
        branches.append(walk.select_from(walk.c.created_at, walk.c.id, walk.c.body))
    merged = reduce(add, branches)
    return _in_order(merged, [SQL("1"), SQL("2")], is_descending=is_descending)


def _in_order(query: Query, columns: Sequence[Column], *, is_descending: bool) -> Query:
    order = [column.desc() if is_descending else column for column in columns]
    return query.order_by(*order).limit(parameter("limit"))


def _of_span(row: Any, columns: Sequence[Column]) -> Query:
    low, high = (
        [parameter(f"{bound}_{at}") for at in range(len(columns))] for bound in Span._fields
    )
    [column, *others] = columns
    is_from, is_before = (
        (Tuple(*columns) >= Tuple(*low), Tuple(*columns) < Tuple(*high))
        if others
        else (column >= low[0], column < high[0])
    )
    return (row.tenant == parameter("tenant")) & is_from & is_before
