"""Restores deleted customers, and erases customers: at once, or some time after their deletion."""

from collections.abc import Callable, Collection

from peewee import SQL, fn
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.errors import AlreadyExists, NotDeleted, NotFound, Unavailable
from twc_customer_server.storage.answers import KeptAnswers
from twc_customer_server.storage.database import Database, UniqueViolationError
from twc_customer_server.storage.purging import BATCH_ROWS
from twc_customer_server.storage.rows import before_merge
from twc_customer_server.storage.schema import CustomerRow
from twc_customer_server.storage.statements import (
    KEYS,
    UNNUMBERED,
    locked,
    parameter,
    time_of_change,
    values_of,
    with_id,
)
from twc_customer_server.storage.store import Precondition, UniqueConflict
from twc_customer_server.storage.upserts import CONTENDED, FindClashes

# Attempts at a restoration whose conflicts come and go.
_ATTEMPTS = 5

_row = CustomerRow
# An erasure clears these columns, beside the message; that of the e-mail address takes no null.
_PERSONAL = [column for column in KEYS if column is not _row.email_key]


class DeletionStore:
    """The deleted customers of every tenant. Every method raises Unavailable if the database is."""

    def __init__(self, database: Database, find_clashes: FindClashes) -> None:
        self._database = database
        self._find_clashes = find_clashes
        self._answers = KeptAnswers(database)
        of_tenant = _row.tenant == parameter("tenant")
        one = (of_tenant, _row.id == parameter("id"), _row.erased_at.is_null())
        stored = with_id(_row.select(_row.deleted_at, _row.body)).where(_row.erased_at.is_null())
        self._stored = database.compile(locked(database, stored))
        self._restore = database.compile(
            _row.update(
                values_of((_row.modified_at, _row.body))
                | {_row.deleted_at: SQL("NULL")}
                | UNNUMBERED
            ).where(*one)
        )
        time = time_of_change()
        deleted_at = fn.COALESCE(_row.deleted_at, time)
        self._erase = database.compile(
            _row.update(
                dict.fromkeys(_PERSONAL, SQL("NULL"))
                | {_row.email_key: SQL("''"), _row.body: parameter("empty")}
                | {_row.created_at: deleted_at, _row.deleted_at: deleted_at}
                | {_row.modified_at: time, _row.erased_at: time}
                | UNNUMBERED
            ).where(*one)
        )
        is_deleted = (_row.deleted_at.is_null(is_null=False), _row.erased_at.is_null())
        time_of_deletion = _row.deleted_at.between(parameter("first"), parameter("last"))
        deleted = (
            _row.select(_row.id, _row.deleted_at)
            .where(of_tenant, *is_deleted, time_of_deletion)
            .order_by(_row.deleted_at, _row.id)
            .limit(parameter("limit"))
        )
        # Skips rows that another process erases or restores now.
        self._deleted = database.compile(locked(database, deleted, "FOR UPDATE SKIP LOCKED"))
        self._first = database.compile(
            _row.select(fn.MIN(_row.deleted_at)).where(of_tenant, *is_deleted)
        )
        # Across tenants; it reads nothing but a name, from an index.
        self._next_tenant = database.compile(
            _row.select(fn.MIN(_row.tenant)).where(_row.tenant > parameter("after"), *is_deleted)
        )

    def restore(
        self,
        tenant: str,
        customer_id: str,
        edit: Callable[[Customer], None],
        precondition: Precondition | None = None,
    ) -> bytes:
        """Makes a deleted customer live again, changed by `edit`, and returns its encoding.

        `edit` may run several times, on a copy each; the customer it gets was last
        modified by its deletion. Raises NotFound, NotDeleted, AlreadyExists, and what
        `precondition` raises; the customer is unchanged then.
        """

        def unit() -> bytes:
            rows = self._database.rows(self._stored, {"tenant": tenant, "id": customer_id})
            if not rows:
                raise NotFound("id")
            [(deleted_at, body)] = rows
            if deleted_at is None:
                raise NotDeleted
            if precondition:
                precondition(before_merge(body))
            customer = Customer.FromString(body)
            customer.ClearField("merged_into")
            customer.last_modified_date.FromMilliseconds(deleted_at)
            edit(customer)
            return self._make_live(tenant, customer)

        for _ in range(_ATTEMPTS):
            try:
                return self._database.write(unit, tenant=tenant)
            except UniqueConflict as conflict:
                if clashes := self._find_clashes(tenant, conflict.customer):
                    raise AlreadyExists(clashes) from None
        raise Unavailable(CONTENDED)

    def erase(
        self, tenant: str, customer_id: str, now: int, precondition: Precondition | None = None
    ) -> None:
        """Erases a customer, live or deleted, if there is one; a tombstone without data remains.

        `now` is in milliseconds since the Unix epoch. Raises what
        `precondition` raises; the customer is unchanged then.
        """

        def unit() -> None:
            one = {"tenant": tenant, "id": customer_id}
            for _, body in self._database.rows(self._stored, one):
                if precondition:
                    precondition(before_merge(body))
                self._erase_each(tenant, [customer_id], now)

        self._database.write(unit, tenant=tenant, repeatable=True)

    def erase_deleted(self, tenant: str, first: int, last: int, now: int) -> list[int]:
        """Erases at most BATCH_ROWS customers that were deleted in a time, the oldest first.

        Returns when they were deleted. Times are in milliseconds since the Unix epoch.
        """
        scope = {"tenant": tenant, "first": first, "last": last, "limit": BATCH_ROWS}

        def unit() -> list[int]:
            rows = self._database.rows(self._deleted, scope)
            if rows:
                self._erase_each(tenant, [row[0] for row in rows], now)
            return [row[1] for row in rows]

        return self._database.write(unit, tenant=tenant, repeatable=True)

    def first_deletion(self, tenant: str) -> int | None:
        """Returns when the first of a tenant's deleted customers was, of those not erased."""
        [[deleted_at]] = self._database.rows(self._first, {"tenant": tenant})
        return None if deleted_at is None else int(deleted_at)

    def next_tenant(self, after: str) -> str | None:
        """Returns the first tenant with deleted customers that follows another one, or None."""
        [[tenant]] = self._database.rows(self._next_tenant, {"after": after})
        return None if tenant is None else str(tenant)

    def _make_live(self, tenant: str, customer: Customer) -> bytes:
        """Stores a restored customer as part of a unit of work. Raises UniqueConflict."""
        body = customer.SerializeToString()
        modified_at = customer.last_modified_date.ToMilliseconds()
        row = {"tenant": tenant, "id": customer.id, "modified_at": modified_at, "body": body}
        try:
            self._database.run(self._restore, row)
        except UniqueViolationError as error:
            raise UniqueConflict(customer) from error
        return body

    def _erase_each(self, tenant: str, ids: Collection[str], now: int) -> None:
        """Erases customers, and the kept answers that have one of them, in a unit of work."""
        rows = [{"tenant": tenant, "id": it, "now": now, "empty": b""} for it in ids]
        self._database.run_each(self._erase, rows)
        self._answers.drop(tenant, ids)
