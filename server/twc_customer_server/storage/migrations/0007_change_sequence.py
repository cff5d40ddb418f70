"""The numbers of changes, and the table of each tenant's last one."""

from typing import Any

from peewee import BigIntegerField, Database, TextField


def up(migrator: Any, db: Database) -> None:
    """Adds the columns, in which all changes until now have the number 0, and the table."""
    for column in ("change_sequence", "created_sequence"):
        # A default for the rows that exist is no write of them.
        db.execute_sql(f"ALTER TABLE customer ADD COLUMN {column} BIGINT DEFAULT 0")
    columns = ("tenant", "change_sequence", "id")
    migrator.migrate(migrator.add_index("customer", columns, name="customer_change_sequence"))
    base: Any = db.Model

    class ChangeSequence(base):  # type: ignore[misc] # Peewee makes the base
        tenant = TextField(primary_key=True)
        epoch = TextField()
        last = BigIntegerField()

        class Meta:
            table_name = "change_sequence"

    db.create_tables([ChangeSequence])
