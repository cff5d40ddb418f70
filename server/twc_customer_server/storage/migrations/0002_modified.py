"""The index that an export of what changed since a time goes by; deletion is a change."""

from typing import Any

from twc_customer_server.storage import online

atomic = False

_FILL = "UPDATE customer SET modified_at = deleted_at WHERE deleted_at <> modified_at AND "


def up(_migrator: object, db: Any) -> None:
    """Gives deleted customers the time of that as their last, and creates the index."""
    online.change_each_range(
        db,
        "customer",
        ("tenant", "id"),
        lambda condition, bounds: db.execute_sql(_FILL + condition, bounds),
    )
    online.create_index(db, "customer_modified_at", "customer (tenant, modified_at, id)")
