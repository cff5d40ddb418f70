"""CreateCustomer and ValidateCustomer: what a new customer becomes, and why one is refused."""

from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.api.samples import (
    CUSTOMER_TYPE,
    FULL,
    UNIQUE,
    UUID7,
    each_invalid,
    email_of,
    stored_form,
    with_ids_of,
)
from tests.support.builders import UNKNOWN_ID, address, customer
from tests.support.client import Client, failure
from tests.support.import_stream import batch

WayIn = Callable[[Client, Customer], Customer]

TIMED: dict[str, Any] = {
    "marketing_preferences_updated_at": Timestamp(seconds=1_704_067_200, nanos=999_999_999)
}


def test_create(client: Client) -> None:
    """A new customer is answered with 201, normalised and with the server's ids and dates."""
    created = client.create(Customer(**FULL))
    assert client.headers["x-http-code"] == "201"
    assert created == with_ids_of(stored_form(), created)
    ids = [created.id, *(it.id for it in created.addresses)]
    assert [bool(UUID7(given)) for given in ids] == [True] * 3
    assert len(set(ids)) == 3
    assert created.default_address.id == created.addresses[0].id
    assert created.created_date == created.last_modified_date
    assert created.created_date.nanos % 1_000_000 == 0
    assert client.get(created.id) == created


def test_create_defaults(client: Client) -> None:
    """A customer of whom only the e-mail address is known is stored with the defaults."""
    created = client.create(Customer(email="ada@example.com"))
    defaults = Customer(
        email="ada@example.com",
        active=True,
        accepts_marketing=False,
        customerState=Customer.disabled,
        tax_exempt=False,
        verified_email=False,
    )
    for field in ("id", "created_date", "last_modified_date"):
        created.ClearField(field)
    assert created == defaults


def _imported(client: Client, given: Customer) -> Customer:
    """The customer as an import has stored it, or updated the one that it is."""
    update = pb.ImportCustomersRequest.UPDATE
    [answer] = client.import_([batch(given, on_conflict=update)])
    return client.get(answer.results[0].created or answer.results[0].updated)


WAYS_IN: dict[str, WayIn] = {
    "create": Client.create,
    "validate": Client.validate,
    "update": lambda client, given: client.update(
        Customer(id=client.create(customer(email=given.email)).id, **TIMED)
    ),
    "upload": lambda client, given: client.upload([given])[0].customer,
    "import": _imported,
    "import that updates": lambda client, given: _imported(
        client, Customer(email=client.create(customer(email=given.email)).email, **TIMED)
    ),
}


@pytest.mark.parametrize("way", WAYS_IN.values(), ids=WAYS_IN)
def test_fraction_of_given_time(
    client: Client, way: Callable[[Client, Customer], Customer]
) -> None:
    """A time that a client sets is cut to milliseconds, not rounded, whichever way it comes in."""
    kept = way(client, customer(**TIMED)).marketing_preferences_updated_at
    assert kept.ToJsonString() == "2024-01-01T00:00:00.999Z"


def test_create_with_server_fields(client: Client) -> None:
    """Ids and dates that a new customer comes with are ignored."""
    mine = Timestamp(seconds=1)
    given = customer(id=UNKNOWN_ID, created_date=mine, last_modified_date=mine)
    given.addresses.append(address(id=UNKNOWN_ID, customer_id=UNKNOWN_ID))
    created = client.create(given)
    assert created.id != UNKNOWN_ID
    assert created.addresses[0].id != UNKNOWN_ID
    assert created.addresses[0].customer_id == created.id
    assert created.created_date.seconds > mine.seconds
    assert created.last_modified_date.seconds > mine.seconds


def test_create_in_default_region(channel: grpc.Channel) -> None:
    """A national number is read in the tenant's default region, on lookup too."""
    german = Client(channel, "german")
    created = german.create(customer(mobile="0151 12345678"))
    assert created.mobile == "+4915112345678"
    assert german.lookup(pb.LookupCustomersRequest(mobile="0151/12345678")) == [created]


@pytest.mark.parametrize("rpc", [Client.create, Client.validate])
@each_invalid
def test_new_invalid(
    client: Client,
    rpc: Callable[[Client, Customer | None], Customer],
    fields: dict[str, Any],
    named: set[str],
) -> None:
    """A new customer that breaks rules is refused with every field that does."""
    refused = failure(lambda: rpc(client, customer(first_name="Refused", **fields)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.reason, refused.domain) == ("INVALID_INPUT", "customer.twc")
    assert set(refused.fields) == named
    assert all(refused.fields.values())
    assert client.lookup(pb.LookupCustomersRequest(first_name="Refused")) == []


@pytest.mark.parametrize("rpc", [Client.create, Client.validate, Client.update])
def test_no_customer(client: Client, rpc: Callable[[Client, None], Customer]) -> None:
    """A request without a customer is invalid input."""
    refused = failure(lambda: rpc(client, None))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.reason == "INVALID_INPUT"
    assert len(refused.fields) == 1


@pytest.mark.parametrize("rpc", [Client.create, Client.validate])
@pytest.mark.parametrize("field", UNIQUE)
def test_new_clash(client: Client, rpc: Callable[[Client, Customer], Customer], field: str) -> None:
    """A new customer with another's unique value is refused, and told the field and the owner."""
    owner = client.create(Customer(**FULL))
    fields: dict[str, Any] = UNIQUE[field]
    refused = failure(lambda: rpc(client, customer(first_name="Refused", **fields)))
    assert refused.code is grpc.StatusCode.ALREADY_EXISTS
    assert (refused.reason, refused.domain) == ("ALREADY_EXISTS", "customer.twc")
    assert refused.owners == {field: owner.id}
    assert refused.resources == [(CUSTOMER_TYPE, owner.id)]
    assert client.lookup(pb.LookupCustomersRequest(first_name="Refused")) == []


@pytest.mark.parametrize("rpc", [Client.create, Client.validate])
def test_new_clash_with_several(
    client: Client, rpc: Callable[[Client, Customer], Customer]
) -> None:
    """A new customer with the unique values of several others learns of every one."""
    unique: dict[str, dict[str, Any]] = UNIQUE
    owners = {field: client.create(customer(**given)).id for field, given in unique.items()}
    refused = failure(lambda: rpc(client, Customer(**FULL)))
    assert refused.owners == owners
    assert sorted(refused.resources) == sorted((CUSTOMER_TYPE, it) for it in owners.values())


def test_validate(client: Client) -> None:
    """A checked customer is answered as it would be stored, without ids and dates, and not kept."""
    checked = client.validate(Customer(**FULL, id=UNKNOWN_ID))
    assert checked == stored_form()
    assert client.lookup(email_of("ada@example.com")) == []
    created = client.create(Customer(**FULL))
    assert created == with_ids_of(checked, created)


def test_validate_stored(client: Client) -> None:
    """The values of the customer whose id is given are free, and those of others are taken."""
    created = client.create(Customer(**FULL))
    assert client.validate(Customer(**FULL, id=created.id.upper())) == stored_form()
    for other in ("", UNKNOWN_ID):
        refused = failure(partial(client.validate, Customer(**FULL, id=other)))
        assert {*refused.owners.values()} == {created.id}
