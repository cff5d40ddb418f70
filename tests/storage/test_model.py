"""A store answers as a plain dictionary of customers would, whatever is done to it."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from twc.customer.v2.customer_pb2 import Customer

from tests.support.change_copy import ChangeCopy
from tests.support.stores import only, stamped
from twc_customer_server.errors import AlreadyExists, Clash, IdMismatch, NotDeleted, NotFound
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.deletions import DeletionStore
from twc_customer_server.storage.export import Export, Exported, Order, Place
from twc_customer_server.storage.listing import LAST_TEXT
from twc_customer_server.storage.reads import Found
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore, Precondition
from twc_customer_server.storage.stores import Stores

# Values, each with the spellings of it that are one to the store.
EMAILS = {
    "ada@example.com": ("ada@example.com", "Ada@Example.COM"),
    "bob@xn--mller-kva.de": ("bob@müller.de", "BOB@MÜLLER.de", "Bob@xn--mller-kva.de"),
    "eve@example.com": ("eve@example.com",),
}
NAMES = {"zoë": ("Zoë", "ZOË", "Zoe\u0308"), "max": ("Max", "max"), "": ("",)}
PHONES = ("", "+491701234567", "+493012345678")
REFS = ("", "r-1", "R-1", "😀" * 200 + "1", "😀" * 200 + "2")
FUTURE = 2**53
VALUE_OF = {text: value for table in (EMAILS, NAMES) for value in table for text in table[value]}

names = st.sampled_from([text for texts in NAMES.values() for text in texts])
phones, refs, tenants = st.sampled_from(PHONES), st.sampled_from(REFS), st.sampled_from((0, 1))
contents = st.fixed_dictionaries(
    {"email": st.sampled_from([text for texts in EMAILS.values() for text in texts])},
    optional={
        "mobile": phones,
        "phone": phones,
        "customer_ref": refs,
        "first_name": names,
        "last_name": names,
    },
)
searches = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(list(EMAILS)),
        "first_name": st.sampled_from([name for name in NAMES if name]),
        "last_name": st.sampled_from([name for name in NAMES if name]),
        "mobile": st.sampled_from(PHONES[1:]),
        "phone": st.sampled_from(PHONES[1:]),
    },
).filter(bool)


class Model:
    """What a store should be: a dictionary of live customers for each tenant."""

    def __init__(self) -> None:
        self.tenants: dict[str, dict[str, Customer]] = {}
        # Those that are erased are None.
        self.deleted: dict[str, dict[str, Customer | None]] = {}

    def get(self, tenant: str, key: Key) -> bytes | None:
        """The customer that a key finds, as bytes."""
        found = self._find(tenant, key)
        return found.SerializeToString() if found else None

    def search(self, tenant: str, wanted: Mapping[str, str], after: str, limit: int) -> list[Found]:
        """The customers with all wanted values, in the order of ids."""
        live = sorted(self._live(tenant).items())
        found = [
            Found(customer_id, customer.SerializeToString())
            for customer_id, customer in live
            if customer_id > after and wanted.items() <= _searched(customer).items()
        ]
        return found[:limit]

    def clashes(self, tenant: str, customer: Customer) -> list[Clash]:
        """The unique values that other customers have."""
        mine = _unique(customer)
        return [
            Clash(field, other.id)
            for other in self._live(tenant).values()
            for field, value in _unique(other).items()
            if other.id != customer.id and mine.get(field) == value
        ]

    def insert(self, tenant: str, customer: Customer) -> bytes:
        """Adds a customer. Raises AlreadyExists."""
        if clashes := self.clashes(tenant, customer):
            raise AlreadyExists(clashes)
        self._live(tenant)[customer.id] = customer
        return customer.SerializeToString()

    def insert_each(self, tenant: str, customers: list[Customer]) -> list[AlreadyExists | None]:
        """Adds customers; returns what kept each out."""
        outcomes: list[AlreadyExists | None] = []
        for customer in customers:
            try:
                self.insert(tenant, customer)
                outcomes.append(None)
            except AlreadyExists as clash:
                outcomes.append(clash)
        return outcomes

    def change(self, tenant: str, key: Key, edit: Callable[[Customer], None]) -> bytes:
        """Replaces a customer by what `edit` makes of it. Raises NotFound and AlreadyExists."""
        found = self._find(tenant, key)
        if found is None:
            raise NotFound(key.field)
        changed = Customer()
        changed.CopyFrom(found)
        edit(changed)
        return self.insert(tenant, changed)

    def delete(self, tenant: str, key: Key, _now: int, check: Precondition | None = None) -> None:
        """Forgets a customer. Raises what `check` does."""
        found = self._find(tenant, key)
        if found and check:
            check(found.SerializeToString())
        if found:
            self._deleted(tenant)[found.id] = self._live(tenant).pop(found.id)

    def restore(self, tenant: str, customer_id: str, edit: Callable[[Customer], None]) -> bytes:
        """Takes a deleted customer back. Raises NotDeleted, NotFound and AlreadyExists."""
        if customer_id in self._live(tenant):
            raise NotDeleted
        deleted = self._deleted(tenant).get(customer_id)
        if deleted is None:
            raise NotFound("id")
        restored = Customer()
        restored.CopyFrom(deleted)
        edit(restored)
        body = self.insert(tenant, restored)
        del self._deleted(tenant)[customer_id]
        return body

    def erase(self, tenant: str, customer_id: str, _now: int) -> None:
        """Remembers no more than that there was a customer."""
        live = self._live(tenant).pop(customer_id, None)
        if live or customer_id in self._deleted(tenant):
            self._deleted(tenant)[customer_id] = None

    def export(self, tenant: str, export: Export) -> list[list[Exported]]:
        """All customers in the order of ids, as one part; the deleted ones without their times."""
        first = str(export.after.value) if export.order is Order.ID else ""
        found = {it.id: it.SerializeToString() for it in self._live(tenant).values()}
        if export.include_deleted:
            found |= dict.fromkeys(self.deleted.get(tenant, ()), b"")
        return [
            [
                Exported(Place(0, customer_id), None if body else 1, body)
                for customer_id, body in sorted(found.items())
                if customer_id > first
            ]
        ]

    def _live(self, tenant: str) -> dict[str, Customer]:
        return self.tenants.setdefault(tenant, {})

    def _deleted(self, tenant: str) -> dict[str, Customer | None]:
        return self.deleted.setdefault(tenant, {})

    def _find(self, tenant: str, key: Key) -> Customer | None:
        if key.field == "id":
            return self._live(tenant).get(key.value)
        refs = {it.customer_ref: it for it in self._live(tenant).values() if it.customer_ref}
        return refs.get(key.value)


def _unique(customer: Customer) -> dict[str, str]:
    values = {
        "email": VALUE_OF[customer.email],
        "mobile": customer.mobile,
        "phone": customer.phone,
        "customerRef": customer.customer_ref,
    }
    return {field: value for field, value in values.items() if value}


def _searched(customer: Customer) -> dict[str, str]:
    return {
        "email": VALUE_OF[customer.email],
        "first_name": VALUE_OF[customer.first_name],
        "last_name": VALUE_OF[customer.last_name],
        "mobile": customer.mobile,
        "phone": customer.phone,
    }


Keeper = CustomerStore | Model
Remover = DeletionStore | Model
K = TypeVar("K")


def outcome(act: Callable[[K], object], keeper: K) -> object:
    """What an act returns or raises, in a form that two keepers' outcomes can be compared in."""
    try:
        return act(keeper)
    except AlreadyExists as refused:
        return AlreadyExists, dict(refused.clashes)
    except NotFound as refused:
        return NotFound, str(refused)
    except (IdMismatch, NotDeleted) as refused:
        return type(refused)


class Comparison(RuleBasedStateMachine):
    """Does the same to a store and to the model, for two tenants, and compares the outcomes."""

    ids = Bundle("ids")

    def __init__(self, stores: Stores) -> None:
        super().__init__()
        self.store = stores.customers
        self.exports = stores.exports
        self.deletions = stores.deletions
        self.changes = stores.changes
        self.model = Model()
        self.copies = [ChangeCopy(), ChangeCopy()]
        self.tenants = [f"model-{uuid.uuid4()}" for _ in range(2)]

    def compare(self, act: Callable[[Keeper], object]) -> None:
        """Does an act to both."""
        assert outcome(act, self.store) == outcome(act, self.model)

    @rule(target=ids, tenant=tenants, content=contents)
    def insert(self, tenant: int, content: dict[str, Any]) -> str:
        """Stores a customer."""
        customer = stamped(**content)
        self.compare(lambda keeper: keeper.insert(self.tenants[tenant], customer))
        return customer.id

    @rule(target=ids, tenant=tenants, content=st.lists(contents, max_size=4))
    def insert_each(self, tenant: int, content: list[dict[str, Any]]) -> MultipleResults[str]:
        """Stores a list of customers."""
        customers = [stamped(**fields) for fields in content]

        def act(keeper: Keeper) -> list[dict[str, str]]:
            outcomes = keeper.insert_each(self.tenants[tenant], customers)
            return [dict(refused.clashes) if refused else {} for refused in outcomes]

        self.compare(act)
        return multiple(*(customer.id for customer in customers))

    @rule(tenant=tenants, customer_id=ids, content=contents)
    def change_by_id(self, tenant: int, customer_id: str, content: dict[str, Any]) -> None:
        """Changes a customer, of this tenant or not, deleted or not."""
        self._change(tenant, Key.id(customer_id), content)

    @rule(tenant=tenants, ref=refs, content=contents)
    def change_by_ref(self, tenant: int, ref: str, content: dict[str, Any]) -> None:
        """Changes a customer that has a reference."""
        self._change(tenant, Key.ref(ref), content)

    @rule(tenant=tenants, customer_id=ids)
    def delete_by_id(self, tenant: int, customer_id: str) -> None:
        """Deletes a customer, of this tenant or not, deleted or not."""
        self.compare(lambda keeper: keeper.delete(self.tenants[tenant], Key.id(customer_id), 1))

    @rule(tenant=tenants, ref=refs, only_id=st.none() | ids)
    def delete_by_ref(self, tenant: int, ref: str, only_id: str | None) -> None:
        """Deletes a customer that has a reference, if it has an id as well."""
        key, check = Key.ref(ref), only(only_id) if only_id else None
        self.compare(lambda keeper: keeper.delete(self.tenants[tenant], key, 1, check))

    @rule(tenant=tenants, customer_id=ids)
    def restore(self, tenant: int, customer_id: str) -> None:
        """Restores a customer, of this tenant or not, deleted or not."""

        def act(remover: Remover) -> bytes:
            name = self.tenants[tenant]
            return remover.restore(
                name, customer_id, lambda it: it.ClearField("last_modified_date")
            )

        assert outcome(act, self.deletions) == outcome(act, self.model)

    @rule(tenant=tenants, customer_id=ids)
    def erase(self, tenant: int, customer_id: str) -> None:
        """Erases a customer, of this tenant or not, deleted or not."""
        for remover in (self.deletions, self.model):
            remover.erase(self.tenants[tenant], customer_id, 1)

    @rule(tenant=tenants, wanted=searches, after=st.just("") | ids, limit=st.integers(1, 4))
    def search(self, tenant: int, wanted: dict[str, str], after: str, limit: int) -> None:
        """Reads a page of a search."""
        self.compare(lambda keeper: keeper.search(self.tenants[tenant], wanted, after, limit))

    @rule(tenant=tenants, content=contents)
    def clashes(self, tenant: int, content: dict[str, Any]) -> None:
        """Asks what a customer would clash with."""
        customer = Customer(**content)
        self.compare(lambda keeper: dict(keeper.clashes(self.tenants[tenant], customer)))

    @rule(
        tenant=tenants,
        after=st.just("") | ids,
        since=st.sampled_from((None, 0)),
        all_=st.booleans(),
    )
    def export(self, tenant: int, after: str, since: int | None, all_: bool) -> None:  # noqa: FBT001 - hypothesis names it
        """Exports all customers, or the rest of them, or all that ever changed."""
        export = Export(Order.ID, Place(after), LAST_TEXT, all_)
        if since is not None:
            export = Export(Order.MODIFIED_AT, Place(since), FUTURE, all_)

        exported, expected = (
            sorted(
                (it.place.id, b"" if it.deleted_at else it.body) for part in parts for it in part
            )
            for parts in (
                self.exports.read(self.tenants[tenant], export),
                self.model.export(self.tenants[tenant], export),
            )
        )
        assert exported == expected

    @rule(tenant=tenants, size=st.integers(1, 3))
    def follow(self, tenant: int, size: int) -> None:
        """Follows the changes of a tenant for a while."""
        copy = self.copies[tenant]
        changes = self.changes.read(self.tenants[tenant], copy.place, size)
        copy.apply(changes)
        if len(changes) < size:
            live = self.model.tenants.get(self.tenants[tenant], {})
            assert copy.bodies == {it.id: it.SerializeToString() for it in live.values()}

    @invariant()
    def holds_the_same(self) -> None:
        """Both tenants' customers are the same by id and by reference."""
        for tenant in self.tenants:
            known = [Key.id(customer_id) for customer_id in self.model.tenants.get(tenant, ())]
            for key in [*known, *map(Key.ref, REFS)]:
                assert self.store.get(tenant, key) == self.model.get(tenant, key)

    def _change(self, tenant: int, key: Key, content: dict[str, Any]) -> None:
        def edit(stored: Customer) -> None:
            kept = stored.id
            stored.CopyFrom(Customer(id=kept, **content))

        self.compare(lambda keeper: keeper.change(self.tenants[tenant], key, edit))


def test_store_against_model(database: Database) -> None:
    """Any sequence of calls for two tenants has the outcomes that the model says."""

    class OnThisStore(Comparison):
        def __init__(self) -> None:
            super().__init__(Stores.of(database))

    run_state_machine_as_test(
        OnThisStore, settings=settings(max_examples=40, stateful_step_count=30, deadline=None)
    )
