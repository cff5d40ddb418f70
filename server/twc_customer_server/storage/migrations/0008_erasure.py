"""The time of erasure, the index by which deleted customers are erased, and whom outcomes have."""

from typing import Any

from peewee import BigIntegerField, BlobField, TextField

from twc_customer_server.storage import online

atomic = False

# A server that knows the column writes others.
_FILL = "UPDATE outcome SET customer_id = '*' WHERE customer_id IS NULL AND "


def up(migrator: Any, db: Any) -> None:
    """Adds columns and indexes; whom the outcomes that exist have is not known ("*")."""
    online.add_columns(migrator, db, "customer", erased_at=BigIntegerField(null=True))
    online.create_index(
        db,
        "customer_deleted_at",
        "customer (tenant, deleted_at, id) WHERE deleted_at IS NOT NULL AND erased_at IS NULL",
    )
    online.add_columns(
        migrator,
        db,
        "outcome",
        customer_id=TextField(null=True),
        customer_ids=BlobField(null=True),
    )
    online.change_each_range(
        db,
        "outcome",
        ("tenant", "key"),
        lambda condition, bounds: db.execute_sql(_FILL + condition, bounds),
    )
    online.create_index(
        db, "outcome_customer_id", "outcome (tenant, customer_id) WHERE customer_id IS NOT NULL"
    )
