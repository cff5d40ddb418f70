"""UploadCustomers with `atomic`: a list that is stored as a whole or not at all."""

from typing import Any

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.backends import any_backend
from tests.support.builders import customer
from tests.support.client import Client, Failure, failure

BY_NAME = pb.LookupCustomersRequest(last_name="Upload")
INVALID, EXISTS = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS

# What keeps one customer out, where owner@example.com is there; the fields that are named of it.
FAULTS: dict[str, tuple[dict[str, Any], grpc.StatusCode, set[str]]] = {
    "invalid": ({"mobile": "12"}, INVALID, {"mobile"}),
    "several": (
        {"email": "x", "addresses": [{"city": "Rom"}, {"country_code": "XX"}]},
        INVALID,
        {"email", "addresses[1].countryCode"},
    ),
    "nothing": ({"email": None}, INVALID, {"email"}),
    "clash": ({"email": "Owner@example.com"}, EXISTS, {"email"}),
    "clash within": ({"email": "FIRST@example.com"}, EXISTS, {"email"}),
    "two clashes": (
        {"email": "owner@example.com", "customer_ref": "first"},
        EXISTS,
        {"email", "customerRef"},
    ),
}


def refuse(client: Client, *customers: Customer | None) -> Failure:
    """Uploads a list that is refused as a whole, and asserts that nothing of it is stored."""
    before = client.lookup(BY_NAME)
    refused = failure(lambda: client.upload(customers, atomic=True))
    assert client.lookup(BY_NAME) == before
    assert refused.domain == "customer.twc"
    return refused


def first() -> Customer:
    """A customer that can be stored."""
    return customer(email="first@example.com", customer_ref="first", last_name="Upload")


def test_valid_list(client: Client) -> None:
    """A list without a fault is stored as without `atomic`, and answered with 201."""
    given = [customer(first_name=str(number), last_name="Upload") for number in range(50)]
    results = client.upload(given, atomic=True)
    assert client.headers["x-http-code"] == "201"
    assert [it.customer.email for it in results] == [it.email for it in given]
    assert client.lookup(BY_NAME) == [it.customer for it in results]


def test_empty_list(client: Client) -> None:
    """An empty list is stored as a whole."""
    assert client.upload([], atomic=True) == []
    assert client.headers["x-http-code"] == "201"


@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize(("fields", "code", "named"), FAULTS.values(), ids=FAULTS)
def test_list_with_one_fault(
    client: Client, fields: dict[str, Any], code: grpc.StatusCode, named: set[str], place: int
) -> None:
    """One customer that cannot be stored, in the middle or last, keeps all others out."""
    client.create(customer(email="owner@example.com"))
    items = [first(), customer(last_name="Upload")]
    items.insert(place, customer(**{"last_name": "Upload"} | fields))
    refused = refuse(client, *items)
    reason = {INVALID: "INVALID_INPUT", EXISTS: "ALREADY_EXISTS"}[code]
    assert (refused.code, refused.reason) == (code, reason)
    # Of two in one list that clash the first wins.
    told = refused.fields if code is INVALID else refused.owners
    assert set(told) == {f"[{place}].{field}" for field in named}
    # Nothing of it stands in the way afterwards.
    results = client.upload([first(), customer(last_name="Upload")], atomic=True)
    assert [it.HasField("customer") for it in results] == [True, True]


def test_every_violation(client: Client) -> None:
    """The error names every fault of every customer; `null` and blank items keep their places."""
    client.create(customer(email="owner@example.com"))
    refused = refuse(
        client,
        None,
        first(),
        Customer(),
        customer(email="owner@example.com"),
        customer(mobile="12", dob="never"),
        customer(email="First@example.com"),
    )
    assert refused.code is INVALID
    assert set(refused.fields) == {
        "[0].email",
        "[2].email",
        "[3].email",
        "[4].mobile",
        "[4].dob",
        "[5].email",
    }
    assert "[1]" in refused.fields["[5].email"]


def test_owners_in_clashes(client: Client) -> None:
    """Where nothing but clashes is wrong, each names who has the value: by id or by place."""
    owner = client.create(customer(email="owner@example.com", phone="+493012345678"))
    refused = refuse(
        client,
        first(),
        customer(email="owner@example.com", phone="+49 30 12345678"),
        customer(email="first@example.com"),
    )
    assert refused.code is EXISTS
    assert refused.owners == {"[1].email": owner.id, "[1].phone": owner.id, "[2].email": "[0]"}
    assert len(refused.resources) == 3


def test_atomic_in_first_item(client: Client) -> None:
    """What the first item says of `atomic` counts for all."""
    mixed = [customer(last_name="Upload"), None]
    upload, atomic = (
        [
            pb.UploadCustomersRequest(customer=it, atomic=(place == 0) is wanted)
            for place, it in enumerate(mixed)
        ]
        for wanted in (False, True)
    )
    assert failure(lambda: client.send_upload(atomic)).code is INVALID
    outcomes = [it.WhichOneof("outcome") for it in client.send_upload(upload)]
    assert outcomes == ["customer", "error"]
    assert len(client.lookup(BY_NAME)) == 1


@any_backend
def test_too_many_customers(client: Client) -> None:
    """A list that is too long names the RPC that takes any number."""
    refused = refuse(client, *[customer()] * 10_001)
    assert (refused.code, refused.reason) == (INVALID, "REQUEST_TOO_LARGE")
    assert "ImportCustomers" in refused.message


@pytest.mark.parametrize(
    ("backend", "fault"),
    [("sqlite", "violations"), ("postgresql", "clashes")],
    indirect=["backend"],
)
def test_10000_faults(client: Client, fault: str) -> None:
    """The error of 10,000 customers of which none can be stored reaches the client."""
    if fault == "clashes":
        client.create(customer(email="owner@example.com", customer_ref="first"))
        bad = customer(email="owner@example.com", customer_ref="first")
    else:
        bad = customer(email="x", mobile="12", addresses=[{"country_code": "XX"}] * 3)
    refused = refuse(client, *[bad] * 10_000)
    assert refused.code is (EXISTS if fault == "clashes" else INVALID)
    assert "more)" in refused.message
    assert len(refused.fields) + len(refused.owners) > 10
