"""An import: what a batch may hold, and when a customer is the same as one that is there."""

from datetime import datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.steps import LATER, NOW, fields_of, refusals
from twc_customer_server.api import bulk, imports
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import has_same_values, prepare_new, set_server_fields
from twc_customer_server.errors import (
    AlreadyExists,
    Clash,
    InvalidInput,
    RequestTooLarge,
    Violation,
)
from twc_customer_server.storage.upserts import Unchanged

GIVEN: dict[str, Any] = {
    "email": "ada@example.com",
    "first_name": "Ada",
    "mobile": "+491701234567",
    "accepts_marketing": True,
    "addresses": [{"city": "Berlin"}, {"city": "London", "default_address": True}],
    "attribute_groups": {"shoe": {"attributes": {"size": {"attribute_value": "42"}}}},
}
MOMENT = Timestamp(seconds=1_600_000_000, nanos=1_000_000)

# What is said otherwise than in GIVEN.
OTHER: dict[str, dict[str, Any]] = {
    "field": {"first_name": "Augusta"},
    "one more field": {"last_name": "Lovelace"},
    "flag": {"active": False},
    "address": {"addresses": [{"city": "Berlin"}]},
    "order of addresses": {"addresses": [*reversed(GIVEN["addresses"])]},
    "default address": {"addresses": [{"city": "Berlin"}, {"city": "London"}]},
    "attribute": {"attribute_groups": {}},
    "moment": {"marketing_preferences_updated_at": MOMENT},
}


def ready(fields: dict[str, Any], now: datetime = NOW) -> Customer:
    """A customer as an import makes it ready to be stored."""
    customer = Customer(**fields)
    prepare_new(customer, ValidationContext(now, "DE"))
    set_server_fields(customer, now)
    return customer


def request_of(*customers: Customer, validate_only: bool = False) -> pb.ImportCustomersRequest:
    """A batch of customers whose sequence numbers are negative."""
    items = [
        pb.ImportItem(sequence=-number, customer=it) for number, it in enumerate(customers, start=1)
    ]
    return pb.ImportCustomersRequest(items=items, validate_only=validate_only)


def test_same_customer() -> None:
    """A customer that is sent again later is the same, whatever the server gave to it."""
    assert has_same_values(ready(GIVEN, LATER), ready(GIVEN))


def test_same_in_other_words() -> None:
    """Spellings that are stored alike are the same."""
    words = {"mobile": "0170 1234567", "active": True, "dob": " ", "id": "mine"}
    assert has_same_values(ready(GIVEN | words, LATER), ready(GIVEN))


def test_same_with_moment() -> None:
    """Whoever gives the moment of the preferences is told whether that is the same as well."""
    given = GIVEN | {"marketing_preferences_updated_at": MOMENT}
    assert has_same_values(ready(given, LATER), ready(given))
    assert has_same_values(ready(GIVEN, LATER), ready(given))


@pytest.mark.parametrize("fields", OTHER.values(), ids=OTHER)
def test_different_customer(fields: dict[str, Any]) -> None:
    """A customer that is given another value is not the same."""
    assert not has_same_values(ready(GIVEN | fields, LATER), ready(GIVEN))


def test_batch_of_none() -> None:
    """A batch without a customer is refused."""
    assert fields_of(refusals(lambda: imports.check_batch(request_of()))) == ["items"]


def test_largest_batch() -> None:
    """A batch may have 1,000 customers, and 4 MiB."""
    imports.check_batch(request_of(*[Customer()] * 1000))
    request = request_of(Customer(first_name="x" * (1 << 22)))
    name = request.items[0].customer.first_name
    request.items[0].customer.first_name = name[request.ByteSize() - (1 << 22) :]
    assert request.ByteSize() == 1 << 22
    imports.check_batch(request)


@pytest.mark.parametrize(
    "customers",
    [[Customer()] * 1001, [Customer(first_name="x" * (1 << 22))]],
    ids=["many", "large"],
)
def test_too_large_batch(customers: list[Customer]) -> None:
    """More than that is refused."""
    with pytest.raises(RequestTooLarge, match="1,000 customers and 4 MiB"):
        imports.check_batch(request_of(*customers))


def test_response() -> None:
    """Each item is answered in its place, with its number and what became of it."""
    error = InvalidInput([Violation("email", "is required")])
    outcomes: list[bulk.Outcome] = [Customer(id="1"), Unchanged("2"), error]
    answer = imports.import_response(request_of(Customer(), Customer(), Customer()), outcomes)
    assert [it.sequence for it in answer.results] == [-1, -2, -3]
    assert [it.WhichOneof("outcome") for it in answer.results] == ["created", "unchanged", "error"]
    assert (answer.results[0].created, answer.results[1].unchanged) == ("1", "2")
    assert answer.results[2].error.message == "email: is required"


def test_response_to_a_check() -> None:
    """A customer that was only checked is valid, and has no id."""
    request = request_of(Customer(), validate_only=True)
    [result] = imports.import_response(request, [Customer(id="1")]).results
    assert result.WhichOneof("outcome") == "valid"


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput([Violation(f"addresses[{n}].countryCode", "x" * 100) for n in range(100)]),
        AlreadyExists([Clash("customerRef", "x" * 36)] * 4),
    ],
    ids=["violations", "clashes"],
)
def test_size_of_response(error: InvalidInput | AlreadyExists) -> None:
    """The answer to a batch of 1,000 faults is less than the 4 MiB that clients take."""
    answer = imports.import_response(request_of(*[Customer()] * 1000), [error] * 1000)
    assert answer.ByteSize() < 3 << 20
