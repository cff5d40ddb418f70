"""ListCustomers: which customers it lists, in which order, and page by page."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import AttributeGroup, Customer

from tests.api.samples import FULL
from tests.support.builders import customer
from tests.support.client import Client, failure
from twc_customer_server.storage.lists import MAX_LIST_BYTES

List = pb.ListCustomersRequest

# Filters that list the customer FULL.
FINDING = [
    "",
    "email = ada@EXAMPLE.com",
    "email = ADA*",
    "firstName = áda",
    "firstName = a*",
    "lastName = LOVELACE",
    "lastName = 'love*'",
    'mobile = "+49 170 123 45 67"',
    "mobile = +49170*",
    'phone = "+49 (30) 1234-5678"',
    "phone = +4930*",
    "customerRef = A-1",
    "customerRef = A*",
    "createdDate > 2020-01-01",
    "lastModifiedDate > 2020-01-01T00:00:00Z",
    "state = invited",
    "active = false",
    "accepts_marketing = true",
    "lastName = l* AND firstName = Ada AND state = invited AND createdDate >= 2020-01-01",
]
MISSING = [
    "email = ada@example.org",
    "email = lovelace*",
    "firstName = ad",
    "lastName = ada*",
    "mobile = +4930*",
    "customerRef = a*",
    "createdDate < 2020-01-01",
    "state = enabled",
    "active = true",
    "accepts_marketing = false",
    "lastName = l* AND state = enabled",
]


def names(customers: Any) -> list[str]:
    """The last names of customers."""
    return [it.last_name for it in customers]


def pages(client: Client, **fields: Any) -> Iterator[list[Customer]]:
    """Reads a list page by page."""
    token = ""
    while True:
        page = client.list_page(List(**fields, page_token=token))
        yield [*page.customers]
        token = page.next_page_token
        if not token:
            return


def _modified(changed: Customer) -> int:
    return changed.last_modified_date.ToMilliseconds()


@pytest.mark.parametrize("text", FINDING)
def test_list(client: Client, text: str) -> None:
    """Each kind of term, and several together, list the customer as it was created."""
    created = client.create(Customer(**FULL))
    assert client.list_page(List(filter=text)) == pb.ListCustomersResponse(customers=[created])


@pytest.mark.parametrize("text", MISSING)
def test_list_without_match(client: Client, text: str) -> None:
    """A customer that one term does not hold for is not listed."""
    client.create(Customer(**FULL))
    assert client.list_page(List(filter=text)) == pb.ListCustomersResponse()


def test_best_first(client: Client) -> None:
    """Names with other accents or apostrophes are listed after those that are spelled as asked."""
    for name in ("Müller", "Muller", "O\u2019Neil", "O'Neil"):
        client.create(customer(last_name=name))
    assert names(client.list_page(List(filter="lastName = Muller")).customers) == [
        "Muller",
        "Müller",
    ]
    assert names(client.list_page(List(filter="lastName = MÜL*")).customers) == [
        "Müller",
        "Muller",
    ]
    assert names(client.list_page(List(filter="lastName = o'neil")).customers) == [
        "O'Neil",
        "O\u2019Neil",
    ]
    lookup = pb.LookupCustomersRequest(last_name="Muller")
    assert names(client.lookup(lookup)) == ["Muller"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("", ["b", "", "Ä", "a"]),
        ("createdDate desc", ["a", "Ä", "", "b"]),
        ("lastName", ["", "a", "Ä", "b"]),
        ("lastName desc", ["b", "Ä", "a", ""]),
        ("lastModifiedDate", ["", "Ä", "a", "b"]),
        ("lastModifiedDate desc", ["b", "a", "Ä", ""]),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 4])
def test_order(client: Client, order: str, expected: list[str], size: int) -> None:
    """Customers come in the order that is asked for, by creation if none is, page by page."""
    first, *_, last = [client.create(customer(last_name=name)) for name in ("b", "", "Ä", "a")]
    change = Customer(id=first.id, first_name="Changed")
    while _modified(client.update(change)) <= _modified(last):
        pass  # Within the millisecond of the last creation.
    read_pages = [*pages(client, order_by=order, page_size=size)]
    assert names(it for page in read_pages for it in page) == expected
    assert len(read_pages) == -(-4 // size)


def test_other_tenants(client: Client, foreigner: Client) -> None:
    """No list has customers of another tenant, or takes its tokens."""
    for _ in range(2):
        client.create(customer(last_name="Same"))
    for text in ("", "lastName = s*", "state = disabled"):
        assert not foreigner.list_page(List(filter=text)).customers
    token = client.list_page(List(page_size=1)).next_page_token
    refused = failure(lambda: foreigner.list_page(List(page_token=token)))
    assert set(refused.fields) == {"pageToken"}


def test_deleted_customer(client: Client) -> None:
    """A deleted customer is in no list."""
    created = client.create(Customer(**FULL))
    client.delete(created.id)
    for text in FINDING:
        assert client.list_page(List(filter=text)) == pb.ListCustomersResponse()
    assert not client.list_page(List(order_by="lastModifiedDate")).customers


def test_region(channel: grpc.Channel) -> None:
    """The beginning of a national number is read in the tenant's default region."""
    german = Client(channel, "german")
    created = german.create(customer(mobile="0157/12345678"))
    assert [*german.list_page(List(filter="mobile = '0157 12*'")).customers] == [created]


def test_large_customers(client: Client) -> None:
    """A page of large customers ends early, so that the gateway has JSON of it soon."""
    note = {f"group-{n}": AttributeGroup(attribute_group="x" * 1000) for n in range(99)}
    client.upload(customer(attribute_groups=note) for _ in range(60))
    read_pages = [*pages(client, page_size=1000)]
    assert [len(page) for page in read_pages] == [10] * 6
    sizes = [pb.ListCustomersResponse(customers=page).ByteSize() for page in read_pages]
    assert MAX_LIST_BYTES - 100_000 < sizes[0] < MAX_LIST_BYTES


INVALID: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "filter": (
        {"filter": "lastName = mül* OR firstName = a*"},
        {"filter": "must have AND and another term, or the end, at character 17"},
    ),
    "order": (
        {"filter": "lastName = mül*", "order_by": "createdDate"},
        {"orderBy": "must be lastName or left out with terms of lastName"},
    ),
    "everything": (
        {"filter": "x", "order_by": "x", "page_size": -1, "page_token": "x"},
        {
            "filter": (
                "must have a field: email, mobile, phone, customerRef, alternateCustomerRef, "
                "firstName, lastName, createdDate, lastModifiedDate, state, active, "
                "accepts_marketing, at character 1"
            ),
            "orderBy": (
                "must be createdDate, lastModifiedDate or lastName, and may be followed by desc, "
                "as in createdDate desc"
            ),
            "pageSize": "must be from 1 to 1,000",
            "pageToken": "must be the nextPageToken of an earlier page",
        },
    ),
}


@pytest.mark.parametrize(("fields", "said"), INVALID.values(), ids=INVALID)
def test_invalid_list(client: Client, fields: dict[str, Any], said: dict[str, str]) -> None:
    """A list that cannot be read, or has no index, is refused with what would be right."""
    refused = failure(lambda: client.list_page(List(**fields)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.reason, refused.domain) == ("INVALID_INPUT", "customer.twc")
    assert refused.fields == said
