"""Answers as they are kept for repeats: small, and the same when they are unpacked."""

import os
import secrets
import zlib

import pytest
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2 import CreateCustomerRequest, UploadCustomersRequest

from tests.support import builders
from tests.support.steps import stored
from twc_customer_server.api import bulk
from twc_customer_server.api.packing import pack, unpack
from twc_customer_server.errors import InvalidInput, Violation

LARGE = os.urandom(1 << 20)


@pytest.mark.parametrize(
    ("parts", "request_parts"),
    [
        ([b"answer"], [b"request"]),
        ([b""], [b""]),
        ([b"", b"two", b"two"], [b"one", b"", b"three"]),
        ([LARGE], [b"request"]),
        ([LARGE, LARGE], [LARGE, LARGE]),
        ([], []),
    ],
    ids=["one", "empty", "several", "large", "several large", "none"],
)
def test_round_trip(parts: list[bytes], request_parts: list[bytes]) -> None:
    """An answer of any parts, to a request of as many, comes back as it was, joined."""
    assert unpack(pack(parts, request_parts), request_parts) == b"".join(parts)


def test_answer_of_older_server() -> None:
    """What older servers have kept is returned as it is: a customer, results, or nothing."""
    results = b"".join(bulk.encode(bulk.upload_results([stored()])))
    for kept in (stored().SerializeToString(), results, b""):
        assert unpack(kept, [b"request"]) == kept


def test_another_request() -> None:
    """An answer cannot be unpacked with another request than its own."""
    packed = pack([b"answer"], [b"request"])
    with pytest.raises(zlib.error):
        unpack(packed, [b"another"])


def test_size_of_created_customer() -> None:
    """Of a created customer little more is kept than its ids and times."""
    fields = {
        "email": "ada@example.com",
        "first_name": secrets.token_hex(100),
        "last_name": secrets.token_hex(100),
        "addresses": [{"city": "Berlin", "address1": secrets.token_hex(100)}],
    }
    request = CreateCustomerRequest(customer=Customer(**fields)).SerializeToString()  # type: ignore[arg-type] # any
    answer = stored(**fields).SerializeToString()

    assert len(answer) > 1000
    assert len(pack([answer], [request])) < 200


def test_size_of_upload_results() -> None:
    """Of an upload's results, errors included, less is kept than was sent."""
    error = InvalidInput([Violation(f"addresses[{n}]", "must be " + "x" * 50) for n in range(100)])
    customers = [builders.customer(first_name=f"Ada {n}" * 20) for n in range(100)]
    items = [
        UploadCustomersRequest(customer=customer).SerializeToString() for customer in customers
    ]
    outcomes = [
        stored(email=customer.email, first_name=customer.first_name) for customer in customers
    ]
    results = bulk.encode(bulk.upload_results([*outcomes[:50], *[error] * 50]))
    packed = pack(results, items)

    assert sum(map(len, results)) > 10 * len(packed)
    assert len(packed) < sum(map(len, items))
