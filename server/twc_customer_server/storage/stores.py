"""The stores of one database, as the servicer uses them."""

from typing import NamedTuple, Self

from twc_customer_server.storage.changes import ChangeStore
from twc_customer_server.storage.database import Database
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
    def of(cls, database: Database, idempotency_quota_bytes: int = 0) -> Self:
        """Returns the stores of a database; of a quota of 0 bytes there is no limit."""
        customers, changes = CustomerStore(database), ChangeStore(database)
        return cls(
            customers,
            IdempotencyStore(database, idempotency_quota_bytes),
            changes,
            ExportStore(database, changes),
            MergeStore(database, customers.clashes),
            DeletionStore(database, customers.clashes),
        )
