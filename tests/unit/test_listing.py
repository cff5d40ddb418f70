"""What a list asks for: the index that serves it, and how its pages go on."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2 import ListCustomersRequest, ListCustomersResponse

from tests.support.steps import ANY_TEXT, EXAMPLES, fields_of, refusals, stored
from twc_customer_server.api import listing
from twc_customer_server.api.listing import Query
from twc_customer_server.errors import Violation
from twc_customer_server.storage.listing import (
    ListedPage,
    Listing,
    ListPlace,
    Span,
    beginning_with,
    equal_to,
)

TENANT = "acme"
ID = "01938f6e-0000-7000-8000-0000000000ff"

# Filter and order, the field whose index serves them, and whether that is read backwards.
SERVED: dict[str, tuple[str, str, str, bool]] = {
    "nothing": ("", "", "createdDate", False),
    "newest first": ("", "createdDate desc", "createdDate", True),
    "ascending": ("", " created_date  asc ", "createdDate", False),
    "changed last": ("", "lastModifiedDate desc", "lastModifiedDate", True),
    "by name": ("", "lastName", "lastName", False),
    "by name backwards": ("", "last_name desc", "lastName", True),
    "state": ("state = invited", "", "createdDate", False),
    "state by name": ("state = invited", "lastName desc", "lastName", True),
    "created": ("createdDate > 2026-01-01", "", "createdDate", False),
    "modified": ("lastModifiedDate > 2026-01-01", "", "lastModifiedDate", False),
    "modified, backwards": (
        "lastModifiedDate > 2026-01-01",
        "lastModifiedDate desc",
        "lastModifiedDate",
        True,
    ),
    "both dates": (
        "lastModifiedDate > 2026-01-01 AND createdDate > 2026-01-01",
        "",
        "createdDate",
        False,
    ),
    "both dates, the other": (
        "lastModifiedDate > 2026-01-01 AND createdDate > 2026-01-01",
        "lastModifiedDate",
        "lastModifiedDate",
        False,
    ),
    "last name": ("lastName = K*", "", "lastName", False),
    "last name backwards": ("lastName = K*", "lastName desc", "lastName", True),
    "first name": ("firstName = A*", "", "firstName", False),
    "longer prefix": ("lastName = K* AND firstName = Ad*", "", "firstName", False),
    "whole name": ("lastName = King AND firstName = Adelhei*", "", "lastName", False),
    "last name asked for": ("lastName = K* AND firstName = Ada", "lastName", "lastName", False),
    "prefix of email": ("email = ada* AND state = invited", "", "email", False),
    "prefix of reference": ("customerRef = A*", "", "customerRef", False),
    "prefix of alternate reference": (
        "alternateCustomerRef = A*",
        "",
        "alternateCustomerRef",
        False,
    ),
    "prefix of mobile": ("mobile = +49*", "", "mobile", False),
    "prefix of phone": ("phone = +49*", "", "phone", False),
    "whole email": ("email = ada@example.com AND lastName = King", "", "email", False),
    "whole email in any order": (
        "email = ada@example.com",
        "createdDate desc",
        "email",
        False,
    ),
    "whole reference": ("lastName = K* AND customerRef = A", "lastName", "customerRef", False),
}

ORDERS = (
    "must be createdDate, lastModifiedDate or lastName, and may be followed by desc, "
    "as in createdDate desc"
)
NOT_SERVED: dict[str, tuple[str, str, str]] = {
    "no order": ("", "email", ORDERS),
    "two orders": ("", "lastName, createdDate", ORDERS),
    "no direction": ("", "lastName down", ORDERS),
    "long order": ("", "lastName" + " " * 2000, ORDERS),
    "name by date": (
        "lastName = K*",
        "createdDate",
        "must be lastName or left out with terms of lastName",
    ),
    "whole name by date": (
        "lastName = King",
        "createdDate",
        "must be lastName or left out with terms of lastName",
    ),
    "first name by last name": (
        "firstName = A*",
        "lastName",
        "must be left out with terms of firstName",
    ),
    "email by date": (
        "email = a* AND firstName = A*",
        "createdDate",
        "must be left out with terms of email and firstName",
    ),
    "created by modified": (
        "createdDate > 2026-01-01",
        "lastModifiedDate",
        "must be createdDate with a range of createdDate, or be left out",
    ),
    "modified by name": (
        "lastModifiedDate > 2026-01-01 AND state = invited",
        "lastName",
        "must be lastModifiedDate with a range of lastModifiedDate, or be left out",
    ),
    "dates by name": (
        "createdDate > 2026-01-01 AND lastModifiedDate > 2026-01-01",
        "lastName",
        (
            "must be createdDate or lastModifiedDate with a range of createdDate and "
            "lastModifiedDate, or be left out"
        ),
    ),
}

NOT_A_TOKEN = "must be the nextPageToken of an earlier page"  # noqa: S105 - a message
ANOTHER_LIST = "belongs to another list; repeat the filter and the order of that one"
BY_NAME = {"filter": "lastName = K*"}


def read(tenant: str = TENANT, **fields: Any) -> Query:
    """A request as it is read."""
    return listing.parse(ListCustomersRequest(**fields), tenant, "DE")


def token(place: ListPlace, **fields: Any) -> str:
    """The token of a place in the list of a request."""
    page = ListedPage([], place)
    return responded(read(**fields).listing, page).next_page_token


def responded(of: Listing, page: ListedPage) -> ListCustomersResponse:
    """The response with a page."""
    return ListCustomersResponse.FromString(listing.response(TENANT, of, page))


@pytest.mark.parametrize(("text", "order", "field", "is_descending"), SERVED.values(), ids=SERVED)
def test_index_of_list(text: str, order: str, field: str, is_descending: bool) -> None:  # noqa: FBT001
    """A list goes by the index that has its order, or finds few customers."""
    query = read(filter=text, order_by=order)
    assert (query.listing.field, query.listing.is_descending) == (field, is_descending)
    assert query.listing.segments


@pytest.mark.parametrize(("text", "order", "said"), NOT_SERVED.values(), ids=NOT_SERVED)
def test_list_without_index(text: str, order: str, said: str) -> None:
    """A list that no index serves is refused with what can be asked instead."""
    assert refusals(lambda: read(filter=text, order_by=order)) == [Violation("orderBy", said)]


# Filter and order; where each segment begins, and whether its names are spelled as asked; and how
# they are spelled then.
Begun = tuple[tuple[str, ...], bool | None]
SEGMENTS: dict[str, tuple[str, str, list[Begun], str]] = {
    "whole name": (
        "lastName = Müller",
        "",
        [
            (("muller", "müller", ""), None),
            (("muller", "", ""), None),
            (("muller", "müller\x01", ""), None),
        ],
        "",
    ),
    "prefix": ("lastName = Mü*", "", [(("mu", "", ""), True), (("mu", "", ""), False)], "mü"),
    "prefix in an order": ("lastName = Mü*", "lastName", [(("mu", "", ""), None)], ""),
}


@pytest.mark.parametrize(("text", "order", "segments", "spelled"), SEGMENTS.values(), ids=SEGMENTS)
def test_best_first(text: str, order: str, segments: list[Begun], spelled: str) -> None:
    """Names that are spelled as asked come before others, unless an order is asked for."""
    walk = read(filter=text, order_by=order).listing
    assert [(segment.span.low, segment.is_spelled) for segment in walk.segments] == segments
    assert walk.spelling == beginning_with(spelled)


def test_other_terms() -> None:
    """Terms beside the one whose index is read are conditions on what is read."""
    query = read(
        filter="lastName = K* AND firstName = Zoë AND createdDate < 1970-01-02 AND state = invited"
    ).listing
    assert query.field == "firstName"
    assert query.texts == {"lastName": beginning_with("k")}
    assert query.dates["createdDate"].high == 86_400_000
    assert {status.state for status in query.statuses} == {Customer.invited}


@pytest.mark.parametrize(
    ("given_size", "size"),
    [(0, 100), (1, 1), (999, 999), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)],
)
def test_page_size(given_size: int, size: int) -> None:
    """A page has 100 customers unless another size is given, and at most 1,000."""
    assert read(page_size=given_size).size == size


def test_several_violations() -> None:
    """Everything that is wrong with a list is said at once."""
    violations = refusals(
        lambda: read(filter="(", order_by="email", page_size=-1, page_token="x")  # noqa: S106
    )
    assert fields_of(violations) == ["orderBy", "filter", "pageSize", "pageToken"]


PLACES: dict[str, tuple[dict[str, str], ListPlace]] = {
    "by date": ({}, ListPlace(0, (-5, ID))),
    "by last name": (BY_NAME, ListPlace(1, ("king", "kíng", ID))),
    "no last name": ({"order_by": "lastName"}, ListPlace(0, ("", "", ID))),
    "longest name": (BY_NAME, ListPlace(1, ("😀" * 128, "😀" * 128, ID))),
    "by email": ({"filter": "email = a*"}, ListPlace(0, ("ada@example.com",))),
}


@pytest.mark.parametrize(("fields", "place"), PLACES.values(), ids=PLACES)
def test_page_token(fields: dict[str, str], place: ListPlace) -> None:
    """A token leads to what comes after the last customer that was examined for its page."""
    assert read(**fields, page_token=token(place, **fields), page_size=7).after == place


def test_page_token_of_same_list() -> None:
    """A token is bound to what is asked for, and not to its spelling."""
    place = ListPlace(0, ("king", "king", ID))
    given_token = token(place, filter="lastName = K* AND state = invited")
    again = ' customer_state="invited" AND last_name = "k*"'
    assert read(filter=again, page_token=given_token).after == place


@pytest.mark.parametrize(
    "fields",
    [
        {"filter": "lastName = L*"},
        {"filter": "lastName = K"},
        {"filter": "firstName = K*"},
        {"filter": "lastName = K* AND active = true"},
        {"filter": "lastName = K* AND createdDate > 2026-01-01"},
        {"filter": "lastName = K*", "order_by": "lastName"},
        {},
        {"filter": "lastName = K*", "tenant": "other"},
    ],
    ids=str,
)
def test_page_token_of_another_list(fields: dict[str, str]) -> None:
    """A token is good only for its tenant, its filter and its order."""
    given_token = token(ListPlace(0, ("king", "king", ID)), **BY_NAME)
    assert refusals(lambda: read(**fields, page_token=given_token)) == [
        Violation("pageToken", ANOTHER_LIST)
    ]


FORGED = {
    "no segment": ListPlace(-1, ("king", "king", ID)),
    "another segment": ListPlace(2, ("king", "king", ID)),
    "NUL": ListPlace(0, ("ki\0ng", "king", ID)),
    "no id": ListPlace(0, ("king", "king", "x")),
    "too few values": ListPlace(0, (5, ID)),
    "too many values": ListPlace(0, ("king", "king", "king", ID)),
    "no time": ListPlace(0, ("king", ID)),
    "long": ListPlace(0, ("x" * 2000, "king", ID)),
}


@pytest.mark.parametrize("place", FORGED.values(), ids=FORGED)
def test_forged_page_token(place: ListPlace) -> None:
    """A token with a place that its list does not have is refused."""
    forged = token(place, **BY_NAME)
    assert refusals(lambda: read(**BY_NAME, page_token=forged)) == [
        Violation("pageToken", NOT_A_TOKEN)
    ]


@EXAMPLES
@given(
    ANY_TEXT.filter(bool)
    | st.binary(min_size=1).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
def test_made_up_page_token(made_up: str) -> None:
    """Whatever is made up in place of a token is refused, and never fails otherwise."""
    assert fields_of(refusals(lambda: read(page_token=made_up))) == ["pageToken"]


def test_response() -> None:
    """A page has its customers as they are stored, and a token if another may follow."""
    customers = [stored(first_name=name) for name in ("Ada", "Bob")]
    bodies = [customer.SerializeToString() for customer in customers]
    last = responded(read().listing, ListedPage(bodies, None))
    assert [*last.customers] == customers
    assert not last.HasField("next_page_token")


CODE_POINTS = st.characters(exclude_categories=["Cs"], min_codepoint=2)


@EXAMPLES
@given(st.text(CODE_POINTS, min_size=1), st.text(CODE_POINTS | st.just("\U0010ffff")))
def test_span_of_prefix(begin: str, other: str) -> None:
    """The texts between the bounds of a prefix are those that begin with it."""

    def is_in(text: str, span: Span) -> bool:
        return bool(span.low <= text < span.high)

    for text in (begin, begin + other, other, begin[:-1] + other):
        assert is_in(text, beginning_with(begin)) == text.startswith(begin)
        assert is_in(text, equal_to(begin)) == (text == begin)


@pytest.mark.parametrize("begin", ["\ud7ff", "a\U0010ffff", "\U0010ffff"])
def test_span_of_last_characters(begin: str) -> None:
    """A prefix that ends with the last of some characters has bounds that UTF-8 can express."""
    span = beginning_with(begin)
    assert span.low < begin + "x" < span.high
    span.high.encode()


def test_default_listing() -> None:
    """A list without terms admits customers of every status."""
    assert len({status.number for status in Listing("createdDate", ()).statuses}) == 16
