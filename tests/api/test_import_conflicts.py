"""ImportCustomers, where customers clash with others: rejected, skipped, or changes of those."""

from functools import partial
from typing import Any

import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import AttributeGroup, Customer

from tests.api.samples import FULL
from tests.support.builders import customer, new_email
from tests.support.client import Client, failure
from tests.support.concurrency import at_once
from tests.support.import_stream import batch, outcomes
from tests.support.in_process import InProcessServer
from twc_customer_server.errors import AmbiguousConflict, Clash

UPDATE = pb.ImportCustomersRequest.UPDATE
SKIP = pb.ImportCustomersRequest.SKIP
REJECT = pb.ImportCustomersRequest.REJECT

ALREADY_EXISTS, INVALID = 6, 3


def send(
    client: Client,
    *customers: Customer | None,
    on_conflict: pb.ImportCustomersRequest.OnConflict = UPDATE,
    check: bool = False,
) -> pb.ImportCustomersResponse:
    """Sends one batch, and returns its response."""
    [response] = client.import_([batch(*customers, on_conflict=on_conflict, check=check)])
    return response


def without_times(stored: Customer) -> Customer:
    """A stored customer without the time of its last change."""
    copy = Customer()
    copy.CopyFrom(stored)
    copy.ClearField("last_modified_date")
    return copy


@pytest.mark.parametrize(
    "key",
    [
        {"email": "ADA@example.com"},
        {"customer_ref": "A-1"},
        {"mobile": "+49 170 1234567"},
        {"phone": "+493012345678"},
        {"customer_ref": "A-1", "email": "ada@example.com", "phone": "+493012345678"},
        {"customer_ref": "A-1", "email": new_email()},
        {"email": "ada@example.com", "customer_ref": "A-2", "mobile": "+15005550006"},
    ],
    ids="+".join,
)
def test_update(client: Client, key: dict[str, Any]) -> None:
    """The customer that has a value of the item takes the fields that are set, and no default."""
    before = client.create(Customer(**FULL))
    item = Customer(last_name="King", **key)
    first, second = send(client, item), send(client, item)
    after = client.get(before.id)

    assert outcomes(first) + outcomes(second) == ["updated", "unchanged"]
    assert first.results[0].updated == second.results[0].unchanged == before.id
    assert after.last_modified_date.ToMilliseconds() >= before.last_modified_date.ToMilliseconds()
    expected = without_times(before)
    changes: dict[str, Any] = {name: value.replace(" ", "") for name, value in key.items()}
    expected.MergeFrom(Customer(last_name="King", **changes))
    # A new e-mail address is not verified.
    expected.verified_email = expected.email.lower() == before.email.lower()
    assert without_times(after) == expected


def test_update_of_lists(client: Client) -> None:
    """Lists and maps that are not empty are replaced; sent again, they are unchanged."""
    before = client.create(Customer(**FULL))
    item = Customer(
        email=before.email,
        addresses=[{"city": "Paris"}, {"city": "Rome", "default_address": True}],
        attribute_groups={"hat": AttributeGroup(attribute_group="Hat")},
    )
    assert outcomes(send(client, item)) == ["updated"]
    after = client.get(before.id)
    assert [it.city for it in after.addresses] == ["Paris", "Rome"]
    assert after.default_address.city == "Rome"
    assert list(after.attribute_groups) == ["hat"]
    assert list(after.tax_exemptions) == ["CA-BC"]
    assert outcomes(send(client, item)) == ["unchanged"]
    assert client.get(before.id) == after


def test_new_customers_of_update(client: Client, foreigner: Client) -> None:
    """A customer without a clash is stored as new, whatever was deleted or is another tenant's."""
    foreigner.create(Customer(**FULL))
    deleted = client.create(Customer(**FULL))
    client.delete(deleted.id)
    response = send(
        client, Customer(**FULL), Customer(customer_ref="A-2"), None, Customer(email="x")
    )

    assert outcomes(response) == ["created", "error", "error", "error"]
    assert client.get(response.results[0].created).customer_ref == "A-1"
    assert {it.error.code for it in response.results[1:]} == {INVALID}
    assert all(it.error.message.startswith("email: ") for it in response.results[1:])


def test_clash_with_several(client: Client) -> None:
    """An item with values of several customers is an error that names them, and changes none."""
    customers = [client.create(customer(phone="+493012345678")), client.create(customer())]
    both = Customer(email=customers[1].email, phone=customers[0].phone, first_name="Eve")
    response = send(client, both, customer())
    [result, _] = response.results

    clashes = [Clash("email", customers[1].id), Clash("phone", customers[0].id)]
    assert outcomes(response) == ["error", "created"]
    assert result.error.code == ALREADY_EXISTS
    assert result.error.message == str(AmbiguousConflict(clashes))
    assert [client.get(it.id) for it in customers] == customers


def test_invalid_update(client: Client) -> None:
    """A change that breaks a rule is the item's error, and keeps no other item out."""
    before = client.create(Customer(**FULL))
    bad = Customer(email=before.email, dob="x", addresses=[{"country_code": "XX"}])
    good = Customer(customer_ref="A-1", first_name="Eve")
    response = send(client, bad, good, customer())

    assert outcomes(response) == ["error", "updated", "created"]
    assert response.results[0].error.code == INVALID
    assert client.get(before.id).first_name == "Eve"
    assert client.get(before.id).dob == before.dob


def test_national_number_of_update(client: Client) -> None:
    """A national phone number is read in the country of the stored default address."""
    before = client.create(Customer(**FULL))
    assert outcomes(send(client, Customer(email=before.email, phone="030 999999"))) == ["updated"]
    assert client.get(before.id).phone == "+4930999999"


def test_value_of_another_customer(client: Client) -> None:
    """A change to a value that belongs to another customer by the stored country is its clash."""
    owner = client.create(customer(phone="+4930999999"))
    before = client.create(Customer(**FULL))
    response = send(client, Customer(email=before.email, phone="030 999999"), customer())

    assert outcomes(response) == ["error", "created"]
    assert response.results[0].error.code == ALREADY_EXISTS
    assert owner.id in response.results[0].error.message
    assert client.get(before.id) == before


def test_updates_within_batch(client: Client) -> None:
    """Items of a batch change, in their order, customers of the same batch and one another's."""
    stored = client.create(customer(customer_ref="A-1", last_name="King"))
    email, changed = new_email(), new_email()
    response = send(
        client,
        Customer(email=email, first_name="Ada"),
        Customer(email=email, last_name="Lovelace"),
        Customer(customer_ref="A-1", first_name="Eve"),
        Customer(customer_ref="A-1", email=changed),
        Customer(customer_ref="A-1", first_name="Eva"),
        Customer(email=email, first_name="Ada"),
        Customer(email=stored.email, first_name="Successor"),
    )
    ada, eve = client.get(response.results[0].created), client.get(stored.id)

    assert outcomes(response) == ["created", *["updated"] * 4, "unchanged", "created"]
    assert (ada.first_name, ada.last_name) == ("Ada", "Lovelace")
    assert (eve.first_name, eve.last_name, eve.email) == ("Eva", "King", changed)
    assert client.get(response.results[6].created).first_name == "Successor"


def test_check_of_update(client: Client) -> None:
    """A batch that is only checked tells what would become of it, and changes nothing."""
    before = client.create(Customer(**FULL))
    items = (
        customer(last_name="Check"),
        Customer(email=before.email, first_name="Eve"),
        Customer(email=before.email, customer_ref="A-2"),
        Customer(email=before.email, last_name="Lovelace"),
        Customer(email=before.email, dob="x"),
    )
    response = send(client, *items, check=True)

    assert outcomes(response) == ["valid", "valid", "valid", "unchanged", "error"]
    assert client.get(before.id) == before
    assert client.lookup(pb.LookupCustomersRequest(last_name="Check")) == []


def test_skip(client: Client) -> None:
    """An item that clashes is skipped with the id of the other one, unless that is the same."""
    before = client.create(Customer(**FULL))
    items = (Customer(email=before.email), Customer(**FULL), customer(), Customer(email="x"))
    response = send(client, *items, on_conflict=SKIP)

    assert outcomes(response) == ["skipped", "unchanged", "created", "error"]
    assert response.results[0].skipped == before.id
    assert client.get(before.id) == before
    assert outcomes(send(client, *items, on_conflict=SKIP, check=True))[0] == "skipped"


@pytest.mark.parametrize("on_conflict", [REJECT, pb.ImportCustomersRequest.ON_CONFLICT_UNSPECIFIED])
def test_reject(client: Client, on_conflict: pb.ImportCustomersRequest.OnConflict) -> None:
    """An item that clashes is an error, which is the default."""
    before = client.create(Customer(**FULL))
    response = send(client, Customer(email=before.email), on_conflict=on_conflict)
    assert response.results[0].error.code == ALREADY_EXISTS
    assert client.get(before.id) == before


def test_unknown_way(client: Client) -> None:
    """A way to treat clashes that the contract does not have ends the stream."""
    request = batch(customer())
    request.on_conflict = 9  # type: ignore[assignment] # no value of the enum
    refused = failure(lambda: list(client.import_([request])))
    assert (refused.reason, "onConflict" in refused.message) == ("INVALID_INPUT", True)


def test_large_update(client: Client) -> None:
    """A whole batch can be changes, of unique values as well, and is unchanged when sent again."""
    stored = [customer(customer_ref=f"A-{number}") for number in range(1000)]
    send(client, *stored)
    changes = [
        Customer(customer_ref=it.customer_ref, first_name="Eve", **_new_email_of_some(number))
        for number, it in enumerate(stored)
    ]
    responses = [send(client, *changes) for _ in range(2)]
    assert [set(outcomes(it)) for it in responses] == [{"updated"}, {"unchanged"}]


def _new_email_of_some(number: int) -> dict[str, Any]:
    return {"email": new_email()} if number % 10 == 0 else {}


def test_updates_at_once(server: InProcessServer, client: Client, tenant: str) -> None:
    """Batches at the same time that change the same customers, in other orders, lose no change."""
    stored = [customer() for _ in range(1000)]
    send(client, *stored)
    orders = [stored, stored[::-1], stored[500:] + stored[:500]]
    changes: list[dict[str, Any]]
    changes = [{"first_name": "Ada"}, {"last_name": "King"}, {"dob": "1815-12-10"}]

    def update(number: int) -> pb.ImportCustomersResponse:
        items = [Customer(email=it.email, **changes[number]) for it in orders[number]]
        return send(Client(server.channel, tenant), *items)

    responses = at_once([partial(update, number) for number in range(3)])
    assert [set(outcomes(it)) for it in responses] == [{"updated"}] * 3
    after = [it for part in client.export() for it in part.customers]
    assert len(after) == len(stored)
    assert {(it.first_name, it.last_name, it.dob) for it in after} == {
        ("Ada", "King", "1815-12-10")
    }


@pytest.mark.parametrize("field", ["email", "mobile", "phone", "customer_ref"])
def test_invalid_value_beside_a_valid_item(client: Client, field: str) -> None:
    """A value that no customer can have is the error of its item, and the others are stored."""
    bad = customer(**{field: "\0" + "9" * 600})
    response = send(client, bad, customer())
    assert outcomes(response) == ["error", "created"]
    assert response.results[0].error.code == INVALID
