"""Requests that may be repeated: what makes one, and what makes two the same."""

import pytest
from google.protobuf.message import Message
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, AttributeGroup, Customer

from tests.support.steps import LATER, NOW, refusals
from twc_customer_server.api.idempotency import KeyedRequest
from twc_customer_server.customers import fields
from twc_customer_server.storage.idempotency import IdempotentRequest

CREATE = "CreateCustomer"


def read(*requests: Message, key: str = "key", rpc: str = CREATE) -> IdempotentRequest:
    """The request as one that may be repeated."""
    keyed = KeyedRequest(key, rpc, NOW)
    assert [*keyed.record(requests)] == [*requests]
    return keyed.identity()


def create(**fields: object) -> pb.CreateCustomerRequest:
    """A request to create a customer with fields."""
    return pb.CreateCustomerRequest(customer=Customer(**fields))  # type: ignore[arg-type] # any


@pytest.mark.parametrize("key", ["a", "a" * 255, "!~", '"quoted"', "0b6b1c9e-1d9b-4f7e-9c1d-8a2f"])
def test_key(key: str) -> None:
    """A key is up to 255 visible ASCII characters, and kept as it is."""
    assert read(create(), key=key).key == key


@pytest.mark.parametrize(
    "key", ["", " ", "a b", " a", "a" * 256, "\t", "a\n", "é", "\x7f", "\x00", "one, two"]
)
def test_bad_key(key: str) -> None:
    """Any other key is refused, rather than the request done as if it had none."""
    [violation] = refusals(lambda: KeyedRequest(key, CREATE, NOW))
    assert violation.field == "Idempotency-Key"


def test_moment_of_request() -> None:
    """A request knows when it came, in milliseconds."""
    request = KeyedRequest("key", CREATE, LATER).identity()
    assert request.now == fields.to_milliseconds(LATER)


def test_same_request() -> None:
    """The same content is the same request, in whatever order its maps come."""
    names = [f"group {number}" for number in range(50)]
    one = create(attribute_groups={name: AttributeGroup() for name in names})
    other = create(attribute_groups={name: AttributeGroup() for name in reversed(names)})
    assert read(one) == read(other)


# Requests of which no two are the same, each with its RPC.
DIFFERENT: list[tuple[str, list[Message]]] = [
    (CREATE, [create()]),
    (CREATE, [create(email="a")]),
    (CREATE, [create(email="b")]),
    (CREATE, [create(first_name="a")]),
    (CREATE, [create(email="a", active=False)]),
    (CREATE, [create(email="a", active=True)]),
    ("UpdateCustomer", [create(email="a")]),
    ("UploadCustomers", []),
    ("UploadCustomers", [create()]),
    ("UploadCustomers", [create(), create()]),
    ("UploadCustomers", [create(email="a"), create(email="b")]),
    ("UploadCustomers", [create(email="b"), create(email="a")]),
    ("UploadCustomers", [create(email="a", addresses=[Address()]), create(email="b")]),
    ("UploadCustomers", [create(email="a"), create(email="b", addresses=[Address()])]),
]


def test_different_requests() -> None:
    """Another content, another order and another RPC is another request."""
    digests = {read(*requests, rpc=rpc).digest for rpc, requests in DIFFERENT}
    assert len(digests) == len(DIFFERENT)
