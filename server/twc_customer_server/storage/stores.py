"""The stores of one database, as the servicer uses them."""

from collections.abc import Callable
from typing import NamedTuple, Self

from twc_customer_server.storage.changes import ChangeStore
from twc_customer_server.storage.database import Database, Reader
from twc_customer_server.storage.deletions import DeletionStore
from twc_customer_server.storage.export import ExportStore
from twc_customer_server.storage.idempotency import IdempotencyStore
from twc_customer_server.storage.merges import MergeStore
from twc_customer_server.storage.store import CustomerStore


class Stores(NamedTuple):
    """A store for each use of a database."""

    customers: CustomerStore
    idempotency: IdempotencyStore
    changes: ChangeStore
    exports: ExportStore
    merges: MergeStore
    deletions: DeletionStore

    @classmethod
    def of(
        cls,
        database: Database,
        idempotency_quota_bytes: int = 0,
        reads_of_now: Callable[[str], Reader] | None = None,
    ) -> Self:
        """Returns the stores of a database; of a quota of 0 bytes there is no limit.

        `reads_of_now` makes the reads of a tenant's export, which are the database's by default.
        """
        customers, changes = CustomerStore(database), ChangeStore(database)
        return cls(
            customers,
            IdempotencyStore(database, idempotency_quota_bytes),
            changes,
            ExportStore(database, changes, reads_of_now or (lambda _: database)),
            MergeStore(database, customers.clashes),
            DeletionStore(database, customers.clashes),
        )
