"""Erases customers some time after their deletion, in the background."""

import math

from twc_customer_server.storage.deletions import DeletionStore
from twc_customer_server.storage.purging import BATCH_ROWS, Purge

_DAY_MILLISECONDS = 24 * 60 * 60 * 1000


class RetentionPurge(Purge):
    """Erases deleted customers when their time has come."""

    name = "deletions"

    def __init__(self, store: DeletionStore, days: float) -> None:
        """Customers are erased `days` after their deletion; 0 is never."""
        self._store = store
        self._milliseconds = math.ceil(days * _DAY_MILLISECONDS)

    def next_tenant(self, after: str) -> str | None:
        """Returns the next tenant with deleted customers that are not erased."""
        return self._store.next_tenant(after) if self._milliseconds else None

    def due_since(self, tenant: str) -> int | None:
        """Returns when the first deleted customer of a tenant is, or was, to be erased."""
        deleted_at = self._store.first_deletion(tenant)
        return None if deleted_at is None else deleted_at + self._milliseconds

    def purge_batch(self, tenant: str, since: int, now: int) -> tuple[int, int | None]:
        """Erases customers that were due in a time, the first deleted first."""
        first, last = since - self._milliseconds, now - self._milliseconds
        erased = self._store.erase_deleted(tenant, first, last, now)
        is_last = len(erased) < BATCH_ROWS
        return len(erased), None if is_last else erased[-1] + self._milliseconds
