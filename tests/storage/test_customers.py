"""A store keeps customers, each tenant's apart, and no unique value twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.support.stores import FULL, Read, each_key, each_read, find, insert, stamped
from twc_customer_server.errors import AlreadyExists, Clash, NotFound
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore


class Same(NamedTuple):
    """Two customers' fields whose values are one to the store, and the field they clash in."""

    field: str
    first: dict[str, Any]
    second: dict[str, Any]


SAME = {
    "email": Same("email", {"email": "bob@x.org"}, {"email": "bob@x.org"}),
    "email-case": Same("email", {"email": "Bob@x.org"}, {"email": "bOB@X.ORG"}),
    "email-greek": Same("email", {"email": "ΝΊΚΟΣ@x.org"}, {"email": "νίκος@x.org"}),
    "email-idn": Same("email", {"email": "bob@Müller.de"}, {"email": "BOB@xn--mller-kva.de"}),
    "mobile": Same("mobile", {"mobile": "+4915112345678"}, {"mobile": "+4915112345678"}),
    "phone": Same("phone", {"phone": "+4989123456"}, {"phone": "+4989123456"}),
    "ref": Same("customerRef", {"customer_ref": "B-2"}, {"customer_ref": "B-2"}),
    "ref-long": Same("customerRef", {"customer_ref": "😀" * 1024}, {"customer_ref": "😀" * 1024}),
}
each_same = pytest.mark.parametrize("same", SAME.values(), ids=SAME)

DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "email": ({"email": "bob@x.org"}, {"email": "bob@x.com"}),
    "ref-case": ({"customer_ref": "b-2"}, {"customer_ref": "B-2"}),
    "ref-unicode-form": ({"customer_ref": "\u00e9"}, {"customer_ref": "e\u0301"}),
    "ref-long": ({"customer_ref": "😀" * 1023 + "a"}, {"customer_ref": "😀" * 1023 + "b"}),
    "no-values": ({}, {}),
    "empty-values": (
        {"customer_ref": "", "mobile": "", "phone": ""},
        {"customer_ref": "", "mobile": "", "phone": ""},
    ),
    "mobile-and-phone": ({"mobile": "+4989123456"}, {"phone": "+4989123456"}),
    "names": ({"first_name": "Ada", "last_name": "L"}, {"first_name": "Ada", "last_name": "L"}),
}

# A value of each unique field, by its name in Customer and then as errors name it.
UNIQUE = {name: FULL[name] for name in ("email", "mobile", "phone", "customer_ref")}
JSON_NAMES = {"customer_ref": "customerRef"}


@each_key
def test_get_stored(store: CustomerStore, tenant: str, key_of: Callable[[Customer], Key]) -> None:
    """A customer comes back by id and by reference as the very bytes that were stored."""
    customer = stamped(**FULL, tax_exemptions=["CA-BC", "CA-QC"], addresses=[{"city": "Ürümqi"}])
    encoded = customer.SerializeToString()
    store.insert(tenant, customer)
    assert store.get(tenant, key_of(customer)) == encoded


@pytest.mark.parametrize("key", [Key.id("no-such"), Key.id(""), Key.ref("no-such"), Key.ref("")])
def test_get_unknown(store: CustomerStore, tenant: str, key: Key) -> None:
    """A key that no customer has finds None, and an empty one does not find those without."""
    insert(store, tenant)
    assert store.get(tenant, key) is None


@each_read
def test_read_own(store: CustomerStore, tenant: str, read: Read) -> None:
    """Every read finds the tenant's own customer."""
    assert read(store, tenant, insert(store, tenant, **FULL))


@each_read
def test_read_foreign(store: CustomerStore, tenant: str, read: Read) -> None:
    """No read of another tenant finds the customer."""
    assert not read(store, f"{tenant}-foreign", insert(store, tenant, **FULL))


@each_key
def test_change_foreign(
    store: CustomerStore, tenant: str, key_of: Callable[[Customer], Key]
) -> None:
    """Another tenant that knows a customer's keys cannot change it, and is told it has none."""
    customer = insert(store, tenant, **FULL)
    with pytest.raises(NotFound) as refused:
        store.change(f"{tenant}-foreign", key_of(customer), lambda stored: stored.Clear())
    assert key_of(customer).field in str(refused.value)
    assert store.get(tenant, Key.id(customer.id)) == customer.SerializeToString()


@each_key
def test_delete_foreign(
    store: CustomerStore, tenant: str, key_of: Callable[[Customer], Key]
) -> None:
    """Another tenant that knows a customer's keys cannot delete it."""
    customer = insert(store, tenant, **FULL)
    store.delete(f"{tenant}-foreign", key_of(customer), 1)
    assert store.get(tenant, key_of(customer)) == customer.SerializeToString()


def test_insert_same_values_foreign(store: CustomerStore, tenant: str) -> None:
    """Two tenants may each have a customer with the same values."""
    foreign = f"{tenant}-foreign"
    first, second = insert(store, tenant, **FULL), insert(store, foreign, **FULL)
    assert store.get(tenant, Key.ref("A-1")) == first.SerializeToString()
    assert store.get(foreign, Key.ref("A-1")) == second.SerializeToString()


def test_insert_same_id_foreign(store: CustomerStore, tenant: str) -> None:
    """Two tenants may each have a customer with the same id, as after a move of data."""
    foreign = f"{tenant}-foreign"
    customer = insert(store, tenant, **FULL)
    twin = stamped(id=customer.id, first_name="Twin")
    store.insert(foreign, twin)
    store.delete(tenant, Key.id(customer.id), 1)
    assert store.get(foreign, Key.id(customer.id)) == twin.SerializeToString()


@each_same
def test_insert_clash(store: CustomerStore, tenant: str, same: Same) -> None:
    """A new customer with another's unique value is refused, and told the field and the owner."""
    owner = insert(store, tenant, **same.first)
    clashing = stamped(last_name="Late", **same.second)
    with pytest.raises(AlreadyExists) as refused:
        store.insert(tenant, clashing)
    assert refused.value.clashes == [Clash(same.field, owner.id)]
    assert store.get(tenant, Key.id(clashing.id)) is None
    assert find(store, tenant, {"last_name": "late"}) == []


@each_same
def test_change_clash(store: CustomerStore, tenant: str, same: Same) -> None:
    """A change to another's unique value is refused and leaves the customer as it was."""
    owner = insert(store, tenant, **same.first)
    customer = insert(store, tenant, last_name="Before")
    edited = Customer(last_name="After", **same.second)
    with pytest.raises(AlreadyExists) as refused:
        store.change(tenant, Key.id(customer.id), lambda stored: stored.MergeFrom(edited))
    assert refused.value.clashes == [Clash(same.field, owner.id)]
    assert store.get(tenant, Key.id(customer.id)) == customer.SerializeToString()
    assert find(store, tenant, {"last_name": "after"}) == []


@each_same
def test_clashes(store: CustomerStore, tenant: str, same: Same) -> None:
    """A customer yet to be stored is told its clashes; a stored one does not clash with itself."""
    owner = insert(store, tenant, **same.first)
    assert store.clashes(tenant, Customer(**same.second)) == [Clash(same.field, owner.id)]
    assert store.clashes(tenant, owner) == []


@pytest.mark.parametrize(("first", "second"), DIFFERENT.values(), ids=DIFFERENT)
def test_no_clash(
    store: CustomerStore, tenant: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Values that differ, are not given, or stand in different fields do not clash."""
    customers = [insert(store, tenant, **first), insert(store, tenant, **second)]
    stored = [store.get(tenant, Key.id(customer.id)) for customer in customers]
    assert stored == [customer.SerializeToString() for customer in customers]


def test_clash_with_several(store: CustomerStore, tenant: str) -> None:
    """A clash names every field, with the customer that owns the value of each."""
    owners = {
        JSON_NAMES.get(name, name): insert(store, tenant, **{name: value}).id
        for name, value in UNIQUE.items()
    }
    with pytest.raises(AlreadyExists) as refused:
        store.insert(tenant, stamped(**UNIQUE))
    assert dict(refused.value.clashes) == owners


def test_clash_with_one(store: CustomerStore, tenant: str) -> None:
    """A clash names every field of which one customer owns the value."""
    owner = insert(store, tenant, **UNIQUE)
    customer = insert(store, tenant)
    edited = Customer(**UNIQUE)
    with pytest.raises(AlreadyExists) as refused:
        store.change(tenant, Key.id(customer.id), lambda stored: stored.MergeFrom(edited))
    fields = {JSON_NAMES.get(name, name) for name in UNIQUE}
    assert dict(refused.value.clashes) == dict.fromkeys(fields, owner.id)


def test_insert_same_email_at_once(store: CustomerStore, tenant: str) -> None:
    """Of 64 customers created at once with one e-mail address, one is stored; all learn its id."""
    customers = [stamped(email="rush@example.com") for _ in range(64)]

    def try_insert(customer: Customer) -> list[Clash]:
        try:
            store.insert(tenant, customer)
        except AlreadyExists as refused:
            return list(refused.clashes)
        return []

    with ThreadPoolExecutor(64) as threads:
        outcomes = list(threads.map(try_insert, customers))
    [stored] = find(store, tenant, {"email": "rush@example.com"})
    expected = [[] if it.id == stored.id else [Clash("email", stored.id)] for it in customers]
    assert outcomes == expected
