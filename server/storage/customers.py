"""Customers in the database: stored, read, searched, changed and deleted, by tenant."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from twc.customer.v2.customer_pb2 import Customer

from server.errors import AlreadyExists, Clash, IdMismatch, NotFound, Unavailable
from server.rules import keys
from server.rules.exports import Export, Exported, Place
from server.storage.database import Database, Parameters, UniqueViolationError
from server.storage.statements import Statements

# What a page may have before it ends early, and the rows that are read at a
# time: one more than the page that is asked for by default.
PAGE_BYTES = 4 * 1024 * 1024
CHUNK = 101

# What a part of an export may have, far below what gRPC clients take.
PART_BYTES = 1024 * 1024

# How often a write is tried while what it clashes with comes and goes.
_TRIES = 5
_CONTENDED = "others change the same values all the time; try again"


# What kept each of a list of customers from being stored.
Refusals = list[AlreadyExists | None]


class Key(NamedTuple):
    """What one customer is found by: the JSON name of a field, and its value."""

    field: str
    value: str

    @classmethod
    def id(cls, value: str) -> Self:
        """Finds the customer with an id."""
        return cls("id", value)

    @classmethod
    def ref(cls, value: str) -> Self:
        """Finds the customer with a customerRef."""
        return cls("customerRef", value)


class Found(NamedTuple):
    """A customer that a search found: its id, and the whole of it as bytes."""

    id: str
    body: bytes


class Page(NamedTuple):
    """Customers that a search found, and whether there are more after the last of them."""

    found: list[Found]
    has_more: bool


class CustomerStore:
    """The live customers of every tenant. Every call raises Unavailable if the database is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = Statements(database)

    def get(self, tenant: str, key: Key) -> bytes | None:
        """Returns the encoded Customer that a key finds, or None."""
        rows = self._database.rows(self._sql.body_by[key.field], (tenant, _exact(key)))
        return rows[0][0] if rows else None

    def search(self, tenant: str, wanted: Mapping[str, str], after: str, limit: int) -> list[Found]:
        """Returns customers with all wanted keys, in the order of ids from after `after`."""
        parameters = (tenant, *wanted.values(), after, limit)
        return [Found(*row) for row in self._database.rows(self._sql.search(wanted), parameters)]

    def page(self, tenant: str, wanted: Mapping[str, str], after: str, size: int) -> Page:
        """Searches for a page of at most `size` customers, and about PAGE_BYTES."""
        found: list[Found] = []
        room = PAGE_BYTES
        while True:
            limit = min(CHUNK, size + 1 - len(found))
            rows = self.search(tenant, wanted, found[-1].id if found else after, limit)
            for row in rows:
                if len(found) == size or room < 0:
                    return Page(found, has_more=True)
                found.append(row)
                room -= len(row.body)
            if len(rows) < limit:
                return Page(found, has_more=False)

    def clashes(self, tenant: str, customer: Customer) -> list[Clash]:
        """Returns what other live customers already have of a customer's unique values."""
        clashes = []
        for field, value in _unique_keys(customer).items():
            if value is not None:
                for (owner,) in self._database.rows(self._sql.owner[field], (tenant, value)):
                    if owner != customer.id:
                        clashes.append(Clash(field, owner))
        return clashes

    def export(self, tenant: str, export: Export) -> Iterator[list[Exported]]:
        """Reads an export to its end, in parts of at most CHUNK customers and about PART_BYTES."""
        after = export.after
        while True:
            rows = self._database.rows(*self._export(tenant, export, after))
            found = [Exported(Place(row[0], row[1]), row[2], row[3]) for row in rows]
            yield from _parts(found)
            if len(found) < CHUNK:
                return
            after = found[-1].place

    def _export(self, tenant: str, export: Export, after: Place) -> tuple[str, Parameters]:
        if export.since is None:
            statement = self._sql.export_all[export.include_deleted]
            return statement, (tenant, after.id, export.began, CHUNK)
        statement = self._sql.export_since[export.include_deleted]
        return statement, (tenant, after.modified_at, after.id, export.began, CHUNK)

    def insert(self, tenant: str, customer: Customer) -> None:
        """Stores a new customer. Raises AlreadyExists."""
        for _ in range(_TRIES):
            if self._database.write_one(self._sql.insert, _new_row(tenant, customer)):
                return
            self._refuse_clashing(tenant, customer)
            if self._is_stored(tenant, customer):
                return
        raise Unavailable(_CONTENDED)

    def insert_each(
        self,
        tenant: str,
        customers: Sequence[Customer],
        keep: Callable[[Refusals], bool] = lambda _: True,
    ) -> Refusals:
        """Stores new customers in one transaction; returns what kept each out, or None.

        `keep` is told that as well, and decides whether any of them is stored.
        """
        rows = [_new_row(tenant, customer) for customer in customers]
        places = {customer.id: place for place, customer in enumerate(customers)}

        def unit() -> Refusals:
            stored = self._database.run_each(self._sql.insert, rows)
            refusals = [
                None if stored[place] else self._kept_out(tenant, customer, places)
                for place, customer in enumerate(customers)
            ]
            if not keep(refusals):
                raise _NotKept(refusals)
            return refusals

        try:
            return self._database.write(unit, bulk=True)
        except _NotKept as undone:
            return undone.refusals

    def change(self, tenant: str, key: Key, edit: Callable[[Customer], None]) -> Customer:
        """Lets `edit` change the customer that a key finds, and returns it as stored.

        No other write comes between reading and storing. `edit` may run
        several times, on a copy each. Raises NotFound, AlreadyExists, and what
        `edit` raises; then nothing is changed.
        """
        for _ in range(_TRIES):
            try:
                return self._database.write(lambda: self._edited(tenant, key, edit))
            except _Clashing as clashing:
                self._refuse_clashing(tenant, clashing.customer)
        raise Unavailable(_CONTENDED)

    def delete(self, tenant: str, key: Key, now: int, only_id: str | None = None) -> None:
        """Marks the customer that a key finds, if there is one, as deleted at a time.

        `now` is in milliseconds since the Unix epoch. Raises IdMismatch if
        `only_id` is given and is not its id.
        """
        parameters = (now, now, tenant, _exact(key))
        if only_id is None:
            self._database.write_one(self._sql.delete[key.field], parameters)
            return
        guarded = self._sql.delete_only[key.field]
        deleted = self._database.write_one(guarded, (*parameters, only_id))
        if not deleted and self.get(tenant, key) is not None:
            raise IdMismatch(f"the customer with this {key.field} has another id")

    def _edited(self, tenant: str, key: Key, edit: Callable[[Customer], None]) -> Customer:
        """Changes a customer as part of a unit of work. Raises _Clashing, which undoes that."""
        rows = self._database.rows(self._sql.body_to_change[key.field], (tenant, _exact(key)))
        if not rows:
            raise NotFound(key.field)
        customer = Customer.FromString(rows[0][0])
        edit(customer)
        parameters = (*_keys(customer), *_content(customer), tenant, customer.id)
        try:
            self._database.run(self._sql.update, parameters)
        except UniqueViolationError as error:
            raise _Clashing(customer) from error
        return customer

    def _refuse_clashing(self, tenant: str, customer: Customer) -> None:
        """Raises AlreadyExists, unless what a customer clashed with is gone in the meantime."""
        if clashes := self.clashes(tenant, customer):
            raise AlreadyExists(clashes)

    def _is_stored(self, tenant: str, customer: Customer) -> bool:
        """Tells whether a new customer is there already: its insertion may run twice."""
        return self.get(tenant, Key.id(customer.id)) == customer.SerializeToString()

    def _kept_out(
        self, tenant: str, customer: Customer, places: Mapping[str, int]
    ) -> AlreadyExists | None:
        """Finds out what kept a customer out of a list; stores it if that is gone by now.

        What comes after it in the list was stored since, and did not.
        """
        mine = places[customer.id]
        for _ in range(_TRIES):
            clashes = self.clashes(tenant, customer)
            if earlier := [clash for clash in clashes if places.get(clash.customer_id, -1) < mine]:
                return AlreadyExists(earlier)
            if self._is_stored(tenant, customer):
                return None
            if self._database.run(self._sql.insert, _new_row(tenant, customer)):
                return None
        raise Unavailable(_CONTENDED)


def _parts(found: Sequence[Exported]) -> Iterator[list[Exported]]:
    part: list[Exported] = []
    room = PART_BYTES
    for exported in found:
        if part and len(exported.body) > room:
            yield part
            part, room = [], PART_BYTES
        part.append(exported)
        room -= len(exported.body)
    if part:
        yield part


class _NotKept(Exception):
    """Customers that were stored are not to be, whatever kept others out."""

    def __init__(self, refusals: Refusals) -> None:
        super().__init__()
        self.refusals = refusals


class _Clashing(Exception):
    """A change that unique values of other customers do not admit."""

    def __init__(self, customer: Customer) -> None:
        super().__init__()
        self.customer = customer


def _new_row(tenant: str, customer: Customer) -> tuple[Any, ...]:
    created = customer.created_date.ToMilliseconds()
    return (tenant, customer.id, *_keys(customer), created, *_content(customer))


def _exact(key: Key) -> str:
    return keys.exact_key(key.value)


def _unique_keys(customer: Customer) -> dict[str, str | None]:
    """The unique keys by the JSON names of their fields, as `schema.UNIQUE` lists them."""
    return {
        "email": keys.exact_key(keys.email_key(customer.email)),
        "mobile": customer.mobile or None,
        "phone": customer.phone or None,
        "customerRef": keys.exact_key(customer.customer_ref) or None,
    }


def _keys(customer: Customer) -> tuple[str | None, ...]:
    """The values of the key columns, in the order of their declaration."""
    unique = _unique_keys(customer)
    return (
        unique["customerRef"],
        unique["email"],
        unique["mobile"],
        unique["phone"],
        keys.name_key(customer.first_name) or None,
        keys.name_key(customer.last_name) or None,
    )


def _content(customer: Customer) -> tuple[int, bytes]:
    return customer.last_modified_date.ToMilliseconds(), customer.SerializeToString()
