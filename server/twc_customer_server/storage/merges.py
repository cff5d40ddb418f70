"""Merges customers: one is changed and another one deleted, in one transaction."""

from collections.abc import Callable
from typing import NamedTuple

from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.errors import AlreadyExists, AlreadyMerged, NotFound, Unavailable
from twc_customer_server.storage.database import Database, UniqueViolationError
from twc_customer_server.storage.rows import changed_columns, merged
from twc_customer_server.storage.schema import CustomerRow
from twc_customer_server.storage.statements import (
    UNNUMBERED,
    locked,
    parameter,
    update,
    values_of,
    with_id,
)
from twc_customer_server.storage.store import Precondition
from twc_customer_server.storage.upserts import CONTENDED, FindClashes

_row = CustomerRow

# Merges the second customer into the first, in place. Raises ServiceError.
Edit = Callable[[Customer, Customer], None]


class Pair(NamedTuple):
    """The ids of the customer that is kept, and of the one that is dropped."""

    kept: str
    dropped: str


class Merged(NamedTuple):
    """The kept customer, encoded, and the time at which the other one was deleted.

    The time is in milliseconds since the Unix epoch.
    """

    body: bytes
    deleted_at: int


class MergeStore:
    """Merges the customers of every tenant. Raises Unavailable if the database is."""

    def __init__(self, database: Database, find_clashes: FindClashes) -> None:
        self._database = database
        self._find_clashes = find_clashes
        one = (_row.tenant == parameter("tenant"), _row.id == parameter("id"))
        read = _row.select(_row.deleted_at, _row.modified_at, _row.body)
        self._read = database.compile(locked(database, with_id(read)))
        dropped = values_of((_row.deleted_at, _row.modified_at, _row.body))
        self._drop = database.compile(_row.update(dropped | UNNUMBERED).where(*one))
        self._update = database.compile(update())

    def merge(
        self,
        tenant: str,
        pair: Pair,
        edit: Edit,
        precondition: Precondition | None = None,
        *,
        commit: bool = True,
    ) -> Merged:
        """Merges one customer into another by `edit`, and deletes it.

        No other write comes between reading and storing; `edit` may run several
        times, on copies. A merge that was made already changes nothing. Without
        `commit` all is rolled back. Raises NotFound, AlreadyMerged,
        AlreadyExists, and what `precondition`, for the kept customer, and `edit`
        raise; nothing is changed then.
        """

        def unit() -> Merged:
            merged = self._merge(tenant, pair, edit, precondition)
            if not commit:
                raise _RolledBack(merged)
            return merged

        try:
            return self._database.write(unit, tenant=tenant, repeatable=True)
        except _RolledBack as rolled_back:
            return rolled_back.merged

    def _merge(
        self, tenant: str, pair: Pair, edit: Edit, precondition: Precondition | None
    ) -> Merged:
        """Merges as part of a unit of work."""
        # In one order, so that two merges of the same customers wait for each other.
        rows = {it: self._lock(tenant, it) for it in sorted(pair)}
        kept_row, dropped_row = rows[pair.kept], rows[pair.dropped]
        if kept_row is None or kept_row.deleted_at is not None:
            raise _missing("id", kept_row)
        if dropped_row is None:
            raise NotFound("droppedId")
        if dropped_row.deleted_at is not None:
            if Customer.FromString(dropped_row.body).merged_into == pair.kept:
                return Merged(kept_row.body, dropped_row.deleted_at)
            raise _missing("droppedId", dropped_row)
        if precondition:
            precondition(kept_row.body)
        kept, dropped = (Customer.FromString(row.body) for row in (kept_row, dropped_row))
        edit(kept, dropped)
        deleted_at = max(kept.last_modified_date.ToMilliseconds(), dropped_row.modified_at + 1)
        # First, so that the kept customer can have its unique values.
        self._database.run(
            self._drop,
            {
                "tenant": tenant,
                "id": dropped.id,
                "deleted_at": deleted_at,
                "modified_at": deleted_at,
                "body": merged(dropped_row.body, kept.id),
            },
        )
        return Merged(self._save(tenant, kept), deleted_at)

    def _lock(self, tenant: str, customer_id: str) -> "_Locked | None":
        """Reads a customer that no other write changes until the unit of work ends."""
        parameters = {"tenant": tenant, "id": customer_id}
        rows = self._database.rows(self._read, parameters)
        return _Locked(*rows[0]) if rows else None

    def _save(self, tenant: str, customer: Customer) -> bytes:
        """Stores the kept customer, and returns its encoding. Raises AlreadyExists."""
        row = {"tenant": tenant, **changed_columns(customer)}
        try:
            self._database.write(lambda: self._database.run(self._update, row))
        except UniqueViolationError:
            if clashes := self._find_clashes(tenant, customer):
                raise AlreadyExists(clashes) from None
            raise Unavailable(CONTENDED) from None
        body: bytes = row["body"]
        return body


class _Locked(NamedTuple):
    """A row that is locked; `deleted_at` is set if the customer is deleted."""

    deleted_at: int | None
    modified_at: int
    body: bytes


class _RolledBack(Exception):
    """Rolls back a merge, and carries what it would be."""

    def __init__(self, merged: Merged) -> None:
        super().__init__()
        self.merged = merged


def _missing(field: str, row: _Locked | None) -> NotFound | AlreadyMerged:
    """Returns the error of a missing customer, which tells where a merged one went."""
    merged_into = Customer.FromString(row.body).merged_into if row else ""
    return AlreadyMerged(field, merged_into) if merged_into else NotFound(field)
