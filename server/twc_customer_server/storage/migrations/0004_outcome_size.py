"""The size of a kept outcome, and an index by which the sizes of a tenant are summed."""

from typing import Any

from peewee import BigIntegerField

from twc_customer_server.storage import online

atomic = False


def up(migrator: Any, db: Any) -> None:
    """Adds the column, null for outcomes that are kept already, and extends the index by it."""
    online.add_columns(migrator, db, "outcome", size=BigIntegerField(null=True))
    online.replace_index(db, "outcome_created_at", "outcome (tenant, created_at, size)")
