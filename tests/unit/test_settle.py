"""A whole customer: its size, what storing adds, and that settling it is done once."""

import re
from contextlib import suppress

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from twc.customer.v2.customer_pb2 import Address, Attribute, AttributeGroup, Customer

from tests.support import builders
from tests.support.steps import (
    ANY_TEXT,
    EXAMPLES,
    LATER,
    NOW,
    copy,
    refused,
    settled,
    stored,
    timestamp,
)
from twc_customer_server.customers import emails, update
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import set_server_fields
from twc_customer_server.errors import InvalidInput, Violation

MAX_BYTES = 262_144
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def _customer_of(size: int) -> Customer:
    """A settled customer of exactly so many bytes, about MAX_BYTES, with 50 addresses."""
    customer = builders.customer(
        accepts_marketing=False, addresses=[Address(city=str(n)) for n in range(50)]
    )
    for number in range(250):
        attribute = customer.attribute_groups[f"g{number // 200}"].attributes[f"a{number}"]
        attribute.attribute_value = "x" * 1000
    settled(customer)
    while size - customer.ByteSize() > 1000:
        customer.tax_exemptions.append("x" * 500)
    customer.last_name = "x" * (size - customer.ByteSize() - 3)
    return customer


def _texts(message: type[Customer | Address]) -> list[str]:
    return [
        field.name
        for field in message.DESCRIPTOR.fields
        if field.type == field.TYPE_STRING and not field.is_repeated
    ]


FIELDS = [*Customer.DESCRIPTOR.fields_by_name]

ANY_ADDRESS = st.builds(
    Address, default_address=st.booleans(), **dict.fromkeys(_texts(Address), ANY_TEXT)
)
ANY_GROUP = st.builds(
    AttributeGroup,
    attribute_group=ANY_TEXT,
    attributes=st.dictionaries(
        ANY_TEXT,
        st.builds(Attribute, attribute_value=ANY_TEXT, value_type=st.integers(-1, 7)),
        max_size=2,
    ),
)
ANY_TIMESTAMP = st.builds(
    Timestamp, seconds=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(-(2**31), 2**31 - 1)
)
ANY_CUSTOMER = st.builds(
    Customer,
    tax_exemptions=st.lists(ANY_TEXT, max_size=2),
    addresses=st.lists(ANY_ADDRESS, max_size=2),
    default_address=st.none() | ANY_ADDRESS,
    attribute_groups=st.dictionaries(ANY_TEXT, ANY_GROUP, max_size=2),
    customerState=st.integers(-1, 6),
    marketing_optin_level=st.integers(-1, 5),
    marketing_preferences_updated_at=st.none() | ANY_TIMESTAMP,
    created_date=st.none() | ANY_TIMESTAMP,
    **(
        dict.fromkeys(_texts(Customer), st.none() | ANY_TEXT)
        | {"email": st.just("ada@example.com") | ANY_TEXT}
    ),
)

NAME = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=9)
ADDRESS = st.builds(
    Address,
    city=NAME,
    country_code=st.sampled_from([None, "de", "CH", " it "]),
    phone=st.none() | NAME,
)
VALID_CUSTOMER = st.builds(
    Customer,
    customer_ref=st.none() | NAME,
    email=st.sampled_from(["ada@example.com", " Ada@Example.com ", "ada@b\u00fccher.example"]),
    first_name=st.none() | NAME,
    mobile=st.sampled_from([None, "", "+49 170 1234567", "044 668 18 00"]),
    dob=st.sampled_from([None, " ", "1815-12-10", "1815-12-10T12:00:00+01:00"]),
    active=st.none() | st.booleans(),
    accepts_marketing=st.booleans(),
    customerState=st.none() | st.integers(0, 4),
    tax_exemptions=st.lists(NAME, max_size=2),
    # Which of two equal addresses is the default only ids could tell.
    addresses=st.lists(ADDRESS, max_size=3, unique_by=lambda address: address.city),
    default_address=st.none() | ADDRESS,
    attribute_groups=st.dictionaries(
        NAME, st.builds(AttributeGroup, attribute_group=NAME), max_size=2
    ),
)


@EXAMPLES
@given(ANY_CUSTOMER)
def test_any_customer(customer: Customer) -> None:
    """Whatever its texts and numbers, a customer is settled or refused as invalid input."""
    with suppress(InvalidInput):
        assert emails.problem(settled(customer, "DE").email) is None


@EXAMPLES
@given(ANY_CUSTOMER, st.lists(st.sampled_from([*FIELDS, "*"]) | ANY_TEXT, max_size=3))
def test_any_update(request: Customer, mask: list[str]) -> None:
    """Whatever an update says, it is made or refused as invalid input."""
    customer = stored(addresses=[builders.address()])

    with suppress(InvalidInput):
        update.update(customer, request, FieldMask(paths=mask), ValidationContext(LATER, "DE"))
        assert emails.problem(customer.email) is None


@EXAMPLES
@given(ANY_ADDRESS)
def test_any_added_address(address: Address) -> None:
    """Whatever an address says, it is added or refused as invalid input."""
    customer = stored(addresses=[builders.address()])

    with suppress(InvalidInput):
        update.add_address(customer, address, ValidationContext(LATER, "DE"))
        assert len(customer.addresses) == 2


@EXAMPLES
@given(VALID_CUSTOMER)
def test_customer_settled_twice(customer: Customer) -> None:
    """A customer that is settled stays as it is when it is settled again."""
    once = copy(settled(customer, "DE"))

    assert settled(customer, "DE") == once


@EXAMPLES
@given(VALID_CUSTOMER)
def test_default_of_settled_customer(customer: Customer) -> None:
    """One of the addresses, if there are any, is marked, and the default address repeats it."""
    settled(customer, "DE")

    marked = [address for address in customer.addresses if address.default_address]
    assert marked == ([customer.default_address] if customer.addresses else [])


@EXAMPLES
@given(VALID_CUSTOMER)
def test_update_with_unchanged_customer(customer: Customer) -> None:
    """An update with the whole of a stored customer leaves it as it is."""
    settled(customer, "DE")
    set_server_fields(customer, NOW)
    before = copy(customer)

    update.update(customer, copy(before), FieldMask(), ValidationContext(LATER, "DE"))
    set_server_fields(customer, NOW)

    before.last_modified_date.CopyFrom(customer.last_modified_date)
    assert customer == before


def test_restored_after_a_merge() -> None:
    """A customer that is stored again after a merge had deleted it is merged into none."""
    customer = stored()
    customer.merged_into = "another"

    set_server_fields(customer, LATER)

    assert not customer.HasField("merged_into")


def test_customer_of_256_kib() -> None:
    """A customer may take 256 KiB in its Protobuf encoding."""
    customer = settled(_customer_of(MAX_BYTES))

    assert customer.ByteSize() == MAX_BYTES


def test_too_large_customer() -> None:
    """A customer is refused from the first byte beyond 256 KiB."""
    assert refused(_customer_of(MAX_BYTES + 1)) == [
        Violation("customer", "must be at most 256 KiB")
    ]


def test_change_of_largest_customer() -> None:
    """A customer is not too large for the least change once it could be created."""
    created = []
    for size in range(MAX_BYTES - 8_000, MAX_BYTES + 1, 1_000):
        with suppress(InvalidInput):
            created.append(settled(_customer_of(size)))

    for customer in created:
        set_server_fields(customer, NOW)
        update.update(customer, Customer(active=False), FieldMask(), ValidationContext(LATER))

    assert [customer.active for customer in created] == [False] * len(created) != []


def test_stamp_of_new_customer() -> None:
    """A new customer gets an id of its own, and one moment as both of its dates."""
    first, second = stored(), stored()

    assert UUID7.fullmatch(first.id)
    assert first.id != second.id
    assert first.created_date == timestamp("2026-03-04T05:06:07.891Z")
    assert first.last_modified_date == first.created_date


def test_stamp_of_stored_customer() -> None:
    """A stored customer keeps its ids and the date of its creation."""
    customer = stored(addresses=[builders.address()])
    before = copy(customer)

    set_server_fields(customer, LATER)

    before.last_modified_date.CopyFrom(timestamp("2026-03-05T05:06:07.891Z"))
    assert customer == before


@pytest.mark.parametrize(
    ("created", "modified", "expected"),
    [
        ("04T05:06:07.891Z", "04T05:06:07.891Z", "04T05:06:07.892Z"),
        ("04T05:06:07.891Z", "09T05:06:07.123Z", "09T05:06:07.124Z"),
        ("04T05:06:07.891Z", "09T05:06:07.999Z", "09T05:06:08.001Z"),
        ("09T05:06:07.123Z", "04T05:06:07.123Z", "09T05:06:07.124Z"),
        ("01T05:06:07.123Z", "04T05:06:07.890Z", "04T05:06:07.891Z"),
    ],
    ids=["same moment", "set back", "set back to a second", "before creation", "later"],
)
def test_stamp_after_earlier_ones(created: str, modified: str, expected: str) -> None:
    """Whatever the clock says, a change has a later date than creation and the last change."""
    customer = stored()
    customer.created_date.CopyFrom(timestamp(f"2026-03-{created}"))
    customer.last_modified_date.CopyFrom(timestamp(f"2026-03-{modified}"))

    set_server_fields(customer, NOW)

    assert customer.created_date == timestamp(f"2026-03-{created}")
    assert customer.last_modified_date == timestamp(f"2026-03-{expected}")


def test_stamp_of_addresses() -> None:
    """Each address gets an id of its own; the default address has that of its twin."""
    customer = stored(addresses=[builders.address(city="Rom"), builders.address(city="Bern")])

    assert all(UUID7.fullmatch(address.id) for address in customer.addresses)
    assert customer.addresses[0].id != customer.addresses[1].id
    assert customer.default_address == customer.addresses[0]
