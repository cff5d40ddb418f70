"""LookupCustomers: which customers it finds, in which order, and page by page."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.api.samples import FULL
from tests.support.builders import customer
from tests.support.client import Client, failure

Lookup = pb.LookupCustomersRequest

# Every parameter with a value that finds the customer FULL.
FINDING: dict[str, Any] = {
    "email": "ada@EXAMPLE.com",
    "first_name": "ADA",
    "last_name": "lovelace",
    "mobile": "+49 170 123 45 67",
    "phone": "+49 (30) 1234-5678",
}
LINK = re.compile('<(.*)>; rel="next"').fullmatch


@pytest.fixture(scope="session")
def crowd(channel: grpc.Channel) -> Client:
    """A client whose tenant has 1,001 customers with the last name Crowd."""
    client = Client(channel, "crowded")
    client.upload(customer(last_name="Crowd") for _ in range(1001))
    return client


def create_named(client: Client, last_name: str, count: int) -> list[Customer]:
    """Creates customers with one last name, numbered by their first names."""
    return [
        client.create(customer(first_name=str(number), last_name=last_name))
        for number in range(count)
    ]


@pytest.mark.parametrize("name", [*FINDING, "all"])
def test_lookup(client: Client, name: str) -> None:
    """Every parameter, and all together, find the customer that matches, and no other."""
    created = client.create(Customer(**FULL))
    client.create(customer(first_name="Eve", last_name="Kahn", phone="+493012345670"))
    parameters = FINDING if name == "all" else {name: FINDING[name]}
    assert client.lookup(Lookup(**parameters)) == [created]


@pytest.mark.parametrize("name", FINDING)
def test_lookup_with_partial_match(client: Client, name: str) -> None:
    """A customer that one of several parameters does not match is not found."""
    client.create(Customer(**FULL))
    other = "+493012345670" if name in ("mobile", "phone") else "eve@example.com"
    assert client.lookup(Lookup(**FINDING | {name: other})) == []


def test_lookup_order(client: Client) -> None:
    """Customers come in the order of their creation."""
    created = create_named(client, "Same", 9)
    assert client.lookup(Lookup(last_name="same")) == created


def test_lookup_pages(client: Client) -> None:
    """The pages of a lookup, each got by the token of the one before, hold every customer once."""
    created = create_named(client, "Same", 7)
    token, pages = "", []
    for _ in range(3):
        pages.append(client.lookup(Lookup(last_name="Same", page_size=3, page_token=token)))
        token = str(client.headers.get("x-next-page-token", ""))
    assert pages == [created[:3], created[3:6], created[6:]]
    assert token == ""
    assert "link" not in client.headers


def test_lookup_full_last_page(client: Client) -> None:
    """A page that ends with the last customer has no token and no link, though it is full."""
    created = create_named(client, "Same", 3)
    assert client.lookup(Lookup(last_name="Same", page_size=3)) == created
    assert not {"x-next-page-token", "link"} & set(client.headers)


def test_lookup_link(client: Client) -> None:
    """The link of the next page, relative to any prefix, repeats the parameters with the token."""
    name = 'Ümit & "Söhne" <+>'
    create_named(client, name, 2)
    client.lookup(Lookup(last_name=name, page_size=1, page_token=""))
    link = LINK(str(client.headers["link"]))
    assert link
    url = urlsplit(link[1])
    assert (url.scheme, url.netloc, url.path) == ("", "", "")
    assert dict(parse_qsl(url.query)) == {
        "lastName": name,
        "pageSize": "1",
        "pageToken": client.headers["x-next-page-token"],
    }


def test_lookup_link_of_next(client: Client) -> None:
    """The link of a later page has the later token in place of the request's."""
    create_named(client, "Same", 3)
    client.lookup(Lookup(last_name="Same", page_size=1))
    first = str(client.headers["x-next-page-token"])
    client.lookup(Lookup(last_name="Same", page_size=1, page_token=first))
    second = client.headers["x-next-page-token"]
    link = LINK(str(client.headers["link"]))
    assert second != first
    assert link
    assert dict(parse_qsl(urlsplit(link[1]).query))["pageToken"] == second


def test_lookup_long_names(client: Client) -> None:
    """Names as long as they may be are found page by page, by tokens if not by links."""
    name = "😀" * 1024
    created = [client.create(customer(first_name=name, last_name=name)) for _ in range(2)]
    request = Lookup(first_name=name, last_name=name, page_size=1)
    assert client.lookup(request) == created[:1]
    request.page_token = str(client.headers["x-next-page-token"])
    assert client.lookup(request) == created[1:]


@pytest.mark.parametrize(
    ("asked", "given"),
    [(None, 100), (0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)],
)
def test_lookup_page_size(crowd: Client, asked: int | None, given: int) -> None:
    """A page holds as many customers as asked for, 100 by default and 1,000 at most."""
    assert len(crowd.lookup(Lookup(last_name="Crowd", page_size=asked))) == given


def test_lookup_while_changing(client: Client) -> None:
    """Pages repeat and skip no customer, though customers come and go between them."""
    created = create_named(client, "Same", 6)
    request = Lookup(last_name="Same", page_size=3)
    assert client.lookup(request) == created[:3]
    request.page_token = str(client.headers["x-next-page-token"])
    client.delete(created[2].id)
    client.delete(created[3].id)
    late = client.create(customer(last_name="Same"))
    assert client.lookup(request) == [*created[4:], late]


def test_lookup_token_with_other_size(client: Client) -> None:
    """A token is good for a page of another size, and for another spelling of the same value."""
    created = create_named(client, "Same", 3)
    client.lookup(Lookup(last_name="Same", page_size=1))
    token = str(client.headers["x-next-page-token"])
    assert client.lookup(Lookup(last_name="SAME", page_size=9, page_token=token)) == created[1:]


@pytest.mark.parametrize(
    "parameters", [{"last_name": "Other"}, {"first_name": "Same"}, {"email": "same@example.com"}]
)
def test_lookup_token_of_other_query(client: Client, parameters: dict[str, Any]) -> None:
    """A token is refused with other parameters than it was given for."""
    create_named(client, "Same", 2)
    client.lookup(Lookup(last_name="Same", page_size=1))
    token = str(client.headers["x-next-page-token"])
    refused = failure(lambda: client.lookup(Lookup(page_token=token, **parameters)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refused.fields) == {"pageToken"}


def test_lookup_token_of_other_tenant(client: Client, foreigner: Client) -> None:
    """A token is refused for another tenant."""
    create_named(client, "Same", 2)
    client.lookup(Lookup(last_name="Same", page_size=1))
    token = str(client.headers["x-next-page-token"])
    refused = failure(lambda: foreigner.lookup(Lookup(last_name="Same", page_token=token)))
    assert set(refused.fields) == {"pageToken"}


@pytest.mark.parametrize("token", ["x", "AAAA", "A" * 72, "=", "😀", "a b", "A" * 10_000])
def test_lookup_no_token(client: Client, token: str) -> None:
    """What is no token is refused."""
    refused = failure(lambda: client.lookup(Lookup(last_name="Same", page_token=token)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.reason == "INVALID_INPUT"
    assert set(refused.fields) == {"pageToken"}


# Lookups that cannot be read, and the parameters that are at fault.
INVALID: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no parameter": ({}, {"email"}),
    "page size alone": ({"page_size": 3}, {"email"}),
    "malformed email": ({"email": "ada"}, {"email"}),
    "blank email": ({"email": " "}, {"email"}),
    "empty first name": ({"first_name": ""}, {"firstName"}),
    "long last name": ({"last_name": "x" * 1025}, {"lastName"}),
    "national mobile": ({"mobile": "0151 12345678"}, {"mobile"}),
    "malformed phone": ({"phone": "none"}, {"phone"}),
    "negative page size": ({"last_name": "Same", "page_size": -1}, {"pageSize"}),
    "several": (
        {"email": "", "first_name": "\x00", "mobile": "1", "page_size": -1, "page_token": "x"},
        {"email", "firstName", "mobile", "pageSize", "pageToken"},
    ),
}


@pytest.mark.parametrize(("parameters", "named"), INVALID.values(), ids=INVALID)
def test_lookup_invalid(client: Client, parameters: dict[str, Any], named: set[str]) -> None:
    """A lookup that cannot be read is refused with every parameter that is at fault."""
    refused = failure(lambda: client.lookup(Lookup(**parameters)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.reason, refused.domain) == ("INVALID_INPUT", "customer.twc")
    assert set(refused.fields) == named
