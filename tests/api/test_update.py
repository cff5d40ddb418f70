"""UpdateCustomer and AddCustomerAddress: what changes, what stays, and what is refused."""

from datetime import UTC, timedelta
from itertools import pairwise
from typing import Any

import grpc
import pytest
from psycopg.errors import SerializationFailure
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Customer

from tests.api.samples import CUSTOMER_TYPE, FULL, INVALID, UNIQUE, UUID7
from tests.support.backends import only
from tests.support.builders import UNKNOWN_ID, address, customer
from tests.support.client import Client, failure
from twc_customer_server.customers import update

MILLISECOND = timedelta(milliseconds=1)


def test_update_by_id(client: Client) -> None:
    """An update replaces the fields that it has, keeps the others, and is then read."""
    created = client.create(Customer(**FULL))
    updated = client.update(Customer(id=created.id, first_name="Augusta", mobile="+44 20 79460000"))
    expected = Customer()
    expected.CopyFrom(created)
    expected.first_name, expected.mobile = "Augusta", "+442079460000"
    expected.last_modified_date.CopyFrom(updated.last_modified_date)
    assert updated == expected
    assert updated.last_modified_date.ToNanoseconds() >= created.created_date.ToNanoseconds()
    assert client.get(created.id) == updated


def test_clock_set_back(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is set back an hour brings no date before an earlier one."""
    first = client.create(customer())
    stored = client.add_address(first.id, address())
    past = stored.last_modified_date.ToDatetime(UTC) - timedelta(hours=1)
    monkeypatch.setattr("twc_customer_server.api.servicer._now", lambda: past)
    states = [
        stored,
        client.update(Customer(id=first.id, first_name="Augusta")),
        client.add_address(first.id, address()),
        client.update(Customer(id=first.id, last_name="King")),
    ]
    dates = [it.last_modified_date.ToMilliseconds() for it in states]
    assert all(before < after for before, after in pairwise(dates))
    assert all(it.created_date == first.created_date for it in states)
    assert client.create(customer()).last_modified_date.ToDatetime(UTC) <= past + MILLISECOND


def test_update_by_ref(client: Client) -> None:
    """An update without an id changes the customer that has the reference."""
    created = client.create(customer(customer_ref="A-1"))
    updated = client.update(Customer(customer_ref="A-1", first_name="Augusta"))
    assert (updated.id, updated.first_name) == (created.id, "Augusta")
    assert client.get_by_ref("A-1") == updated


def test_update_ref_by_id(client: Client) -> None:
    """An update with an id may give the customer another reference."""
    created = client.create(customer(customer_ref="A-1"))
    updated = client.update(Customer(id=created.id, customer_ref="A-2"))
    assert client.get_by_ref("A-2") == updated
    assert failure(lambda: client.get_by_ref("A-1")).code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("path", ["first_name", "firstName", "*"])
def test_update_masked(client: Client, path: str) -> None:
    """A field that the mask names and the customer lacks is cleared."""
    created = client.create(customer(first_name="Ada"))
    updated = client.update(Customer(id=created.id, email=created.email), path)
    assert not updated.HasField("first_name")
    assert client.lookup(pb.LookupCustomersRequest(first_name="Ada")) == []


def test_update_unnamed(client: Client) -> None:
    """A field that the mask does not name keeps its value whatever the customer has there."""
    created = client.create(customer(first_name="Ada", last_name="Lovelace"))
    updated = client.update(
        Customer(id=created.id, first_name="Augusta", last_name="King"), "last_name"
    )
    assert (updated.first_name, updated.last_name) == ("Ada", "King")


def test_update_unknown_mask(client: Client) -> None:
    """A mask that names no field of a customer is invalid input."""
    created = client.create(customer())
    refused = failure(lambda: client.update(Customer(id=created.id), "first_name", "nickname"))
    assert refused.reason == "INVALID_INPUT"
    assert set(refused.fields) == {"updateMask"}
    assert "nickname" in refused.fields["updateMask"]


@pytest.mark.parametrize("selected", [Customer(id=UNKNOWN_ID), Customer(customer_ref="no-such")])
def test_update_not_found(client: Client, selected: Customer) -> None:
    """An update of a customer that the tenant does not have is NOT_FOUND."""
    refused = failure(lambda: client.update(selected))
    assert refused.code is grpc.StatusCode.NOT_FOUND
    assert (refused.reason, refused.domain) == ("RESOURCE_NOT_FOUND", "customer.twc")
    assert refused.resources == [(CUSTOMER_TYPE, "")]


def test_update_without_id_and_ref(client: Client) -> None:
    """An update with neither id nor reference is invalid input."""
    refused = failure(lambda: client.update(Customer(email="ada@example.com")))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refused.fields) == {"id"}


@pytest.mark.parametrize("name", ["one", "many"])
def test_update_invalid(client: Client, name: str) -> None:
    """An update that breaks rules is refused with every field that does, and changes nothing."""
    fields, named = INVALID[name]
    created = client.create(customer())
    refused = failure(lambda: client.update(Customer(id=created.id, **fields)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.reason == "INVALID_INPUT"
    assert set(refused.fields) == named
    assert client.get(created.id) == created


@pytest.mark.parametrize("field", UNIQUE)
def test_update_clash(client: Client, field: str) -> None:
    """An update to another's unique value is refused, names the owner, and changes nothing."""
    owner = client.create(Customer(**FULL))
    created = client.create(customer())
    fields: dict[str, Any] = UNIQUE[field]
    refused = failure(lambda: client.update(Customer(id=created.id, **fields)))
    assert refused.code is grpc.StatusCode.ALREADY_EXISTS
    assert refused.reason == "ALREADY_EXISTS"
    assert refused.owners == {field: owner.id}
    assert refused.resources == [(CUSTOMER_TYPE, owner.id)]
    assert client.get(created.id) == created


def test_add_address(client: Client) -> None:
    """An added address joins the others with an id of its own, and the customer is answered."""
    created = client.create(customer(addresses=[address(city="Berlin")]))
    changed = client.add_address(created.id, address(city="London", country_code="gb"))
    assert list(changed.addresses[:1]) == list(created.addresses)
    added = changed.addresses[1]
    assert (added.city, added.country_code, added.customer_id) == ("London", "GB", created.id)
    assert UUID7(added.id)
    assert changed.default_address == created.default_address
    assert client.get(created.id) == changed


def test_add_default_address(client: Client) -> None:
    """An added address that is marked as the default takes that place from the other."""
    created = client.create(customer(addresses=[address(city="Berlin")]))
    changed = client.add_address(created.id, address(city="London", default_address=True))
    assert [it.default_address for it in changed.addresses] == [False, True]
    assert changed.default_address == changed.addresses[1]


@pytest.mark.parametrize(
    ("added", "named"),
    [
        (Address(city="London", country_code="XX", phone="1" * 65), {"countryCode", "phone"}),
        (Address(), {"address"}),
        (None, {"address"}),
    ],
    ids=["two rules", "empty", "none"],
)
def test_add_address_invalid(client: Client, added: Address | None, named: set[str]) -> None:
    """An address that breaks rules is refused with paths within it, and is not added."""
    created = client.create(customer())
    refused = failure(lambda: client.add_address(created.id, added))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.reason == "INVALID_INPUT"
    assert set(refused.fields) == named
    assert client.get(created.id) == created


def test_add_address_too_many(client: Client) -> None:
    """A customer has room for a hundred addresses and not for one more."""
    created = client.create(customer(addresses=[address(city=f"City {n}") for n in range(99)]))
    full = client.add_address(created.id, address(city="The hundredth"))
    assert len(full.addresses) == 100
    refused = failure(lambda: client.add_address(created.id, address(city="One more")))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refused.fields) == {"addresses"}
    assert client.get(created.id) == full


def test_add_address_not_found(client: Client) -> None:
    """An address for a customer that the tenant does not have is NOT_FOUND."""
    refused = failure(lambda: client.add_address(UNKNOWN_ID, address()))
    assert refused.code is grpc.StatusCode.NOT_FOUND
    assert refused.reason == "RESOURCE_NOT_FOUND"
    assert refused.resources == [(CUSTOMER_TYPE, "")]


@only("postgresql")
def test_concurrent_update(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update that another one got in the way of is made of the customer as that left it."""
    created = client.create(customer(addresses=[address(city="Rom"), address(city="Bonn")]))
    rom, bonn = created.addresses
    client.update(Customer(id=created.id, default_address=Address(id=bonn.id)))
    original = update.update
    tries: list[Customer] = []

    def meet(stored: Customer, *arguments: Any) -> None:
        tries.append(stored)
        if len(tries) == 1:
            # Rom was the default when it ran first.
            original(created, *arguments)
            raise SerializationFailure
        original(stored, *arguments)

    monkeypatch.setattr("twc_customer_server.customers.update.update", meet)
    listed = [Address(id=it.id, city=it.city) for it in (rom, bonn)]
    updated = client.update(Customer(id=created.id, addresses=listed, first_name="Ada"))
    assert len(tries) == 2
    assert (updated.default_address.city, updated.first_name) == ("Bonn", "Ada")
