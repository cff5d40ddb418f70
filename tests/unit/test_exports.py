"""An export: how its request is read, the parts of its answer, and the tokens to resume with."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.steps import LATER, NOW, fields_of, refusals
from twc_customer_server.api import cursors, exports, page_tokens
from twc_customer_server.api.exports import ExportRequest
from twc_customer_server.errors import CursorExpired
from twc_customer_server.storage import export
from twc_customer_server.storage.changes import ChangePlace, Position
from twc_customer_server.storage.export import Exported, Order, Place

ID = "01938f6e-0000-7000-8000-000000000000"
TENANT = "acme"
SINCE = Timestamp(seconds=1_600_000_000, nanos=5_000_000)
POSITION = Position("cafe", 70)
CURSOR = cursors.make(TENANT, cursors.Cursor("cafe", ChangePlace(7, ID)))

REQUESTS = {
    "all": pb.ExportCustomersRequest(),
    "deleted": pb.ExportCustomersRequest(include_deleted=True),
    "since": pb.ExportCustomersRequest(modified_since=SINCE),
    "since, deleted": pb.ExportCustomersRequest(modified_since=SINCE, include_deleted=True),
    "since the epoch": pb.ExportCustomersRequest(modified_since=Timestamp()),
    "after a cursor": pb.ExportCustomersRequest(cursor=CURSOR),
    "after a cursor, deleted": pb.ExportCustomersRequest(cursor=CURSOR, include_deleted=True),
}
each_request = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)


def resumed(request: pb.ExportCustomersRequest, token: str) -> pb.ExportCustomersRequest:
    """A request that goes on where a token says."""
    twin = pb.ExportCustomersRequest()
    twin.CopyFrom(request)
    twin.resume_token = token
    return twin


def parsed(
    request: pb.ExportCustomersRequest,
    now: datetime = NOW,
    position: Position = POSITION,
    tenant: str = TENANT,
) -> exports.ExportRequest:
    """A request as it is read when the tenant's changes are at a position."""
    return exports.parse(request, tenant, lambda: (position, ID), now)


def exported(size: int, customer_id: str = ID) -> Exported:
    """A customer of about some size that an export found."""
    return Exported(Place(7, customer_id), None, b"x" * size)


def responded(request_: ExportRequest, part: Iterable[Exported]) -> pb.ExportCustomersResponse:
    """The response with a part of an export."""
    return pb.ExportCustomersResponse.FromString(exports.response(request_, part))


@each_request
def test_token_of_a_part(request_: pb.ExportCustomersRequest) -> None:
    """A token goes on after its part, with the same bounds of time, whenever it comes."""
    begun = parsed(request_)
    last = ID.replace("0", "1")
    place = Place(last if begun.export.order is Order.ID else 43, last)
    part = [exported(0), Exported(place, 5, b"")]
    token = responded(begun, part).resume_token
    again = parsed(resumed(request_, token), LATER, Position("cafe", 90))
    assert again == begun._replace(export=begun.export._replace(after=place))


@each_request
def test_token_of_nothing(request_: pb.ExportCustomersRequest) -> None:
    """The token of an empty part goes on where the export was."""
    begun = parsed(request_)
    token = responded(begun, ()).resume_token
    assert parsed(resumed(request_, token), LATER, Position("cafe", 90)) == begun


@each_request
def test_token_of_another_request(request_: pb.ExportCustomersRequest) -> None:
    """A token is refused for another request, and for another tenant."""
    token = responded(parsed(request_), ()).resume_token
    others = [(TENANT, it) for it in REQUESTS.values() if it != request_]
    if not request_.HasField("cursor"):
        others.append(("other", request_))
    for tenant, other in others:
        read = partial(parsed, resumed(other, token), tenant=tenant)
        assert fields_of(refusals(read)) == ["resumeToken"]


BIG = 2**64
GOOD = ["1", "cafe", "2", ID, "3", ID]
BAD = [
    (0, "x"),
    (0, BIG),
    (0, -BIG),
    (0, "9" * 400),
    (0, "9" * 5000),
    (0, "-62135596800000"),
    (0, "nan"),
]
BAD += [(2, "x"), (2, BIG), (3, "x"), (4, "x"), (4, BIG), (4, -BIG), (5, "x"), (5, f"{ID} 3")]
PLACES = ["", "1", "1 cafe", " ".join(GOOD[:5])]
PLACES += [" ".join([*GOOD[:at], str(bad), *GOOD[at + 1 :]]) for at, bad in BAD]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place[:60]))
def test_forged_token(place: str) -> None:
    """A token that names no place is refused, though it is made for the request."""
    token = page_tokens.make(parsed(REQUESTS["since"]).scope, place)
    request = resumed(REQUESTS["since"], token)
    assert fields_of(refusals(lambda: parsed(request))) == ["resumeToken"]


@pytest.mark.parametrize("token", ["x", "é", "AAAA", "=", "A" * 100_000, "\x00"])
def test_no_token(token: str) -> None:
    """What is no token at all is refused."""
    request = pb.ExportCustomersRequest(resume_token=token)
    assert fields_of(refusals(lambda: parsed(request))) == ["resumeToken"]


@pytest.mark.parametrize(
    "since",
    [
        Timestamp(seconds=2**63 - 1),
        Timestamp(seconds=-(2**63)),
        Timestamp(nanos=-1),
        Timestamp(nanos=1_000_000_000),
    ],
)
def test_bad_since(since: Timestamp) -> None:
    """A time that there is not is refused."""
    request = pb.ExportCustomersRequest(modified_since=since)
    assert fields_of(refusals(lambda: parsed(request))) == ["modifiedSince"]


def test_since_between_milliseconds() -> None:
    """A time between two milliseconds is that of the first, so that nothing is missed."""
    since = Timestamp(seconds=1, nanos=999_999_999)
    begun = parsed(pb.ExportCustomersRequest(modified_since=since))
    assert begun.export.after == Place(1999)


def test_overlap_of_next_export() -> None:
    """The next export begins a minute before this one began."""
    moment = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    as_of = responded(parsed(pb.ExportCustomersRequest(), moment), ()).as_of
    assert as_of.ToDatetime(UTC) == moment.replace(minute=5)


@pytest.mark.parametrize(
    ("cursor", "field"),
    [("x", "cursor"), (cursors.make("other", cursors.Cursor("cafe", ChangePlace(7))), "cursor")],
)
def test_bad_cursor(cursor: str, field: str) -> None:
    """What is no cursor, or one of another tenant, is refused."""
    request = pb.ExportCustomersRequest(cursor=cursor)
    assert fields_of(refusals(lambda: parsed(request))) == [field]


def test_cursor_beside_a_time() -> None:
    """A cursor and a time say two things."""
    request = pb.ExportCustomersRequest(cursor=CURSOR, modified_since=SINCE)
    assert fields_of(refusals(lambda: parsed(request))) == ["modifiedSince"]


@pytest.mark.parametrize("position", [Position("f00d", 70), Position("cafe", 5)])
def test_cursor_of_another_database(position: Position) -> None:
    """A cursor is refused by a database that numbers changes anew, or has not come so far."""
    with pytest.raises(CursorExpired):
        parsed(REQUESTS["after a cursor"], position=position)


def test_next_cursor() -> None:
    """The next export begins after all changes up to the position of this one."""
    response = responded(parsed(REQUESTS["all"]), ())
    begun = parsed(pb.ExportCustomersRequest(cursor=response.next_cursor))
    assert begun.export.after == Place(71)


def test_response() -> None:
    """A part has customers whole, and of the deleted ones the id and the time alone."""
    body = Customer(id=ID, email="ada@example.com").SerializeToString()
    found = [Exported(Place(ID, ID), None, body), Exported(Place("gone", "gone"), 2, body)]
    answer = responded(parsed(REQUESTS["deleted"]), found)
    assert [it.email for it in answer.customers] == ["ada@example.com"]
    assert [(it.id, it.delete_time.ToMilliseconds()) for it in answer.tombstones] == [("gone", 2)]


MIB = export.PART_BYTES
PARTS: dict[str, tuple[list[int], list[list[int]]]] = {
    "none": ([], []),
    "one": ([1], [[1]]),
    "just": ([MIB - 1, 1], [[MIB - 1, 1]]),
    "beyond": ([MIB - 1, 2], [[MIB - 1], [2]]),
    "too large": ([1, MIB + 1, 1], [[1], [MIB + 1], [1]]),
    "many": ([MIB // 2] * 5, [[MIB // 2] * 2, [MIB // 2] * 2, [MIB // 2]]),
}


@pytest.mark.parametrize(("sizes", "parts"), PARTS.values(), ids=PARTS)
def test_size_of_parts(sizes: list[int], parts: list[list[int]]) -> None:
    """Parts have a mebibyte at most, or one customer that is larger; none is empty."""
    found = [exported(size) for size in sizes]
    assert [[len(it.body) for it in part] for part in export.parts(found)] == parts
