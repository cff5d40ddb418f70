"""What an added address makes of a stored customer."""

import pytest
from twc.customer.v2.customer_pb2 import Address, Customer

from tests.support import builders
from tests.support.steps import LATER, cities, copy, refusals, stored
from twc_customer_server.customers import update
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import set_server_fields
from twc_customer_server.errors import Violation

EMPTY = "must set a field that describes the address, such as address1 or city"


def _add(customer: Customer, address: Address) -> Customer:
    """The customer after an added address is stored."""
    update.add_address(customer, address, ValidationContext(LATER))
    set_server_fields(customer, LATER)
    return customer


def test_add_address(customer: Customer) -> None:
    """An added address comes last, with a new id, and leaves the default."""
    rome, bern = (address.id for address in customer.addresses)
    _add(customer, builders.address(id="mine", customer_id="other", city="Wien", country_code="at"))

    added = customer.addresses[2]
    assert cities(customer) == ["Rom*", "Bern", "Wien"]
    assert (added.customer_id, added.country_code) == (customer.id, "AT")
    assert len({rome, bern, added.id, "mine", ""}) == 5


def test_add_address_with_stored_id(customer: Customer) -> None:
    """An added address is new even with the id of a stored one."""
    _add(customer, builders.address(id=customer.addresses[0].id, city="Wien"))

    assert cities(customer) == ["Rom*", "Bern", "Wien"]
    assert len({address.id for address in customer.addresses}) == 3


def test_add_marked_address(customer: Customer) -> None:
    """An added address that is marked takes the default from the others."""
    _add(customer, builders.address(city="Wien", default_address=True))

    assert cities(customer) == ["Rom", "Bern", "Wien*"]


def test_add_first_address() -> None:
    """An only address is the default."""
    assert cities(_add(stored(), builders.address(city="Wien"))) == ["Wien*"]


def test_add_same_address_again(customer: Customer) -> None:
    """An address may be added that is already there."""
    assert cities(_add(customer, builders.address(city="Rom"))) == ["Rom*", "Bern", "Rom"]


@pytest.mark.parametrize(
    ("address", "violation"),
    [
        (Address(), Violation("address", EMPTY)),
        (
            Address(country_code="string"),
            Violation("countryCode", "must be an ISO 3166-1 alpha-2 code, such as DE"),
        ),
        (
            Address(city="a\0b"),
            Violation("city", "must not hold control characters other than tab and line breaks"),
        ),
    ],
    ids=["empty", "country code", "NUL"],
)
def test_add_invalid_address(customer: Customer, address: Address, violation: Violation) -> None:
    """An added address is checked with paths that begin at it, and not added."""
    before = copy(customer)

    assert refusals(lambda: _add(customer, address)) == [violation]
    assert customer == before


@pytest.mark.parametrize("field", ["id", "customer_id"])
def test_invalid_ids_of_added_address(customer: Customer, field: str) -> None:
    """What is ignored of an added address cannot be wrong."""
    _add(customer, builders.address(**{field: "a\0b"}, city="Wien"))

    assert cities(customer) == ["Rom*", "Bern", "Wien"]


def test_add_101st_address(customer: Customer) -> None:
    """A customer with 100 addresses takes no more."""
    for number in range(98):
        _add(customer, builders.address(city=str(number)))

    assert refusals(lambda: _add(customer, builders.address(city="Wien"))) == [
        Violation("addresses", "must hold at most 100 addresses")
    ]


def test_blank_email_beside_none() -> None:
    """A blank e-mail address counts as not given, also where another address has none."""
    customer = stored(addresses=[{"city": "Rom"}])
    update.add_address(customer, Address(city="Bonn", email=""), ValidationContext(LATER))
    assert [it.HasField("email") for it in customer.addresses] == [False, False]
