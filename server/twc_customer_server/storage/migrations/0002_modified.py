"""The index that an export of what changed since a time goes by; deletion is a change."""

from typing import Any


def up(migrator: Any, db: Any) -> None:
    """Gives deleted customers the time of that as their last, and creates the index."""
    db.execute_sql("UPDATE customer SET modified_at = deleted_at WHERE deleted_at IS NOT NULL")
    columns = ("tenant", "modified_at", "id")
    migrator.migrate(migrator.add_index("customer", columns, name="customer_modified_at"))
