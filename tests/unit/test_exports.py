"""An export: how its request is read, the parts of its answer, and the tokens to resume with."""

from datetime import UTC, datetime
from functools import partial

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.steps import LATER, NOW, fields_of, refusals
from twc_customer_server.api import exports, page_tokens
from twc_customer_server.storage import export
from twc_customer_server.storage.export import Exported, Place

ID = "01938f6e-0000-7000-8000-000000000000"
TENANT = "acme"
SINCE = Timestamp(seconds=1_600_000_000, nanos=5_000_000)

REQUESTS = {
    "all": pb.ExportCustomersRequest(),
    "deleted": pb.ExportCustomersRequest(include_deleted=True),
    "since": pb.ExportCustomersRequest(modified_since=SINCE),
    "since, deleted": pb.ExportCustomersRequest(modified_since=SINCE, include_deleted=True),
    "since the epoch": pb.ExportCustomersRequest(modified_since=Timestamp()),
}
each_request = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)


def resumed(request: pb.ExportCustomersRequest, token: str) -> pb.ExportCustomersRequest:
    """A request that goes on where a token says."""
    twin = pb.ExportCustomersRequest()
    twin.CopyFrom(request)
    twin.resume_token = token
    return twin


def exported(size: int, customer_id: str = ID) -> Exported:
    """A customer of about some size that an export found."""
    return Exported(Place(customer_id, 7), None, b"x" * size)


@each_request
def test_token_of_a_part(request_: pb.ExportCustomersRequest) -> None:
    """A token goes on after its part, with the same bounds of time, whenever it comes."""
    export = exports.parse(request_, TENANT, NOW)
    part = [Exported(Place(ID, 42), None, b""), Exported(Place(ID.replace("0", "1"), 43), 5, b"")]
    token = exports.response(export, part).resume_token
    again = exports.parse(resumed(request_, token), TENANT, LATER)
    assert again == export._replace(after=part[-1].place)


@each_request
def test_token_of_nothing(request_: pb.ExportCustomersRequest) -> None:
    """The token of an empty part goes on where the export was."""
    export = exports.parse(request_, TENANT, NOW)
    token = exports.response(export, ()).resume_token
    assert exports.parse(resumed(request_, token), TENANT, LATER) == export


@each_request
def test_token_of_another_request(request_: pb.ExportCustomersRequest) -> None:
    """A token is refused for another request, and for another tenant."""
    token = exports.response(exports.parse(request_, TENANT, NOW), ()).resume_token
    others = [(TENANT, it) for it in REQUESTS.values() if it != request_]
    for tenant, other in [("other", request_), *others]:
        read = partial(exports.parse, resumed(other, token), tenant, NOW)
        assert fields_of(refusals(read)) == ["resumeToken"]


BIG = 2**64
PLACES = ["", "1", "1 2", "x 2 ", "1 x ", "1 2 x", f"1 2 {ID} 3", f"{BIG} 2 ", f"1 {BIG} "]
PLACES += [f"-{BIG} 2 ", f"1 -{BIG} ", f"{'9' * 5000} 2 ", "-62135596800000 2 ", "nan 2 "]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place[:20]))
def test_forged_token(place: str) -> None:
    """A token that names no place is refused, though it is made for the request."""
    token = page_tokens.make((TENANT, None, False), place)
    request = pb.ExportCustomersRequest(resume_token=token)
    assert fields_of(refusals(lambda: exports.parse(request, TENANT, NOW))) == ["resumeToken"]


@pytest.mark.parametrize("token", ["x", "é", "AAAA", "=", "A" * 100_000, "\x00"])
def test_no_token(token: str) -> None:
    """What is no token at all is refused."""
    request = pb.ExportCustomersRequest(resume_token=token)
    assert fields_of(refusals(lambda: exports.parse(request, TENANT, NOW))) == ["resumeToken"]


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
    assert fields_of(refusals(lambda: exports.parse(request, TENANT, NOW))) == ["modifiedSince"]


def test_since_between_milliseconds() -> None:
    """A time between two milliseconds is that of the first, so that nothing is missed."""
    since = Timestamp(seconds=1, nanos=999_999_999)
    export = exports.parse(pb.ExportCustomersRequest(modified_since=since), TENANT, NOW)
    assert (export.since, export.after.modified_at) == (1999, 1999)


def test_overlap_of_next_export() -> None:
    """The next export begins a minute before this one began."""
    moment = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    export = exports.parse(pb.ExportCustomersRequest(), TENANT, moment)
    as_of = exports.response(export, ()).as_of
    assert as_of.ToDatetime(UTC) == moment.replace(minute=5)


def test_response() -> None:
    """A part has customers whole, and of the deleted ones the id and the time alone."""
    body = Customer(id=ID, email="ada@example.com").SerializeToString()
    found = [Exported(Place(ID, 1), None, body), Exported(Place("gone", 2), 2, body)]
    answer = exports.response(exports.parse(REQUESTS["deleted"], TENANT, NOW), found)
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
