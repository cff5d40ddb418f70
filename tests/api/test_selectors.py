"""What selects one customer, or one of its addresses, and what is refused."""

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Customer

from tests.support.builders import UNKNOWN_ID, address, customer
from tests.support.client import Client, failure


def created_by(client: Client) -> Customer:
    """Creates a customer that every key selects, and another."""
    client.create(customer(customer_ref="B-2", alternate_customer_ref="alt-2"))
    return client.create(
        customer(email="Ada+x@Example.com", customer_ref="A=1", alternate_customer_ref="alt 1")
    )


@pytest.mark.parametrize("key", ["id={id}", "{id}", "customerRef=A=1", "email=ada+X@example.COM"])
def test_update_by_key(client: Client, key: str) -> None:
    """An update selects by id, reference or e-mail address, each compared as it always is."""
    created = created_by(client)
    updated = client.update_by(key.replace("{id}", created.id), Customer(first_name="Ada"))
    assert (updated.id, updated.first_name) == (created.id, "Ada")


def test_update_by_key_with_same_values(client: Client) -> None:
    """A customer that repeats what the key has is taken."""
    created = created_by(client)
    same = Customer(id=created.id, customer_ref="A=1", email=created.email, last_name="L")
    for key in (f"id={created.id.upper()}", "customerRef=A=1", f"email={created.email}"):
        assert client.update_by(key, same).last_name == "L"


REFUSED = {
    "another id": ("id={id}", Customer(id=UNKNOWN_ID), "id"),
    "another reference": ("customerRef=A=1", Customer(customer_ref="C"), "customerRef"),
    "another e-mail": ("email=ada+x@example.com", Customer(email="b@example.com"), "email"),
    "unknown name": ("phone=1", Customer(), "key"),
    "no value": ("customerRef=", Customer(), "customerRef"),
    "no id": ("id=x", Customer(), "id"),
    "neither": ("x", Customer(), "id"),
    "no e-mail": ("email=x", Customer(), "email"),
}


@pytest.mark.parametrize(("key", "given", "field"), REFUSED.values(), ids=REFUSED)
def test_update_by_refused_key(client: Client, key: str, given: Customer, field: str) -> None:
    """A key that cannot be read, or that the customer contradicts, changes nothing."""
    created = created_by(client)
    refused = failure(lambda: client.update_by(key.replace("{id}", created.id), given))
    assert refused.reason == "INVALID_INPUT"
    assert set(refused.fields) == {field}
    assert client.get(created.id) == created


def test_update_by_ref_with_id_of_another(client: Client) -> None:
    """An id that is not that of the customer with the key is a mismatch."""
    created_by(client)
    refused = failure(lambda: client.update_by("customerRef=A=1", Customer(id=UNKNOWN_ID)))
    assert refused.reason == "ID_MISMATCH"


def test_update_of_missing_key(client: Client) -> None:
    """A key that no customer has is NOT_FOUND."""
    for key in (f"id={UNKNOWN_ID}", "customerRef=none", "email=none@example.com"):
        assert failure(lambda key=key: client.update_by(key, Customer())).code is (  # type: ignore[misc]
            grpc.StatusCode.NOT_FOUND
        )


def test_get_by_email(client: Client) -> None:
    """A customer is read by its e-mail address in any case; none is NOT_FOUND."""
    created = created_by(client)
    assert client.get_by_email(" ADA+X@example.com") == created
    assert client.get_by_email("ada x@example.com") == created
    assert failure(lambda: client.get_by_email("no@example.com")).reason == "RESOURCE_NOT_FOUND"
    assert set(failure(lambda: client.get_by_email("no")).fields) == {"email"}


def test_alternate_ref(client: Client) -> None:
    """An alternate reference is unique, selects its customer, and is free after a deletion."""
    created = created_by(client)
    assert client.get_by_alternate_ref("alt 1") == created
    refused = failure(lambda: client.create(customer(alternate_customer_ref="alt 1")))
    assert refused.reason == "ALREADY_EXISTS"
    assert refused.owners == {"alternateCustomerRef": created.id}
    assert failure(lambda: client.get_by_alternate_ref("ALT 1")).reason == "RESOURCE_NOT_FOUND"
    client.delete(created.id)
    assert client.create(customer(alternate_customer_ref="alt 1")).alternate_customer_ref == "alt 1"


def test_delete_by_id_of_ref_request(client: Client) -> None:
    """A deletion by reference takes an id instead, both if they agree, and never nothing."""
    first, second = created_by(client), client.create(customer(customer_ref="D"))
    assert set(failure(lambda: client.delete_by_ref(None)).fields) == {"customerRef"}
    client.delete_by_ref(None, first.id)
    assert client.get(first.id) == Customer()
    client.delete_by_ref("D", second.id)
    assert client.get(second.id) == Customer()


def test_cleared_fields(client: Client) -> None:
    """Fields to be cleared lose their value beside those that get one."""
    created = client.create(
        customer(phone="+491701234567", first_name="Ada", addresses=[address()], tax_exempt=True)
    )
    key = f"id={created.id}"
    updated = client.update_by(key, Customer(last_name="L"), "phone", "addresses", "taxExempt")
    assert (updated.first_name, updated.last_name) == ("Ada", "L")
    assert (updated.phone, [*updated.addresses], updated.tax_exempt) == ("", [], False)
    refused = failure(lambda: client.update_by(key, Customer(), "phone", "nothing"))
    assert set(refused.fields) == {"clearedFields"}
    assert set(failure(lambda: client.update_by(key, Customer(), "email")).fields) == {"email"}


def test_cleared_fields_beside_mask(client: Client) -> None:
    """With a mask only that counts."""
    created = client.create(customer(first_name="Ada", last_name="L"))
    request = pb.UpdateCustomerRequest(
        customer=Customer(id=created.id),
        update_mask=FieldMask(paths=["first_name"]),
        cleared_fields=FieldMask(paths=["last_name"]),
    )
    updated = client.send_update(request)
    assert (updated.HasField("first_name"), updated.last_name) == (False, "L")


def test_update_of_one_address(client: Client) -> None:
    """The fields of one address that are given change, those to be cleared go, others stay."""
    created = client.create(customer(addresses=[address(address1="A"), address(city="Rom")]))
    first, second = created.addresses
    updated = client.update_address(created.id, first.id, Address(city="Bonn"), "address1")
    changed, other = updated.addresses
    assert (changed.id, changed.city, changed.HasField("address1")) == (first.id, "Bonn", False)
    assert other == second
    assert updated.default_address == changed

    marked = client.update_address(created.id, second.id, Address(default_address=True))
    assert marked.default_address.id == second.id
    assert [it.default_address for it in marked.addresses] == [False, True]


def test_refused_update_of_one_address(client: Client) -> None:
    """An address that breaks a rule, or that the customer does not have, changes nothing."""
    created = client.create(customer(addresses=[address()]))
    own = created.addresses[0].id
    bad = Address(country_code="XX")
    assert set(failure(lambda: client.update_address(created.id, own, bad)).fields) == {
        "countryCode"
    }
    emptied = failure(lambda: client.update_address(created.id, own, Address(), "city"))
    assert set(emptied.fields) == {"address"}
    unknown = failure(lambda: client.update_address(created.id, own, Address(), "town"))
    assert set(unknown.fields) == {"clearedFields"}
    missing = failure(lambda: client.update_address(created.id, UNKNOWN_ID, address()))
    assert missing.reason == "RESOURCE_NOT_FOUND"
    assert set(failure(lambda: client.update_address(created.id, "x", bad)).fields) == {"addressId"}
    assert client.get(created.id) == created


def test_deletion_of_one_address(client: Client) -> None:
    """An address is removed, the first of the others becomes the default, and a repeat is fine."""
    created = client.create(customer(addresses=[address(), address(city="Rom")]))
    first, second = (it.id for it in created.addresses)
    left = client.delete_address(created.id, first)
    assert [it.id for it in left.addresses] == [second]
    assert left.default_address.id == second
    tag, changes = client.etag, len(client.changes().changes)
    assert client.delete_address(created.id, first) == left
    assert (client.etag, len(client.changes().changes)) == (tag, changes)
    assert not client.delete_address(created.id, second).HasField("default_address")
    gone = failure(lambda: client.delete_address(UNKNOWN_ID, second))
    assert gone.reason == "RESOURCE_NOT_FOUND"


def test_later_fields(client: Client) -> None:
    """The fields of the public API that its document does not have are stored and returned."""
    given = customer(
        vip_status="gold",
        loyalty_tier="2",
        spend_to_next_tier=12.5,
        joined_store_id="S1",
        member_since="2020-01-31",
        optin_preferences={"email": True, "sms": False},
        addresses=[
            address(address_ref="h", name="A L", address_type="billing", building="B", level="3")
        ],
        attribute_groups={"g": {"description": "of shoes"}},
    )
    created = client.create(given)
    for name in ("vip_status", "loyalty_tier", "spend_to_next_tier", "joined_store_id"):
        assert getattr(created, name) == getattr(given, name)
    assert created.member_since == "2020-01-31"
    assert created.optin_preferences == given.optin_preferences
    assert created.addresses[0].level == "3"
    assert created.attribute_groups["g"].description == "of shoes"


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"spend_to_next_tier": -1}, {"spendToNextTier"}),
        ({"spend_to_next_tier": float("nan")}, {"spendToNextTier"}),
        ({"spend_to_next_tier": float("inf")}, {"spendToNextTier"}),
        ({"member_since": "yesterday"}, {"memberSince"}),
        ({"member_since": "2999-01-01"}, {"memberSince"}),
        ({"alternate_customer_ref": ".."}, {"alternateCustomerRef"}),
        ({"vip_status": "\0"}, {"vipStatus"}),
        ({"attribute_groups": {"g": {"description": "\0"}}}, {'attributeGroups["g"].description'}),
    ],
    ids=str,
)
def test_refused_later_fields(client: Client, fields: dict[str, object], names: set[str]) -> None:
    """Each of them has a rule, and is named if it breaks it."""
    assert set(failure(lambda: client.create(customer(**fields))).fields) == names
