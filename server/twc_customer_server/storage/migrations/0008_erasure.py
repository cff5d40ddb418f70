"""The time of erasure, the index by which deleted customers are erased, and whom outcomes have."""

from typing import Any

from peewee import SQL, BigIntegerField, BlobField, TextField


def up(migrator: Any, db: Any) -> None:
    """Adds columns and indexes; whom the outcomes that exist have is not known ("*")."""
    migrator.migrate(
        migrator.add_column("customer", "erased_at", BigIntegerField(null=True)),
        migrator.add_index(
            "customer",
            ("tenant", "deleted_at", "id"),
            where=SQL("deleted_at IS NOT NULL AND erased_at IS NULL"),
            name="customer_deleted_at",
        ),
        migrator.add_column("outcome", "customer_id", TextField(null=True)),
        migrator.add_column("outcome", "customer_ids", BlobField(null=True)),
    )
    db.execute_sql("UPDATE outcome SET customer_id = '*'")
    migrator.migrate(
        migrator.add_index(
            "outcome",
            ("tenant", "customer_id"),
            where=SQL("customer_id IS NOT NULL"),
            name="outcome_customer_id",
        )
    )
