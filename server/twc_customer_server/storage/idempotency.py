"""Stores the results of requests with an idempotency key, so that a repeat has no effect."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from twc_customer_server.concurrency.periodic import Periodic
from twc_customer_server.errors import IdempotencyKeyReused, Unavailable
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.quota import OutcomeQuota, outcome_size
from twc_customer_server.storage.schema import IdempotencyRow
from twc_customer_server.storage.statements import parameter, values_of

# Time for which a repeat is answered with the first result.
LIFETIME_MILLISECONDS = 24 * 60 * 60 * 1000

# Rows that one statement purges: more would hold up other writes for too long.
_PURGE_ROWS = 1000
_PURGE_PERIOD_SECONDS = 3600

_row = IdempotencyRow

_log = logging.getLogger(__name__)


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
        one = (of_tenant, _row.key == parameter("key"))
        claimed = (_row.tenant, _row.key, _row.digest, _row.created_at)
        self._claim = database.compile(
            _row.insert(values_of(claimed)).on_conflict(action="nothing")
        )
        self._get = database.compile(
            _row.select(_row.digest, _row.outcome, _row.created_at).where(*one)
        )
        self._save = database.compile(_row.update(values_of([_row.outcome, _row.size])).where(*one))
        self._drop_expired = database.compile(
            _row.delete().where(*one, _row.created_at <= parameter("expired"))
        )
        expired = (
            _row.select(_row.key)
            .where(of_tenant, _row.created_at < parameter("expired"))
            .limit(parameter("limit"))
        )
        self._purge = database.compile(_row.delete().where(of_tenant, _row.key.in_(expired)))
        # The only statement across tenants; it reads nothing but their names.
        self._tenants = database.compile(_row.select(_row.tenant).distinct())

    def run_idempotent(
        self,
        tenant: str,
        request: IdempotentRequest,
        action: Callable[[], bytes],
        *,
        bulk: bool = False,
    ) -> bytes:
        """Runs an action once, and returns its result to the first request and to repeats.

        The action and its result are one transaction. A repeat waits while the
        first runs; they have the timeout of an upload if `bulk`. Raises
        IdempotencyKeyReused, Overloaded if the tenant's quota is used up, and
        what `action` raises; no result is stored then.
        """
        # Not within the unit of work, since that keeps others waiting.
        refusal = self._quota.refusal(tenant, request.now)
        if refusal and not self._is_repeat(tenant, request):
            raise refusal
        result, size = self._database.write(
            lambda: self._run(tenant, request, action), repeatable=True, bulk=bulk
        )
        self._quota.add(tenant, size)
        return result

    def purge(self, now: int) -> None:
        """Deletes the results that have expired at a time, in milliseconds since the epoch."""
        for (tenant,) in self._database.rows(self._tenants, {}):
            parameters = {
                "tenant": tenant,
                "expired": now - LIFETIME_MILLISECONDS,
                "limit": _PURGE_ROWS,
            }
            while self._database.write_one(self._purge, parameters) == _PURGE_ROWS:
                pass

    def _is_repeat(self, tenant: str, request: IdempotentRequest) -> bool:
        """Tells whether a result is stored for the key."""
        stored = self._database.rows(self._get, {"tenant": tenant, "key": request.key})
        return any(time > request.now - LIFETIME_MILLISECONDS for _, _, time in stored)

    def _run(
        self, tenant: str, request: IdempotentRequest, action: Callable[[], bytes]
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
        size = outcome_size(request.key, result)
        self._database.run(self._save, {**one, "outcome": result, "size": size})
        return result, size


class ExpiredKeyPurger(Periodic):
    """Periodically deletes expired idempotency records, on a thread of its own."""

    def __init__(self, purge: Callable[[], None]) -> None:
        def purge_if_available() -> None:
            try:
                purge()
            except Unavailable:
                _log.warning("expired idempotency keys could not be purged; retried in an hour")

        super().__init__("purger", _PURGE_PERIOD_SECONDS, purge_if_available)
