"""The column of alternate references, and its unique index of the customers that have one."""

from typing import Any

from peewee import TextField

from twc_customer_server.storage import online

atomic = False


def up(migrator: Any, db: Any) -> None:
    """Adds the column, null for all customers, and creates the index."""
    online.add_columns(migrator, db, "customer", alternate_ref=TextField(null=True))
    online.create_index(
        db,
        "customer_alternate_ref",
        "customer (tenant, alternate_ref) WHERE deleted_at IS NULL AND alternate_ref IS NOT NULL",
        unique=True,
    )
