"""What an update makes of a stored customer's addresses."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from twc.customer.v2.customer_pb2 import Address, Customer

from tests.support import builders
from tests.support.steps import LATER, cities, copy, refusals
from twc_customer_server.customers import update
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import set_server_fields
from twc_customer_server.errors import Violation


def _update(customer: Customer, *mask: str, **fields: Any) -> Customer:
    """The customer after an update is stored."""
    return _put(customer, Customer(**fields), *mask)


def _put(customer: Customer, request: Customer, *mask: str) -> Customer:
    update.update(customer, request, FieldMask(paths=mask), ValidationContext(LATER))
    set_server_fields(customer, LATER)
    return customer


def _with_id(address: Address, **fields: Any) -> Address:
    """An address with the id of a stored one."""
    return builders.address(**({"id": address.id} | fields))


def test_given_list(customer: Customer) -> None:
    """Addresses that are given take the place of all stored ones; the first is the default."""
    _update(customer, addresses=[builders.address(city="Wien"), builders.address(city="Prag")])

    assert cities(customer) == ["Wien*", "Prag"]


def test_empty_list(customer: Customer) -> None:
    """Without a mask an empty list leaves the stored one."""
    _update(customer, first_name="Ada", addresses=[])

    assert cities(customer) == ["Rom*", "Bern"]


def test_known_and_unknown_ids(customer: Customer) -> None:
    """An address with a stored one's id is that one; any other is new and gets its own id."""
    rome, bern = (copy_of.id for copy_of in customer.addresses)
    _update(
        customer,
        addresses=[
            builders.address(id=bern, city="Bern 2"),
            builders.address(id="mine", city="Wien"),
            builders.address(city="Prag"),
        ],
    )

    kept, *new = (address.id for address in customer.addresses)
    assert kept == bern
    assert len({*new, rome, bern, "mine", ""}) == 6
    assert {address.customer_id for address in customer.addresses} == {customer.id}


@pytest.mark.parametrize("place", [0, 1], ids=["the default's", "another's"])
def test_one_id_twice(customer: Customer, place: int) -> None:
    """Two addresses cannot both be a stored one."""
    one = customer.addresses[place]
    twice = [_with_id(one, city="Wien"), _with_id(one, city="Prag")]

    assert refusals(lambda: _update(customer, addresses=twice)) == [
        Violation("addresses[1].id", "must differ from that of addresses[0]")
    ]


def test_list_without_mark(customer: Customer) -> None:
    """A list that marks none keeps the stored default, wherever it stands in it."""
    rome, bern = copy(customer).addresses
    _update(customer, addresses=[_with_id(bern, city="Bern"), _with_id(rome, city="Rom 2")])

    assert cities(customer) == ["Bern", "Rom 2*"]


def test_marked_address(customer: Customer) -> None:
    """A list that marks another address makes that one the default."""
    rome, bern = copy(customer).addresses
    _update(
        customer,
        addresses=[_with_id(rome, city="Rom"), _with_id(bern, city="Bern", default_address=True)],
    )

    assert cities(customer) == ["Rom", "Bern*"]


def test_two_marked_addresses(customer: Customer) -> None:
    """A list that marks two addresses is refused."""
    marked = [builders.address(default_address=True), builders.address(default_address=True)]

    assert refusals(lambda: _update(customer, addresses=marked)) == [
        Violation(
            "addresses[1].defaultAddress", "must not be true, because that of addresses[0] is"
        )
    ]


def test_mark_moved_in_whole_customer(customer: Customer) -> None:
    """Where the mark moved, the default address as it was read is no wish to keep it."""
    request = copy(customer)
    request.addresses[0].default_address = False
    request.addresses[1].default_address = True

    assert cities(_put(customer, request)) == ["Rom", "Bern*"]


def test_default_changed_in_whole_customer(customer: Customer) -> None:
    """Where the default address is another, the marks as they were read are no wish to keep it."""
    request = copy(customer)
    request.default_address.CopyFrom(request.addresses[1])

    assert cities(_put(customer, request)) == ["Rom", "Bern*"]


def test_default_edited_in_whole_customer(customer: Customer) -> None:
    """An edit of the default address holds beside a list that repeats it as it is stored."""
    request = copy(customer)
    request.default_address.city = "Ostia"

    assert cities(_put(customer, request)) == ["Ostia*", "Bern"]


def test_list_edited_in_whole_customer(customer: Customer) -> None:
    """An edit in the list holds beside a default address that is as it is stored."""
    request = copy(customer)
    request.addresses[0].city = "Ostia"

    assert cities(_put(customer, request)) == ["Ostia*", "Bern"]


def test_mark_moved_beside_unmarked_default(customer: Customer) -> None:
    """A default address that repeats the stored one counts less than a mark that moved."""
    rome, bern = copy(customer).addresses
    _update(
        customer,
        addresses=[_with_id(rome, city="Rom"), _with_id(bern, city="Bern", default_address=True)],
        default_address=_with_id(rome, city="Rom"),
    )

    assert cities(customer) == ["Rom", "Bern*"]


def test_default_address_by_id(customer: Customer) -> None:
    """A default address with a stored one's id edits that one and makes it the default."""
    bern = customer.addresses[1].id
    _update(customer, default_address=builders.address(id=bern, city="Thun"))

    assert cities(customer) == ["Rom", "Thun*"]
    assert customer.addresses[1].id == bern


def test_default_address_by_content(customer: Customer) -> None:
    """A default address with a stored one's content is that one."""
    bern = customer.addresses[1].id
    _update(customer, default_address=Address(city="Bern"))

    assert cities(customer) == ["Rom", "Bern*"]
    assert customer.default_address.id == bern


@pytest.mark.parametrize("address_id", ["", "unknown"], ids=["without an id", "unknown id"])
def test_new_default_address(customer: Customer, address_id: str) -> None:
    """A default address that is not stored joins the others under a new id."""
    _update(customer, default_address=Address(id=address_id, city="Wien"))

    assert cities(customer) == ["Rom", "Bern", "Wien*"]
    assert customer.default_address.id not in ("", "unknown")


def test_default_address_with_new_list(customer: Customer) -> None:
    """A default address that is not in the new list joins it."""
    _update(
        customer,
        addresses=[builders.address(city="Prag")],
        default_address=builders.address(city="Wien"),
    )

    assert cities(customer) == ["Prag", "Wien*"]


def test_cleared_default_address(customer: Customer) -> None:
    """A mask that clears the default address leaves the choice to the list."""
    _update(customer, default_address=builders.address(city="Bern"))
    _update(customer, "default_address")

    assert cities(customer) == ["Rom*", "Bern"]


def test_list_outside_the_mask(customer: Customer) -> None:
    """Addresses that the mask does not name are ignored, whatever they are."""
    _update(
        customer,
        "defaultAddress",
        addresses=[Address()],
        default_address=builders.address(city="Bern"),
    )

    assert cities(customer) == ["Rom", "Bern*"]


def test_default_outside_the_mask(customer: Customer) -> None:
    """A default address that the mask does not name is ignored, whatever it is."""
    rome, bern = copy(customer).addresses
    _update(
        customer,
        "addresses",
        addresses=[_with_id(bern, city="Bern"), _with_id(rome, city="Rom")],
        default_address=Address(),
    )

    assert cities(customer) == ["Bern", "Rom*"]


def test_too_many_addresses(customer: Customer) -> None:
    """A default address that joins cannot be the 101st address."""
    full = [builders.address(city=str(number)) for number in range(100)]
    _update(customer, addresses=full)

    assert refusals(lambda: _update(customer, default_address=builders.address(city="Wien"))) == [
        Violation("addresses", "must hold at most 100 addresses")
    ]


def test_default_named_by_id_alone(customer: Customer) -> None:
    """A default address of an id and no more names the stored one, and takes nothing from it."""
    [_, second] = customer.addresses
    request = Customer(id=customer.id, default_address=Address(id=second.id))

    assert cities(_put(customer, request)) == ["Rom", "Bern*"]


def test_default_removed_from_the_list(customer: Customer) -> None:
    """Where the default was taken from the list, the default address as it was read stays out."""
    request = copy(customer)
    del request.addresses[0]

    assert cities(_put(customer, request)) == ["Bern*"]
