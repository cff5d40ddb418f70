"""Stores the results of requests with an idempotency key, so that a repeat has no effect."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypedDict
from uuid import UUID

from peewee import fn

from twc_customer_server.errors import IdempotencyKeyReused
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.purging import BATCH_ROWS, Purge
from twc_customer_server.storage.quota import OutcomeQuota, outcome_size
from twc_customer_server.storage.schema import NO_TENANT, SEVERAL, IdempotencyRow
from twc_customer_server.storage.statements import is_only, parameter, values_of

# Time for which a repeat is answered with the first result.
LIFETIME_MILLISECONDS = 24 * 60 * 60 * 1000

_row = IdempotencyRow


class IdempotentRequest(NamedTuple):
    """A request with an idempotency key; `digest` tells requests apart.

    The time is in milliseconds since the Unix epoch.
    """

    key: str
    digest: bytes
    now: int


class IdempotencyStore:
    """The stored results of every tenant's requests."""

    def __init__(self, database: Database, quota_bytes: int = 0) -> None:
        """`quota_bytes` may be kept for each tenant; 0 is no limit."""
        self._database = database
        self._quota = OutcomeQuota(database, quota_bytes, LIFETIME_MILLISECONDS)
        of_tenant = _row.tenant == parameter("tenant")
        claimed = values_of((_row.tenant, _row.key, _row.digest, _row.created_at))
        self._claim = database.compile(_row.insert(claimed).on_conflict(action="nothing"))
        self._get = database.compile(
            _row.select(_row.digest, _row.outcome, _row.created_at)
            .where(of_tenant, is_only(_row.key, parameter("key")))
            .order_by(_row.key)
        )
        saved = values_of((_row.outcome, _row.size, _row.customer_id, _row.customer_ids))
        # The row is there. An update could look for it by another index than that of keys, and
        # read all of the tenant, while PostgreSQL has no statistics of that.
        self._save = database.compile(
            _row.insert(claimed | saved).on_conflict(
                conflict_target=(_row.tenant, _row.key), update=saved
            )
        )
        self._drop_expired = database.compile(
            _row.delete().where(
                of_tenant, _row.key == parameter("key"), _row.created_at <= parameter("expired")
            )
        )

    def run_idempotent(
        self,
        tenant: str,
        request: IdempotentRequest,
        action: Callable[[], bytes],
        customer_ids: Callable[[], Sequence[str]] = tuple,
        *,
        bulk: bool = False,
    ) -> bytes:
        """Runs an action once, and returns its result to the first request and to repeats.

        The action and its result are one transaction. A repeat waits while the
        first runs; they have the timeout of an upload if `bulk`. The result is
        dropped with the customers that it has, whose ids `customer_ids` returns
        after the action. Raises
        IdempotencyKeyReused, Overloaded if the tenant's quota is used up, and
        what `action` raises; no result is stored then.
        """
        # Not within the unit of work, since that keeps others waiting.
        refusal = self._quota.refusal(tenant, request.now)
        if refusal and not self._is_repeat(tenant, request):
            raise refusal
        result, size = self._database.write(
            lambda: self._run(tenant, request, action, customer_ids),
            tenant=tenant,
            repeatable=True,
            bulk=bulk,
        )
        self._quota.add(tenant, size)
        return result

    def _is_repeat(self, tenant: str, request: IdempotentRequest) -> bool:
        """Tells whether a result is stored for the key."""
        stored = self._database.rows(self._get, {"tenant": tenant, "key": request.key})
        return any(time > request.now - LIFETIME_MILLISECONDS for _, _, time in stored)

    def _run(
        self,
        tenant: str,
        request: IdempotentRequest,
        action: Callable[[], bytes],
        customer_ids: Callable[[], Sequence[str]],
    ) -> tuple[bytes, int]:
        """Returns the result, and what of the quota it took."""
        one = {"tenant": tenant, "key": request.key}
        expired = request.now - LIFETIME_MILLISECONDS
        claim = {**one, "digest": request.digest, "created_at": request.now}
        while not self._database.run(self._claim, claim):
            # Of several requests that find an expired result, one drops it.
            for digest, result, created_at in self._database.rows(self._get, one):
                if created_at > expired:
                    if digest != request.digest:
                        raise IdempotencyKeyReused
                    return bytes(result), 0
            self._database.run(self._drop_expired, {**one, "expired": expired})
        result = action()
        held = _held(customer_ids())
        size = outcome_size(request.key, result) + len(held["customer_ids"] or b"")
        self._database.run(self._save, {**claim, "outcome": result, "size": size, **held})
        return result, size


class _Held(TypedDict):
    """The columns with the customers that an outcome has."""

    customer_id: str | None
    customer_ids: bytes | None


def _held(ids: Sequence[str]) -> _Held:
    if len(ids) > 1:
        return _Held(customer_id=SEVERAL, customer_ids=b"".join(UUID(it).bytes for it in ids))
    return _Held(customer_id=ids[0] if ids else None, customer_ids=None)


class OutcomePurge(Purge):
    """Purges the results that have expired."""

    name = "outcomes"

    def __init__(self, database: Database) -> None:
        self._database = database
        of_tenant = _row.tenant == parameter("tenant")
        # The only statement across tenants; it reads nothing but a name, from an index.
        self._next_tenant = database.compile(
            _row.select(fn.MIN(_row.tenant)).where(_row.tenant > parameter("after"))
        )
        self._first = database.compile(_row.select(fn.MIN(_row.created_at)).where(of_tenant))
        # Each batch begins where the last one ended: the index still has what that deleted.
        of_time = _row.created_at.between(parameter("first"), parameter("last"))
        self._batch = database.compile(
            _row.select(_row.created_at)
            .where(of_tenant, of_time)
            .order_by(_row.created_at)
            .limit(parameter("limit"))
        )
        self._delete = database.compile(_row.delete().where(of_tenant, of_time))

    def next_tenant(self, after: str) -> str | None:
        """Returns the next tenant with results."""
        [[tenant]] = self._database.rows(self._next_tenant, {"after": after or NO_TENANT})
        return None if tenant is None else str(tenant)

    def due_since(self, tenant: str) -> int | None:
        """Returns when a tenant's first result expires, or has expired."""
        [[created_at]] = self._database.rows(self._first, {"tenant": tenant})
        return None if created_at is None else created_at + LIFETIME_MILLISECONDS

    def purge_batch(self, tenant: str, since: int, now: int) -> tuple[int, int | None]:
        """Purges results that expired in a time, the oldest first."""
        first, last = since - LIFETIME_MILLISECONDS, now - LIFETIME_MILLISECONDS
        scope = {"tenant": tenant, "first": first, "last": last}
        rows = self._database.rows(self._batch, {**scope, "limit": BATCH_ROWS})
        if not rows:
            return 0, None
        # All from the first time to the last one of the batch, a few more if some share that.
        [last] = rows[-1]
        purged = self._database.write_one(self._delete, scope | {"last": last})
        is_last = len(rows) < BATCH_ROWS
        return purged, None if is_last else last + LIFETIME_MILLISECONDS
