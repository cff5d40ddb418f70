"""The query of a list: the index that is walked, from where to where, and other conditions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.storage.rows import MAX_KEY_BYTES, Status
from twc_customer_server.storage.schema import Column, CustomerRow


class Span(NamedTuple):
    """The values from `low` on that are less than `high`."""

    low: Any
    high: Any


# Follows every key. And what follows a key directly: keys hold neither NUL nor this.
LAST_TEXT = "\U0010ffff" * (MAX_KEY_BYTES // 4 + 1)
NEXT = "\x01"

# The first of the code points that UTF-8 does not have.
_SURROGATE = "\ud800"

# Before and after every time, in milliseconds since the Unix epoch.
ALL_TIMES = Span(-(1 << 60), 1 << 60)

_NO_STATUS = -1

# The values of an index's columns after the tenant, for one customer.
Position = tuple[Any, ...]

_row = CustomerRow

# The columns of each walk, by the JSON name of its field; the last one tells customers apart.
WALKS: dict[str, tuple[Column, ...]] = {
    "email": (_row.email_key,),
    "mobile": (_row.mobile,),
    "phone": (_row.phone,),
    "customerRef": (_row.customer_ref,),
    "alternateCustomerRef": (_row.alternate_ref,),
    "firstName": (_row.first_name_fold, _row.first_name_key, _row.id),
    "lastName": (_row.last_name_fold, _row.last_name_key, _row.id),
    "createdDate": (_row.created_at, _row.id),
    "lastModifiedDate": (_row.modified_at, _row.id),
}
DATES = ("createdDate", "lastModifiedDate")
NAMES = ("firstName", "lastName")
TEXTS = tuple(name for name in WALKS if name not in DATES)

STATUSES = tuple(
    Status(state, active, accepts_marketing)
    for state in Customer.State.values()
    if state != Customer.state_unspecified
    for active in (False, True)
    for accepts_marketing in (False, True)
)


class Segment(NamedTuple):
    """A part of a walk: its positions, and for a name whether it is spelled as asked, if asked."""

    span: Span
    is_spelled: bool | None = None


class Listing(NamedTuple):
    """A query: the walk by a field, in segments, and conditions that customers must match.

    `texts` and `dates` are conditions on other fields; `spelling` are the exact
    keys of names that are spelled as asked.
    """

    field: str
    segments: Sequence[Segment]
    is_descending: bool = False
    texts: Mapping[str, Span] = {}
    dates: Mapping[str, Span] = {}
    statuses: tuple[Status, ...] = STATUSES
    spelling: Span = Span("", LAST_TEXT)

    def parameters(self, tenant: str) -> dict[str, object]:
        """Returns the parameters of every chunk."""
        parameters: dict[str, object] = {"tenant": tenant, **_bounds("spelling", self.spelling)}
        for name in TEXTS:
            parameters[f"any_{name}"] = name not in self.texts
            parameters |= _bounds(name, self.texts.get(name, Span("", "")))
        for name in DATES:
            parameters |= _bounds(name, self.dates.get(name, ALL_TIMES))
        numbers = [status.number for status in self.statuses]
        numbers += [_NO_STATUS] * (len(STATUSES) - len(numbers))
        return parameters | {f"status_{at}": number for at, number in enumerate(numbers)}


class ListPlace(NamedTuple):
    """The last customer that was examined for a page: its segment, and its position there."""

    segment: int
    position: Position


class ListedPage(NamedTuple):
    """The encoded customers of a page, and where the next one begins if there may be one."""

    bodies: list[bytes]
    place: ListPlace | None


def equal_to(text: str) -> Span:
    """Returns the span of one text."""
    return Span(text, text + NEXT)


def beginning_with(prefix: str) -> Span:
    """Returns the span of the texts that begin with a prefix."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return Span(prefix, LAST_TEXT)
    following = chr(ord(stem[-1]) + 1)
    return Span(prefix, stem[:-1] + ("\ue000" if following == _SURROGATE else following))


def _bounds(name: str, span: Span) -> dict[str, object]:
    return {f"{name}_low": span.low, f"{name}_high": span.high}
