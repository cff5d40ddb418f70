"""The numbers of changes, and the table of each tenant's last one."""

from typing import Any

from peewee import BigIntegerField, TextField

from twc_customer_server.storage import online

atomic = False


def up(_migrator: object, db: Any) -> None:
    """Adds the columns, in which all changes until now have the number 0, and the table."""
    present = {column.name for column in db.get_columns("customer")}
    for column in {"change_sequence", "created_sequence"} - present:
        # A default for the rows that exist is no write of them.
        add = f"ALTER TABLE customer ADD COLUMN {column} BIGINT DEFAULT 0"
        db.step(lambda add=add: db.execute_sql(add))
    online.create_index(db, "customer_change_sequence", "customer (tenant, change_sequence, id)")
    base: Any = db.Model

    class ChangeSequence(base):  # type: ignore[misc] # Peewee makes the base
        tenant = TextField(primary_key=True)
        epoch = TextField()
        last = BigIntegerField()

        class Meta:
            table_name = "change_sequence"

    online.create_table(db, ChangeSequence)
