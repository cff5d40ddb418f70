"""Customers in the database: stored, read, searched, changed and deleted, by tenant."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.errors import AlreadyExists, Clash, NotFound, Unavailable
from twc_customer_server.storage import keys
from twc_customer_server.storage import rows as columns
from twc_customer_server.storage.database import Database, Parameters, Row, UniqueViolationError
from twc_customer_server.storage.export import Export, Exported, Place, parts
from twc_customer_server.storage.idempotency import Outcomes, Repeatable
from twc_customer_server.storage.statements import OWNERS, Statements

# What a page may have before it ends early, and the rows that are read at a
# time: one more than the page that is asked for by default.
PAGE_BYTES = 4 * 1024 * 1024
CHUNK = 101

# How often a write is tried while what it clashes with comes and goes.
_TRIES = 5
_CONTENDED = "others change the same values all the time; try again"


# Judges a stored customer, as bytes, that is to be changed.
Check = Callable[[bytes], None]

# What kept each of a list of customers from being stored.
Refusals = list[AlreadyExists | None]


class Key(NamedTuple):
    """What one customer is found by: the JSON name of a field, and its value."""

    field: str
    value: str

    @property
    def exact(self) -> str:
        """The value as it is compared."""
        return keys.exact_key(self.value)

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
        self._outcomes = Outcomes(database)

    def once(
        self,
        tenant: str,
        request: Repeatable | None,
        act: Callable[[], bytes],
        *,
        bulk: bool = False,
    ) -> bytes:
        """Returns what `act` does, or did when a request came first, as `Outcomes.once` says."""
        return self._outcomes.once(tenant, request, act, bulk=bulk)

    def purge(self, now: int) -> None:
        """Forgets what is kept for a time only, as `Outcomes.purge` says."""
        self._outcomes.purge(now)

    def get(self, tenant: str, key: Key) -> bytes | None:
        """Returns the encoded Customer that a key finds, or None."""
        rows = self._database.rows(self._sql.body_by[key.field], (tenant, key.exact))
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
        for field, value in columns.unique(customer).items():
            if value is not None:
                for (owner,) in self._database.rows(self._sql.owner[field], (tenant, value)):
                    if owner != customer.id:
                        clashes.append(Clash(field, owner))
        return clashes

    def export(self, tenant: str, export: Export) -> Iterator[list[Exported]]:
        """Reads an export to its end, in parts as `parts` makes them."""
        after = export.after
        while True:
            rows = self._database.rows(*self._export(tenant, export, after))
            found = [Exported(Place(row[0], row[1]), row[2], row[3]) for row in rows]
            yield from parts(found)
            if len(found) < CHUNK:
                return
            after = found[-1].place

    def _export(self, tenant: str, export: Export, after: Place) -> tuple[str, Parameters]:
        if export.since is None:
            statement = self._sql.export_all[export.include_deleted]
            return statement, (tenant, after.id, export.began, CHUNK)
        statement = self._sql.export_since[export.include_deleted]
        return statement, (tenant, after.modified_at, after.id, export.began, CHUNK)

    def insert(self, tenant: str, customer: Customer) -> bytes:
        """Stores a new customer, and returns it as stored. Raises AlreadyExists."""
        row = columns.new_row(tenant, customer)
        body: bytes = row[-1]
        for _ in range(_TRIES):
            if self._database.write_one(self._sql.insert, row):
                return body
            self._refuse_clashing(tenant, customer)
            if self._is_stored(tenant, customer):
                return body
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
        rows = [columns.new_row(tenant, customer) for customer in customers]
        places = {customer.id: place for place, customer in enumerate(customers)}

        def unit() -> Refusals:
            stored = self._database.run_each(self._sql.insert, rows)
            out = [customer for place, customer in enumerate(customers) if not stored[place]]
            clashes = iter(self._clashes_each(tenant, out))
            refusals = [
                None if stored[place] else self._kept_out(tenant, customer, next(clashes), places)
                for place, customer in enumerate(customers)
            ]
            if not keep(refusals):
                raise _NotKept(refusals)
            return refusals

        try:
            return self._database.write(unit, repeatable=True, bulk=True)
        except _NotKept as undone:
            return undone.refusals

    def change(
        self,
        tenant: str,
        key: Key,
        edit: Callable[[Customer], None],
        check: Check = lambda _: None,
    ) -> bytes:
        """Lets `edit` change the customer that a key finds, and returns it as stored.

        No other write comes between reading and storing. `edit` may run
        several times, on a copy each. Raises NotFound, AlreadyExists, and what
        `edit` raises, and `check` of the customer as it was; then nothing is
        changed.
        """
        for _ in range(_TRIES):
            try:
                return self._database.write(lambda: self._edited(tenant, key, edit, check))
            except _Clashing as clashing:
                self._refuse_clashing(tenant, clashing.customer)
        raise Unavailable(_CONTENDED)

    def delete(self, tenant: str, key: Key, now: int, check: Check | None = None) -> None:
        """Marks the customer that a key finds, if there is one, as deleted at a time.

        `now` is in milliseconds since the Unix epoch. Raises what `check` does
        of that customer; then it stays.
        """
        parameters = (now, now, tenant, key.exact)
        if check is None:
            self._database.write_one(self._sql.delete[key.field], parameters)
            return

        def unit() -> None:
            for (body,) in self._to_change(tenant, key):
                check(body)
                self._database.run(self._sql.delete[key.field], parameters)

        self._database.write(unit, repeatable=True)

    def _to_change(self, tenant: str, key: Key) -> list[Row]:
        """Reads what a key finds, which no other write changes until the unit of work ends."""
        return self._database.rows(self._sql.body_to_change[key.field], (tenant, key.exact))

    def _edited(
        self, tenant: str, key: Key, edit: Callable[[Customer], None], check: Check
    ) -> bytes:
        """Changes a customer as part of a unit of work. Raises _Clashing, which undoes that."""
        rows = self._to_change(tenant, key)
        if not rows:
            raise NotFound(key.field)
        check(rows[0][0])
        customer = Customer.FromString(rows[0][0])
        edit(customer)
        modified, body = columns.content(customer)
        parameters = (*columns.key_values(customer), modified, body, tenant, customer.id)
        try:
            self._database.run(self._sql.update, parameters)
        except UniqueViolationError as error:
            raise _Clashing(customer) from error
        return body

    def _refuse_clashing(self, tenant: str, customer: Customer) -> None:
        """Raises AlreadyExists, unless what a customer clashed with is gone in the meantime."""
        if clashes := self.clashes(tenant, customer):
            raise AlreadyExists(clashes)

    def _clashes_each(self, tenant: str, customers: Sequence[Customer]) -> list[list[Clash]]:
        """Returns the clashes of each customer, itself if it is stored, with few questions."""
        unique = [columns.unique(customer) for customer in customers]
        owners: dict[tuple[str, str | None], str] = {}
        for field, statement in self._sql.owners.items():
            values = sorted({own[field] or "" for own in unique})
            for start in range(0, len(values), OWNERS):
                asked = values[start : start + OWNERS]
                asked += asked[-1:] * (OWNERS - len(asked))
                for value, owner in self._database.rows(statement, (tenant, *asked)):
                    owners[field, value] = owner
        return [
            [Clash(item[0], owners[item]) for item in own.items() if item in owners]
            for own in unique
        ]

    def _is_stored(self, tenant: str, customer: Customer) -> bool:
        """Tells whether a new customer is there already: its insertion may run twice."""
        return self.get(tenant, Key.id(customer.id)) == customer.SerializeToString()

    def _kept_out(
        self, tenant: str, customer: Customer, clashes: list[Clash], places: Mapping[str, int]
    ) -> AlreadyExists | None:
        """Finds out what kept a customer out of a list; stores it if that is gone by now.

        What comes after it in the list was stored since, and did not.
        """
        mine = places[customer.id]
        for _ in range(_TRIES):
            if earlier := [clash for clash in clashes if places.get(clash.customer_id, -1) < mine]:
                return AlreadyExists(earlier)
            if self._is_stored(tenant, customer):
                return None
            if self._database.run(self._sql.insert, columns.new_row(tenant, customer)):
                return None
            clashes = self.clashes(tenant, customer)
        raise Unavailable(_CONTENDED)


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
