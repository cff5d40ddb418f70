"""Entity tags: every answer with one customer has one, and requests make conditions of it."""

from collections.abc import Callable
from functools import partial

import grpc
import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.support.builders import UNKNOWN_ID, address, customer
from tests.support.client import Client, Failure, failure, read_failure
from tests.support.concurrency import at_once

Act = Callable[[Client, Customer], object]

# What changes a customer that has the reference A-1.
CHANGES: dict[str, Act] = {
    "update": lambda client, it: client.update(Customer(id=it.id, first_name="Eve")),
    "update by ref": lambda client, _: client.update(
        Customer(customer_ref="A-1", dob="2001-05-28")
    ),
    "add address": lambda client, it: client.add_address(it.id, address()),
    "merge": lambda client, it: client.merge(it.id, client.get_by_ref("B-1").id),
    "delete": lambda client, it: client.delete(it.id),
    "delete by ref": lambda client, _: client.delete_by_ref("A-1"),
    "delete by ref and id": lambda client, it: client.delete_by_ref("A-1", it.id),
}
READS: dict[str, Act] = {
    "get": lambda client, it: client.get(it.id),
    "get by ref": lambda client, _: client.get_by_ref("A-1"),
}
each_change = pytest.mark.parametrize("act", CHANGES.values(), ids=CHANGES)
each_read = pytest.mark.parametrize("act", READS.values(), ids=READS)

# What names the tag in the place of the braces, and what does not.
NAMING = ["{}", "W/{}", '"other", {}', '{},"other"', "*"]
STALE = ['"other"', '"one", W/"two"', '"*"']
# They name no version.
UNQUOTED = ["", "null", "other"]


def create(client: Client) -> Customer:
    """Stores the customer that the tests are about, and one to merge into it."""
    client.create(customer(customer_ref="B-1", first_name="Bob"))
    return client.create(customer(customer_ref="A-1"))


def test_tag_of_every_answer(client: Client) -> None:
    """Whatever answers with the customer as it is has the same tag, and each change another."""
    created = create(client)
    tags = [client.etag]
    for act in CHANGES.values():
        for read in READS.values():
            read(client, created)
            assert client.etag == tags[-1]
        act(client, created)
        if "etag" not in client.headers:
            break
        tags.append(client.etag)
    assert len(set(tags)) == len(tags) == 5


def test_no_tag_without_customer(client: Client) -> None:
    """A missing customer has no tag, whatever the condition."""
    assert client.given(if_none_match="*").get(UNKNOWN_ID) == Customer()
    client.get(UNKNOWN_ID)
    assert "etag" not in client.headers
    assert client.headers["x-http-code"] == "204"


@each_change
@pytest.mark.parametrize("condition", NAMING)
def test_if_match(client: Client, act: Act, condition: str) -> None:
    """A change whose condition names the customer as it is, is made."""
    created = create(client)
    act(client.given(if_match=condition.format(client.etag)), created)
    assert client.get(created.id) != created


@each_change
@pytest.mark.parametrize("condition", STALE)
def test_if_match_stale(client: Client, act: Act, condition: str) -> None:
    """A change whose condition names another version is refused, and changes nothing."""
    created = create(client)
    refused = failure(lambda: act(client.given(if_match=condition), created))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert refused.domain == "customer.twc"
    assert client.get_by_ref("A-1") == created


@each_change
@pytest.mark.parametrize("condition", UNQUOTED)
def test_if_match_without_a_tag(client: Client, act: Act, condition: str) -> None:
    """A condition that has no tag in quotes is refused as such, and changes nothing."""
    created = create(client)
    refused = failure(lambda: act(client.given(if_match=condition), created))
    assert (refused.code, [*refused.fields]) == (grpc.StatusCode.INVALID_ARGUMENT, ["If-Match"])
    assert client.get_by_ref("A-1") == created


@each_change
def test_if_match_of_before(client: Client, act: Act) -> None:
    """The tag of a version before the last is no leave to change."""
    created = create(client)
    before = client.etag
    updated = client.update(Customer(id=created.id, last_name="Lovelace"))
    assert failure(lambda: act(client.given(if_match=before), created)).reason == "ETAG_MISMATCH"
    assert client.get(created.id) == updated


@pytest.mark.parametrize("wrong", [Customer(dob="never"), Customer(email="taken@example.com")])
def test_if_match_before_the_rules(client: Client, wrong: Customer) -> None:
    """Of a version that is gone it is not told what else would be wrong with the change."""
    client.create(customer(email="taken@example.com"))
    wrong.id = create(client).id
    refused = failure(lambda: client.given(if_match='"other"').update(wrong))
    assert refused.reason == "ETAG_MISMATCH"


def test_if_match_missing(client: Client) -> None:
    """Without a customer there is nothing to match: updates say so, deletions succeed."""
    given = client.given(if_match='"other"')
    refused = failure(lambda: given.update(Customer(id=UNKNOWN_ID, first_name="Eve")))
    assert refused.reason == "RESOURCE_NOT_FOUND"
    given.delete(UNKNOWN_ID)
    assert given.headers["x-http-code"] == "204"


def test_if_match_foreign(client: Client, foreigner: Client) -> None:
    """A tag is no leave to change another tenant's customer."""
    created = create(client)
    given = foreigner.given(if_match=client.etag)
    refused = failure(lambda: given.update(Customer(id=created.id, first_name="Eve")))
    assert refused.reason == "RESOURCE_NOT_FOUND"
    given.delete(created.id)
    assert client.get(created.id) == created


@each_read
@pytest.mark.parametrize("condition", NAMING)
def test_if_none_match(client: Client, act: Act, condition: str) -> None:
    """Who has the customer as it is gets an empty one, with 304 and its tag."""
    created = create(client)
    tag = client.etag
    given = client.given(if_none_match=condition.format(tag))
    assert act(given, created) == Customer()
    assert given.headers["x-http-code"] == "304"
    assert given.etag == tag


@each_read
@pytest.mark.parametrize("condition", [*STALE, *UNQUOTED])
def test_if_none_match_stale(client: Client, act: Act, condition: str) -> None:
    """Who has another version gets the customer."""
    created = create(client)
    given = client.given(if_none_match=condition)
    assert act(given, created) == created
    assert "x-http-code" not in given.headers


def test_several_headers(client: Client) -> None:
    """Conditions in several headers are one list."""
    created = create(client)
    given = client.given(if_match='"other"').given(if_match=client.etag)
    assert given.update(Customer(id=created.id, first_name="Eve")).first_name == "Eve"


def test_if_match_at_once(client: Client) -> None:
    """Of 32 changes at once of what all have read, one is made, and the others are told."""
    created = create(client)
    given = [client.given(if_match=client.etag) for _ in range(32)]

    refused: list[Failure] = []

    def change(number: int) -> str:
        try:
            return given[number].update(Customer(id=created.id, last_name=str(number))).last_name
        except grpc.RpcError as error:
            refused.append(read_failure(error))
            return ""

    names = at_once([partial(change, number) for number in range(32)])
    [winner] = [name for name in names if name]
    assert client.get(created.id).last_name == winner
    assert [it.reason for it in refused] == ["ETAG_MISMATCH"] * 31
