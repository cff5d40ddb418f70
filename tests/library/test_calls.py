"""Each method does what the service documents, in both kinds of client."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.builders import UNKNOWN_ID
from tests.support.in_process import InProcessServer
from tests.support.tokens import token_for
from twc_customer_client import Address, Customer, CustomerClient
from twc_customer_client.errors import (
    AlreadyExists,
    AlreadyMerged,
    EtagMismatch,
    IdempotencyKeyReused,
    IdMismatch,
    InvalidCustomer,
    NotDeleted,
    NotFound,
)


def ada(customers: CustomerClient, **fields: Any) -> Customer:
    """A customer that is stored."""
    return customers.create(Customer(email="ada@example.com", first_name="Ada", **fields))


def emails(*numbers: int) -> list[Customer]:
    """Customers to store."""
    return [Customer(email=f"{number}@example.com", last_name="Smith") for number in numbers]


def test_get(customers: CustomerClient) -> None:
    """A customer is found by its id, references and e-mail address, and not by others."""
    stored = ada(customers, customer_ref="r-1", alternate_customer_ref="a-1")

    assert customers.get(stored.id) == stored
    assert customers.get_by_ref("r-1") == stored
    assert customers.get_by_alternate_ref("a-1") == stored
    assert customers.get_by_email("ADA@example.com") == stored
    with pytest.raises(NotFound) as raised:
        customers.get(UNKNOWN_ID)
    assert raised.value.reason == "RESOURCE_NOT_FOUND"
    with pytest.raises(NotFound):
        customers.get_by_ref("r-2")


def test_validate(customers: CustomerClient) -> None:
    """A customer is validated as it would be stored, and not stored."""
    assert customers.validate(Customer(email=" ada@example.com ")).email == "ada@example.com"
    with pytest.raises(NotFound):
        customers.get_by_email("ada@example.com")


def test_update(customers: CustomerClient) -> None:
    """An update changes the fields that are set, named or cleared, and no others."""
    stored = ada(customers, last_name="King", customer_ref="r-1")

    updated = customers.update(Customer(id=stored.id, last_name="Lovelace"))
    assert (updated.first_name, updated.last_name) == ("Ada", "Lovelace")
    updated = customers.update(Customer(vip_status="gold"), key="email=ada@example.com")
    assert (updated.vip_status, updated.last_name) == ("gold", "Lovelace")
    updated = customers.update(
        Customer(id=stored.id, last_name="Byron"), update_mask=["first_name"]
    )
    assert (updated.HasField("first_name"), updated.last_name) == (False, "Lovelace")
    updated = customers.update(Customer(customer_ref="r-1"), cleared_fields=["last_name"])
    assert not updated.HasField("last_name")


def test_update_fields(customers: CustomerClient) -> None:
    """Fields that are given by name are set, or cleared, and others refused."""
    stored = ada(customers, last_name="King")

    updated = customers.update_fields(
        stored.id, first_name=None, accepts_marketing=True, addresses=[Address(city="London")]
    )
    assert not updated.HasField("first_name")
    assert updated.accepts_marketing
    assert [each.city for each in updated.addresses] == ["London"]
    assert updated.last_name == "King"
    with pytest.raises(ValueError, match="no field surname"):
        customers.update_fields(stored.id, surname="King")


def test_conditions(customers: CustomerClient) -> None:
    """A change with the tag of another version fails, and a version that is known is not sent."""
    stored = ada(customers)
    customer, etag = customers.get_versioned(stored.id)
    assert (customer, etag[0]) == (stored, '"')
    assert customers.get_if_changed(stored.id, etag) is None

    customers.update_fields(stored.id, first_name="Augusta", if_match=etag)
    changed = customers.get_if_changed(stored.id, etag)

    assert changed is not None
    assert changed.customer.first_name == "Augusta"
    for change in (
        lambda: customers.update_fields(stored.id, first_name="Eve", if_match=etag),
        lambda: customers.add_address(stored.id, Address(city="London"), if_match=etag),
        lambda: customers.delete(stored.id, if_match=etag),
        lambda: customers.erase(stored.id, if_match=etag),
    ):
        with pytest.raises(EtagMismatch):
            change()
    with pytest.raises(NotFound):
        customers.get_if_changed(UNKNOWN_ID, etag)


def test_modify(customers: CustomerClient, server: InProcessServer, tenant: str) -> None:
    """A change is made to the customer as it is, after those that others make meanwhile."""
    stored = ada(customers)
    seen = []

    def change(customer: Customer) -> None:
        seen.append(customer.first_name)
        if len(seen) == 1:
            others.update_fields(stored.id, first_name="Augusta")
        customer.last_name = "Lovelace"

    with CustomerClient(server.address, tenant=tenant, token=token_for(tenant)) as others:
        modified = customers.modify(stored.id, change)

    assert seen == ["Ada", "Augusta"]
    assert (modified.first_name, modified.last_name) == ("Augusta", "Lovelace")


def test_modify_email(customers: CustomerClient) -> None:
    """A new e-mail address is not verified, though the customer that was read was."""
    stored = customers.create(Customer(email="ada@example.com", verified_email=True))
    modified = customers.modify(stored.id, lambda it: setattr(it, "email", "eve@example.com"))
    assert (modified.email, modified.verified_email) == ("eve@example.com", False)
    assert customers.modify(stored.id, lambda _: None) == modified


def test_addresses(customers: CustomerClient) -> None:
    """Addresses are added, changed and removed."""
    stored = ada(customers)

    [address] = customers.add_address(stored.id, Address(city="Lundon", company="X")).addresses
    [changed] = customers.update_address(
        stored.id, address.id, Address(city="London"), cleared_fields=["company"]
    ).addresses
    assert (changed.city, changed.HasField("company")) == ("London", False)
    assert not customers.delete_address(stored.id, address.id).addresses


def test_merge(customers: CustomerClient) -> None:
    """A dry run returns what the merge then does."""
    kept = ada(customers)
    dropped = customers.create(Customer(email="b@example.com", last_name="King"))
    args = (kept.id, dropped.id)

    tried = customers.merge(*args, taken_fields=["email"], validate_only=True)
    assert customers.get(dropped.id) == dropped
    merged = customers.merge(*args, taken_fields=["email"])

    assert merged.customer.email == tried.customer.email == "b@example.com"
    assert merged.customer.last_name == "King"
    assert merged.dropped.merged_into == kept.id
    third = customers.create(Customer(email="c@example.com"))
    with pytest.raises(AlreadyMerged) as raised:
        customers.merge(third.id, dropped.id)
    assert raised.value.metadata == {"droppedId": kept.id}


def test_deletion(customers: CustomerClient) -> None:
    """A customer is deleted, restored and erased."""
    stored = ada(customers, customer_ref="r-1")

    with pytest.raises(NotDeleted):
        customers.restore(stored.id)
    with pytest.raises(IdMismatch):
        customers.delete_by_ref("r-1", only_id=UNKNOWN_ID)
    customers.delete_by_ref("r-1", only_id=stored.id)
    with pytest.raises(NotFound):
        customers.get(stored.id)
    assert customers.restore(stored.id).email == stored.email
    customers.delete(stored.id)
    customers.erase(stored.id)
    with pytest.raises(NotFound):
        customers.restore(stored.id)


def test_keys(customers: CustomerClient) -> None:
    """A key of the caller's own makes two calls one, and is no key of another request."""
    first = customers.create(Customer(email="ada@example.com"), idempotency_key="k")
    assert customers.create(Customer(email="ada@example.com"), idempotency_key="k") == first
    with pytest.raises(IdempotencyKeyReused):
        customers.create(Customer(email="b@example.com"), idempotency_key="k")


def test_pages(customers: CustomerClient) -> None:
    """Lookups and lists read all pages, and begin at a page if told so."""
    customers.upload(emails(*range(5)))

    looked_up = customers.lookup(last_name="smith", page_size=2)
    assert [each.email for each in looked_up] == [f"{n}@example.com" for n in range(5)]
    listed = [each.email for each in customers.list(order_by="createdDate desc", page_size=2)]
    assert listed == [f"{n}@example.com" for n in reversed(range(5))]
    assert len([*customers.list('lastName = "smi*"')]) == 5
    page = customers.list_page(page_size=2)
    rest = customers.list(page_size=2, page_token=page.next_page_token)
    assert len([*rest]) == 3
    assert rest.cursor == ""


def test_upload(customers: CustomerClient) -> None:
    """An upload has a result for each customer; an atomic one stores all or none."""
    assert customers.upload([]) == ()

    stored, clash, invalid = customers.upload([*emails(1, 1), Customer(email="?")])
    assert stored.customer is not None
    assert isinstance(clash.error, AlreadyExists)
    assert clash.error.clashes == {"email": stored.customer.id}
    assert isinstance(invalid.error, InvalidCustomer)
    assert [each.field for each in invalid.error.violations] == ["email"]
    with pytest.raises(InvalidCustomer) as raised:
        customers.upload([*emails(2), Customer(email="?")], atomic=True)
    assert [each.field for each in raised.value.violations] == ["[1].email"]
    assert [*customers.lookup(email="2@example.com")] == []


def test_import(customers: CustomerClient) -> None:
    """An import has a result for each customer, in order, of any number of them."""
    results = [*customers.import_customers([*emails(*range(1000), 7), Customer(email="?")])]

    assert [each.index for each in results] == [*range(1002)]
    assert [each.outcome for each in results] == [*["created"] * 1000, "unchanged", "error"]
    assert results[1000].customer_id == results[7].customer_id
    assert isinstance(results[1001].error, InvalidCustomer)
    assert [*customers.import_customers([])] == []
    [result] = customers.import_customers(emails(2000), validate_only=True)
    assert (result.outcome, result.customer_id) == ("valid", "")


def test_export(customers: CustomerClient) -> None:
    """An export has all customers; the next one, by its cursor, what has changed since."""
    first, second = (it.customer for it in customers.upload(emails(1, 2)))
    assert first
    assert second
    export = customers.export()
    assert export.cursor == ""
    assert [each.email for each in export] == ["1@example.com", "2@example.com"]

    customers.delete(first.id)
    customers.update_fields(second.id, first_name="Ada")

    changed, deleted = customers.export(cursor=export.cursor, include_deleted=True)
    assert isinstance(changed, Customer)
    assert (changed.first_name, deleted.id) == ("Ada", first.id)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert [*customers.export(modified_since=later)] == []


def test_changes(customers: CustomerClient) -> None:
    """Changes are read up to now; the cursor goes on with the last that was taken."""
    customers.upload(emails(*range(5)))

    changes = customers.changes(page_size=2)
    taken = [next(changes).customer.email for _ in range(3)]
    # The third is the first of a page, which comes again.
    again = [change.customer.email for change in customers.changes(changes.cursor)]
    assert taken == [f"{n}@example.com" for n in range(3)]
    assert again == [f"{n}@example.com" for n in range(2, 5)]
    rest = [*changes]
    assert len(rest) == 2
    assert [*customers.changes(changes.cursor)] == []


def test_changes_from_now(customers: CustomerClient) -> None:
    """From now on there are no changes yet, but a cursor for later ones."""
    customers.create(Customer(email="ada@example.com"))
    now = customers.changes(from_now=True)
    assert [*now] == []
    customers.create(Customer(email="eve@example.com"))
    assert [it.customer.email for it in customers.changes(now.cursor)] == ["eve@example.com"]


def test_follow(customers: CustomerClient) -> None:
    """A follower sees all customers, or what changes from now on, and ends when it is told to."""
    customers.upload(emails(0, 1))

    with customers.follow() as feed:
        assert [next(feed).customer.email for _ in range(2)] == ["0@example.com", "1@example.com"]
        cursor = feed.cursor
        customers.upload(emails(2))
        assert next(feed).customer.email == "2@example.com"
    with customers.follow(cursor) as feed:
        assert next(feed).customer.email == "2@example.com"
