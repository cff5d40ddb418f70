"""Changes the stored customers that new ones of a list conflict with, in their transaction."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.errors import (
    AlreadyExists,
    AmbiguousConflict,
    Clash,
    ServiceError,
    Unavailable,
    free_frames,
)
from twc_customer_server.storage.database import Database, UniqueViolationError
from twc_customer_server.storage.rows import changed_columns, new_row, unique_keys
from twc_customer_server.storage.statements import Statements, look_up

CONTENDED = "concurrent calls keep changing the same values; try again"

# Returns what the customer at a position of the list makes of a stored one, or None
# if nothing; the stored one stays as it is. Raises ServiceError.
Edit = Callable[[int, Customer], Customer | None]

# Returns the unique values of a customer of a tenant that other customers have.
FindClashes = Callable[[str, Customer], list[Clash]]


class Updated(NamedTuple):
    """A customer of a list changed the one that it conflicts with."""

    customer_id: str


class Unchanged(NamedTuple):
    """A customer of a list exists already, with the same values."""

    customer_id: str


Upserted = Updated | Unchanged | ServiceError | None


class ConflictUpdates:
    """Edits the customers that those of one list conflict with, as part of a unit of work."""

    def __init__(
        self, database: Database, sql: Statements, edit: Edit, find_clashes: FindClashes
    ) -> None:
        self._database = database
        self._sql = sql
        self._edit = edit
        self._find_clashes = find_clashes
        # The customers as they are now, and those whose last edit is not yet stored.
        self._current: dict[str, Customer] = {}
        self._unsaved: dict[str, Customer] = {}

    def run(
        self, tenant: str, customers: Sequence[Customer], conflicts: Sequence[AlreadyExists | None]
    ) -> list[Upserted]:
        """Edits for each conflict in order; returns what became of it, None if that is gone.

        Changes that touch no unique value cannot fail, and are stored together.
        """
        self._load(tenant, customers, conflicts)
        outcomes: list[Upserted] = [
            conflict and self._resolve(tenant, position, customers[position], conflict)
            for position, conflict in enumerate(conflicts)
        ]
        rows = [{"tenant": tenant, **changed_columns(it)} for it in self._unsaved.values()]
        if rows:
            self._database.run_each(self._sql.update, rows)
        return outcomes

    def _load(
        self, tenant: str, customers: Sequence[Customer], conflicts: Sequence[AlreadyExists | None]
    ) -> None:
        """Reads the customers to edit, which no other write changes until the unit of work ends."""
        owners = {it.only_owner() for it in conflicts if it} - {None}
        inserted = {
            customer.id: customer
            for customer, conflict in zip(customers, conflicts, strict=True)
            if customer.id in owners and conflict is None
        }
        ids = sorted(owner for owner in owners if owner and owner not in inserted)
        stored = look_up(self._database, self._sql.bodies_for_update, tenant, ids)
        self._current = inserted | {row[0]: Customer.FromString(row[1]) for row in stored}

    def _resolve(
        self, tenant: str, position: int, customer: Customer, conflict: AlreadyExists
    ) -> Upserted:
        owner = conflict.only_owner()
        if owner is None:
            return AmbiguousConflict(conflict.clashes)
        current = self._current.get(owner)
        if current is None or not _still_conflict(customer, current, conflict):
            # An earlier change of the list, or another call, has freed the values.
            row = new_row(tenant, customer)
            is_inserted = bool(customer.id) and self._database.run(self._sql.insert, row)
            return None if is_inserted else Unavailable(CONTENDED)
        try:
            changed = self._edit(position, current)
            if changed is None:
                return Unchanged(owner)
            self._save(tenant, current, changed)
        except ServiceError as error:
            # Its frames would keep the customer, and those of errors behind it the whole list.
            free_frames(error)
            return error
        self._current[owner] = changed
        return Updated(owner)

    def _save(self, tenant: str, current: Customer, changed: Customer) -> None:
        """Stores a change, now if it may fail. Raises AlreadyExists."""
        if unique_keys(changed) == unique_keys(current):
            self._unsaved[changed.id] = changed
            return
        row = {"tenant": tenant, **changed_columns(changed)}
        try:
            self._database.write(lambda: self._database.run(self._sql.update, row))
        except UniqueViolationError:
            if clashes := self._find_clashes(tenant, changed):
                raise AlreadyExists(clashes) from None
            raise Unavailable(CONTENDED) from None
        self._unsaved.pop(changed.id, None)


def _still_conflict(new: Customer, stored: Customer, conflict: AlreadyExists) -> bool:
    """Tells whether a stored customer has one of the conflicting values even now."""
    mine, others = unique_keys(new), unique_keys(stored)
    return any(mine[field] == others[field] for field, _ in conflict.clashes)
