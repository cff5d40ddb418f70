"""Creates the table of idempotency records."""

from typing import Any

from peewee import BigIntegerField, BlobField, CompositeKey, Database, ModelIndex, TextField

from twc_customer_server.storage import online

atomic = False


def up(_migrator: object, db: Database) -> None:
    """Creates the table with its index."""
    base: Any = db.Model

    class Outcome(base):  # type: ignore[misc] # Peewee makes the base
        tenant = TextField()
        key = TextField()
        digest = BlobField()
        outcome = BlobField(null=True)
        created_at = BigIntegerField()

        class Meta:
            table_name = "outcome"
            primary_key = CompositeKey("tenant", "key")

    fields = (Outcome.tenant, Outcome.created_at)
    Outcome.add_index(ModelIndex(Outcome, fields, name="outcome_created_at"))
    online.create_table(db, Outcome)
