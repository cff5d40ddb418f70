"""A store changes and deletes customers, and takes many new ones at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from peewee import SQL
from twc.customer.v2.customer_pb2 import Customer

from tests.support.stores import FULL, Read, each_key, each_read, find, insert, only, stamped
from twc_customer_server.errors import AlreadyExists, Clash, IdMismatch, NotFound, Unavailable
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.schema import CustomerRow
from twc_customer_server.storage.statements import parameter
from twc_customer_server.storage.store import CustomerStore, Precondition

# Later than the dates of every customer.
NOW = 4_000_000_000_000


def row(database: Database, tenant: str, customer_id: str) -> tuple[Any, ...] | None:
    """What the table holds of a customer, deleted or not: its times, then its body."""
    times = (CustomerRow.created_at, CustomerRow.modified_at, CustomerRow.deleted_at)
    query = CustomerRow.select(*times, CustomerRow.body).where(
        CustomerRow.tenant == parameter("tenant"), CustomerRow.id == parameter("id")
    )
    rows = database.rows(database.compile(query), {"tenant": tenant, "id": customer_id})
    return rows[0] if rows else None


@each_key
def test_change(store: CustomerStore, tenant: str, key_of: Callable[[Customer], Key]) -> None:
    """A change is given what is stored, and what it returns is what is then read."""
    customer = insert(store, tenant, **FULL)
    seen = []

    def edit(stored: Customer) -> None:
        seen.append(stored.SerializeToString())
        stored.first_name = "Augusta"

    changed = store.change(tenant, key_of(customer), edit)
    assert seen == [customer.SerializeToString()]
    assert Customer.FromString(changed).first_name == "Augusta"
    assert store.get(tenant, Key.id(customer.id)) == changed


def test_keys_of_changed_customer(store: CustomerStore, tenant: str) -> None:
    """A changed customer is found by its new values only, and its old ones are free."""
    customer = insert(store, tenant, **FULL)
    new: dict[str, Any] = {
        "email": "augusta@example.com",
        "mobile": "+15005550006",
        "phone": "+15005550007",
        "customer_ref": "A-2",
        "first_name": "Augusta",
        "last_name": "King",
    }
    store.change(tenant, Key.id(customer.id), lambda stored: stored.MergeFrom(Customer(**new)))
    successor = insert(store, tenant, **FULL)
    for name, (old_key, new_key) in {
        "email": ("ada@example.com", "augusta@example.com"),
        "mobile": (FULL["mobile"], "+15005550006"),
        "phone": (FULL["phone"], "+15005550007"),
        "first_name": ("ada", "augusta"),
        "last_name": ("lovelace", "king"),
    }.items():
        assert [found.id for found in find(store, tenant, {name: old_key})] == [successor.id]
        assert [found.id for found in find(store, tenant, {name: new_key})] == [customer.id]
    assert store.get(tenant, Key.ref("A-1")) == successor.SerializeToString()


def test_cleared_keys(store: CustomerStore, tenant: str) -> None:
    """A value that a change clears finds the customer no longer."""
    customer = insert(store, tenant, **FULL)

    def edit(stored: Customer) -> None:
        for field in ("customer_ref", "mobile", "phone", "first_name", "last_name"):
            stored.ClearField(field)

    store.change(tenant, Key.id(customer.id), edit)
    assert store.get(tenant, Key.ref("A-1")) is None
    assert find(store, tenant, {"mobile": FULL["mobile"]}) == []
    assert find(store, tenant, {"phone": FULL["phone"]}) == []
    assert find(store, tenant, {"first_name": "ada"}) == []
    assert find(store, tenant, {"last_name": "lovelace"}) == []


def test_keys_that_are_not_known_yet(store: CustomerStore, database: Database, tenant: str) -> None:
    """A change fills in keys that a row lacks, as those of a release before have left it."""
    customer = insert(store, tenant, **FULL)
    later = (CustomerRow.last_name_fold, CustomerRow.last_name_key, CustomerRow.status)
    lacking = CustomerRow.update(dict.fromkeys(later, SQL("NULL"))).where(
        CustomerRow.tenant == parameter("tenant"), CustomerRow.id == parameter("id")
    )
    database.write_one(database.compile(lacking), {"tenant": tenant, "id": customer.id})
    assert find(store, tenant, {"last_name": "lovelace"}) == []

    store.change(
        tenant,
        Key.id(customer.id),
        lambda stored: stored.MergeFrom(Customer(loyalty_tier="gold")),
    )

    assert [found.id for found in find(store, tenant, {"last_name": "lovelace"})] == [customer.id]


def test_change_with_own_values(store: CustomerStore, tenant: str) -> None:
    """A customer keeps its unique values through a change without clashing with itself."""
    customer = insert(store, tenant, **FULL)
    changed = store.change(
        tenant,
        Key.id(customer.id),
        lambda stored: stored.MergeFrom(Customer(email="ADA@EXAMPLE.com")),
    )
    assert Customer.FromString(changed).email == "ADA@EXAMPLE.com"
    assert [found.id for found in find(store, tenant, {"email": "ada@example.com"})] == [
        customer.id
    ]


@pytest.mark.parametrize("key", [Key.id("no-such"), Key.ref("no-such"), Key.ref("")])
def test_change_not_found(store: CustomerStore, tenant: str, key: Key) -> None:
    """A change of a customer that is not there fails, says by what it was looked for."""
    insert(store, tenant)
    edited: list[Customer] = []
    with pytest.raises(NotFound) as refused:
        store.change(tenant, key, edited.append)
    assert key.field in str(refused.value)
    assert edited == []


def test_change_with_failing_edit(store: CustomerStore, tenant: str) -> None:
    """What an edit raises comes to the caller, and nothing is changed."""
    customer = insert(store, tenant, **FULL)

    def edit(stored: Customer) -> None:
        stored.first_name = "Half done"
        raise LookupError("by the edit")

    with pytest.raises(LookupError, match="by the edit"):
        store.change(tenant, Key.id(customer.id), edit)
    assert store.get(tenant, Key.id(customer.id)) == customer.SerializeToString()
    assert find(store, tenant, {"first_name": "half done"}) == []


def test_change_times(store: CustomerStore, database: Database, tenant: str) -> None:
    """The row's times are those of the customer: a change moves the one of modification only."""
    customer = insert(store, tenant)
    created = customer.created_date.ToMilliseconds()
    store.change(
        tenant,
        Key.id(customer.id),
        lambda stored: stored.last_modified_date.FromMilliseconds(created + 5),
    )
    changed = row(database, tenant, customer.id)
    assert changed is not None
    assert changed[:3] == (created, created + 5, None)


def test_change_at_once(store: CustomerStore, tenant: str) -> None:
    """Of 32 changes of one customer at once none is lost."""
    customer = insert(store, tenant)

    def add(text: str) -> Customer:
        changed = store.change(
            tenant, Key.id(customer.id), lambda stored: stored.tax_exemptions.append(text)
        )
        return Customer.FromString(changed)

    texts = {f"exemption {number}" for number in range(32)}
    with ThreadPoolExecutor(32) as threads:
        sizes = sorted(len(it.tax_exemptions) for it in threads.map(add, texts))
    stored = Customer.FromString(store.get(tenant, Key.id(customer.id)) or b"")
    assert set(stored.tax_exemptions) == texts
    assert sizes == list(range(1, 33))


@each_read
@each_key
def test_reads_of_deleted_customer(
    store: CustomerStore, tenant: str, key_of: Callable[[Customer], Key], read: Read
) -> None:
    """No read finds a customer that was deleted, by id or by reference."""
    customer = insert(store, tenant, **FULL)
    store.delete(tenant, key_of(customer), NOW)
    assert not read(store, tenant, customer)


def test_deleted_row(store: CustomerStore, database: Database, tenant: str) -> None:
    """The row of a deleted customer stays whole, with the time of its first deletion."""
    customer = insert(store, tenant, **FULL)
    created = customer.created_date.ToMilliseconds()
    store.delete(tenant, Key.id(customer.id), NOW)
    store.delete(tenant, Key.id(customer.id), NOW + 1)
    kept = (created, NOW, NOW, customer.SerializeToString())
    assert row(database, tenant, customer.id) == kept


@pytest.mark.parametrize("is_checked", [False, True])
@pytest.mark.parametrize("late", [-3_600_000, 0, 1, 3_600_000])
def test_time_of_deletion(
    store: CustomerStore,
    database: Database,
    tenant: str,
    late: int,
    is_checked: bool,  # noqa: FBT001 - pytest names it
) -> None:
    """A deletion is later than the last change, also by a clock that was set back."""
    customer = insert(store, tenant)
    modified = customer.last_modified_date.ToMilliseconds()
    check = only(customer.id) if is_checked else None
    store.delete(tenant, Key.id(customer.id), modified + late, check)
    expected = modified + max(late, 1)
    deleted = row(database, tenant, customer.id)
    assert deleted is not None
    assert deleted[1:3] == (expected, expected)


def test_values_of_deleted_customers(store: CustomerStore, tenant: str) -> None:
    """A new customer may take all values of deleted ones, again and again."""
    for _ in range(3):
        customer = insert(store, tenant, **FULL)
        assert store.get(tenant, Key.ref("A-1")) == customer.SerializeToString()
        store.delete(tenant, Key.ref("A-1"), NOW)
    last = insert(store, tenant, **FULL)
    assert [found.id for found in find(store, tenant, {"email": "ada@example.com"})] == [last.id]


def test_delete_with_namesakes(store: CustomerStore, tenant: str) -> None:
    """Deleting one customer leaves the tenant's others, with the same names, in place."""
    gone = insert(store, tenant, first_name="Ada")
    kept = insert(store, tenant, first_name="Ada")
    store.delete(tenant, Key.id(gone.id), NOW)
    assert find(store, tenant, {"first_name": "ada"}) == [(kept.id, kept.SerializeToString())]


@each_key
def test_change_of_deleted_customer(
    store: CustomerStore, tenant: str, key_of: Callable[[Customer], Key]
) -> None:
    """A deleted customer cannot be changed."""
    customer = insert(store, tenant, **FULL)
    store.delete(tenant, Key.id(customer.id), NOW)
    with pytest.raises(NotFound):
        store.change(tenant, key_of(customer), lambda stored: stored.ClearField("phone"))


@pytest.mark.parametrize("check", [None, only("another")])
@pytest.mark.parametrize("key", [Key.id("no-such"), Key.ref("no-such"), Key.ref("")])
def test_delete_unknown(
    store: CustomerStore, tenant: str, key: Key, check: Precondition | None
) -> None:
    """Deleting a customer that is not there succeeds and touches no other."""
    customer = insert(store, tenant)
    store.delete(tenant, key, NOW, check)
    assert store.get(tenant, Key.id(customer.id)) == customer.SerializeToString()


def test_delete_with_passing_check(store: CustomerStore, tenant: str) -> None:
    """A deletion that a check of the customer lets pass is done."""
    customer = insert(store, tenant, **FULL)
    store.delete(tenant, Key.ref("A-1"), NOW, only(customer.id))
    assert store.get(tenant, Key.id(customer.id)) is None


@pytest.mark.parametrize("only_id", ["", "another"])
def test_delete_with_failing_check(store: CustomerStore, tenant: str, only_id: str) -> None:
    """A deletion that a check refuses is not done, and fails as the check does."""
    customer = insert(store, tenant, **FULL)
    with pytest.raises(IdMismatch):
        store.delete(tenant, Key.ref("A-1"), NOW, only(only_id))
    assert store.get(tenant, Key.ref("A-1")) == customer.SerializeToString()


def test_insert_each(store: CustomerStore, tenant: str) -> None:
    """Of a list each customer has its outcome in order: of equal ones the first is stored."""
    owner = insert(store, tenant, email="owner@example.com")
    first, taken, second, twin = (
        stamped(email=f"{name}@example.com") for name in ("first", "OWNER", "second", "First")
    )
    outcomes = store.insert_each(tenant, [first, taken, second, twin])
    clashes = [outcome and outcome.clashes for outcome in outcomes]
    assert clashes == [None, [Clash("email", owner.id)], None, [Clash("email", first.id)]]
    stored = [store.get(tenant, Key.id(it.id)) for it in (first, taken, second, twin)]
    assert stored == [first.SerializeToString(), None, second.SerializeToString(), None]


def test_insert_each_clash_with_several(store: CustomerStore, tenant: str) -> None:
    """A customer of a list is told all its clashes, with stored ones and with earlier ones."""
    owner = insert(store, tenant, mobile="+4915112345678")
    first, second = stamped(customer_ref="C-3"), stamped(phone="+4989123456")
    clashing = stamped(mobile="+4915112345678", phone="+4989123456", customer_ref="C-3")
    outcomes = store.insert_each(tenant, [first, second, clashing])
    assert outcomes[:2] == [None, None]
    assert isinstance(outcomes[2], AlreadyExists)
    assert dict(outcomes[2].clashes) == {
        "mobile": owner.id,
        "phone": second.id,
        "customerRef": first.id,
    }


def test_insert_each_of_none(store: CustomerStore, tenant: str) -> None:
    """An empty list has no outcomes."""
    assert store.insert_each(tenant, []) == []


def test_insert_again(store: CustomerStore, tenant: str) -> None:
    """A customer that is inserted again, as after a lost commit, is there once."""
    customer = insert(store, tenant, last_name="Same")
    store.insert(tenant, customer)
    assert store.insert_each(tenant, [customer, other := stamped(last_name="Same")]) == [None, None]
    found = find(store, tenant, {"last_name": "same"})
    assert [it.id for it in found] == [customer.id, other.id]


def test_insert_same_id(store: CustomerStore, tenant: str) -> None:
    """An id that is taken, which only a fault of the server explains, replaces nothing."""
    customer = insert(store, tenant)
    with pytest.raises(Unavailable):
        store.insert(tenant, Customer(id=customer.id, email="other@example.com"))
    assert store.get(tenant, Key.id(customer.id)) == customer.SerializeToString()
