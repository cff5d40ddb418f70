"""The column of alternate references, and its unique index of the customers that have one."""

from typing import Any

from peewee import TextField


def up(migrator: Any, db: Any) -> None:
    """Adds the column, null for all customers, and creates the index."""
    migrator.migrate(migrator.add_column("customer", "alternate_ref", TextField(null=True)))
    db.execute_sql(
        "CREATE UNIQUE INDEX customer_alternate_ref ON customer (tenant, alternate_ref) "
        "WHERE deleted_at IS NULL AND alternate_ref IS NOT NULL"
    )
