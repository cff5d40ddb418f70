"""Stores, changes and deletes the customers of every tenant, and reads them."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.errors import AlreadyExists, Clash, NotFound, Unavailable
from twc_customer_server.storage import clashes
from twc_customer_server.storage.changes import ChangeStore
from twc_customer_server.storage.database import Database, Row, UniqueViolationError
from twc_customer_server.storage.reads import CustomerReads
from twc_customer_server.storage.rows import Key, changed_columns, new_row
from twc_customer_server.storage.statements import look_up
from twc_customer_server.storage.upserts import CONTENDED, ConflictUpdates, Edit, Upserted

# Attempts at a write whose conflicts come and go.
_ATTEMPTS = 5

# New customers whose changes are numbered as they are stored, at most.
_NUMBERED_AT_ONCE = 1000

# Changes a stored customer in place; False tells that there was nothing to change.
Change = Callable[[Customer], bool | None]

# Raises an error unless a stored customer, encoded, may be changed.
Precondition = Callable[[bytes], None]

# The conflict that kept each of a list of customers from being stored, or None.
Conflicts = list[AlreadyExists | None]


class Commit(Enum):
    """Whether a list of new customers is committed or rolled back."""

    ALWAYS = auto()
    IF_ALL = auto()
    NEVER = auto()


class CustomerStore(CustomerReads):
    """The live customers of every tenant. Every method raises Unavailable if the database is."""

    _database: Database

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.metrics = database.metrics
        self._changes = ChangeStore(database)

    def clashes(self, tenant: str, customer: Customer) -> list[Clash]:
        """Returns the unique values of a customer that other live customers have."""
        return clashes.find(self._database, self._sql, tenant, customer)

    def insert(self, tenant: str, customer: Customer) -> bytes:
        """Stores a new customer, and returns its encoding. Raises AlreadyExists."""
        row = new_row(tenant, customer)
        body: bytes = row["body"]
        for _ in range(_ATTEMPTS):
            if self._database.write_one(self._sql.insert, row):
                return body
            # By a run of the insertion before, of which it was not known.
            if self._stored(tenant, [customer]):
                return body
            self._raise_if_clashing(tenant, customer)
        raise Unavailable(CONTENDED)

    def insert_each(
        self, tenant: str, customers: Sequence[Customer], commit: Commit = Commit.ALWAYS
    ) -> Conflicts:
        """Inserts new customers in one transaction, and returns the conflict of each, or None.

        Rolls back unless `commit` allows; the conflicts are the same then.
        """
        rows = [new_row(tenant, customer) for customer in customers]

        def unit() -> Conflicts:
            conflicts = self._insert_within(tenant, customers, rows)
            if commit is Commit.NEVER or (commit is Commit.IF_ALL and any(conflicts)):
                raise _RolledBack(conflicts)
            return conflicts

        return self._write_each(tenant, unit)

    def upsert_each(
        self, tenant: str, customers: Sequence[Customer], edit: Edit, commit: Commit = Commit.ALWAYS
    ) -> list[Upserted]:
        """Inserts new customers as `insert_each` does, then edits those that they conflict with.

        One without an id is not inserted. Returns what became of each conflict, None without one.
        Is not run again after an unknown outcome, since others may have changed the same meanwhile.
        """
        rows = [new_row(tenant, customer) for customer in customers if customer.id]

        def unit() -> list[Upserted]:
            conflicts = self._insert_within(tenant, customers, rows)
            updates = ConflictUpdates(self._database, self._sql, edit, self.clashes)
            outcomes = updates.run(tenant, customers, conflicts)
            if commit is Commit.NEVER:
                raise _RolledBack(outcomes)
            return outcomes

        return self._write_each(tenant, unit, repeatable=False)

    def change(
        self,
        tenant: str,
        key: Key,
        edit: Change,
        precondition: Precondition | None = None,
    ) -> bytes:
        """Changes the customer that a key selects by `edit`, and returns its encoding.

        No other write comes between reading and storing. `edit` may run
        several times, on a copy each. Raises NotFound, AlreadyExists, and what
        `precondition` and `edit` raise; the customer is unchanged then.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._database.write(
                    lambda: self._edit(tenant, key, edit, precondition), tenant=tenant
                )
            except UniqueConflict as conflict:
                self._raise_if_clashing(tenant, conflict.customer)
        raise Unavailable(CONTENDED)

    def delete(
        self, tenant: str, key: Key, now: int, precondition: Precondition | None = None
    ) -> None:
        """Soft-deletes the customer that a key selects, if there is one.

        `now` is in milliseconds since the Unix epoch. Raises what
        `precondition` raises; the customer is unchanged then.
        """
        parameters = {"tenant": tenant, "id": key.exact, "now": now}
        if key.field == "id" and precondition is None:
            self._database.write_one(self._sql.delete, parameters)
            return
        selected: list[str] = []

        def unit() -> None:
            for customer_id, body, *_ in self._for_update(tenant, key):
                # By a run before, of which it was not known; another one has the key now.
                if selected and not self.get(tenant, Key.id(selected[-1])):
                    return
                selected.append(customer_id)
                if precondition:
                    precondition(body)
                self._database.run(self._sql.delete, parameters | {"id": customer_id})

        self._database.write(unit, tenant=tenant, repeatable=True)

    def _write_each(
        self, tenant: str, unit: Callable[[], list[Any]], *, repeatable: bool = True
    ) -> list[Any]:
        """Runs a unit of work of a list of customers, which may roll itself back."""
        try:
            return self._database.write(unit, tenant=tenant, repeatable=repeatable, bulk=True)
        except _RolledBack as rolled_back:
            return rolled_back.outcomes

    def _insert_within(
        self, tenant: str, customers: Sequence[Customer], rows: Sequence[dict[str, object]]
    ) -> Conflicts:
        """Inserts the rows, of the customers with an id, as part of a unit of work."""
        # Numbered now, they need no second write. A long unit would keep others waiting for
        # the sequence.
        number = self._changes.claim(tenant) if len(rows) <= _NUMBERED_AT_ONCE else None
        for row in rows:
            row["change_sequence"] = number
        written = iter(self._database.run_each(self._sql.insert, rows))
        inserted = [bool(customer.id and next(written)) for customer in customers]
        refused = [it for it, is_in in zip(customers, inserted, strict=True) if not is_in]
        if stored := self._stored(tenant, [it for it in refused if it.id]):
            inserted = [it or new.id in stored for it, new in zip(inserted, customers, strict=True)]
            refused = [it for it in refused if it.id not in stored]
        found = iter(clashes.find_each(self._database, self._sql, tenant, refused))
        positions = {it.id: position for position, it in enumerate(customers) if it.id}
        return [
            None
            if inserted[position]
            else self._conflict(tenant, customer, next(found), positions, position)
            for position, customer in enumerate(customers)
        ]

    def _for_update(self, tenant: str, key: Key) -> list[Row]:
        """Reads a customer that no other write changes until the unit of work ends."""
        parameters = {"tenant": tenant, "value": key.exact}
        return self._database.rows(self._sql.row_for_update[key.field], parameters)

    def _edit(
        self,
        tenant: str,
        key: Key,
        edit: Change,
        precondition: Precondition | None,
    ) -> bytes:
        """Changes a customer as part of a unit of work. Raises UniqueConflict."""
        rows = self._for_update(tenant, key)
        if not rows:
            raise NotFound(key.field)
        stored: bytes
        _, stored, *keys = rows[0]
        if precondition:
            precondition(stored)
        customer = Customer.FromString(stored)
        if edit(customer) is False:
            return stored
        row = {"tenant": tenant, **changed_columns(customer)}
        try:
            self._database.run(self._sql.update_of(row, keys), row)
        except UniqueViolationError as error:
            raise UniqueConflict(customer) from error
        body: bytes = row["body"]
        return body

    def _raise_if_clashing(self, tenant: str, customer: Customer) -> None:
        """Raises AlreadyExists, unless the conflicting customer has gone in the meantime."""
        if found := self.clashes(tenant, customer):
            raise AlreadyExists(found)

    def _stored(self, tenant: str, customers: Sequence[Customer]) -> set[str]:
        """Returns the ids of new customers that are stored, since an insertion may run twice.

        They may have been changed or deleted since.
        """
        created = {it.id: it.created_date.ToMilliseconds() for it in customers}
        rows = look_up(self._database, self._sql.stored, tenant, [*created])
        return {
            customer_id for customer_id, created_at in rows if created_at == created[customer_id]
        }

    def _conflict(
        self,
        tenant: str,
        customer: Customer,
        found: list[Clash],
        positions: Mapping[str, int],
        position: int,
    ) -> AlreadyExists | None:
        """Resolves an insert conflict: returns the clashes, or retries if they have gone.

        Customers later in the list do not count: they were inserted after it.
        """
        for _ in range(_ATTEMPTS):
            if earlier := [it for it in found if positions.get(it.customer_id, -1) < position]:
                return AlreadyExists(earlier)
            if not customer.id or self._database.run(self._sql.insert, new_row(tenant, customer)):
                return None
            found = self.clashes(tenant, customer)
        raise Unavailable(CONTENDED)


class _RolledBack(Exception):
    """Rolls back a transaction of a list of customers, and carries their outcomes."""

    def __init__(self, outcomes: list[Any]) -> None:
        super().__init__()
        self.outcomes = outcomes


class UniqueConflict(Exception):
    """Rolls back a change that violates a unique index."""

    def __init__(self, customer: Customer) -> None:
        super().__init__()
        self.customer = customer
