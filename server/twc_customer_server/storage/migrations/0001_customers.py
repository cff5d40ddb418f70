"""The table of customers, as `twc_customer_server.storage.schema` describes it."""

from typing import Any

from peewee import SQL, BigIntegerField, BlobField, CompositeKey, Database, ModelIndex, TextField

from twc_customer_server.storage import online

atomic = False


def up(_migrator: object, db: Database) -> None:
    """Creates the table with its indexes."""
    base: Any = db.Model

    class Customer(base):  # type: ignore[misc] # Peewee makes the base
        tenant = TextField()
        id = TextField()
        customer_ref = TextField(null=True)
        email_key = TextField()
        mobile = TextField(null=True)
        phone = TextField(null=True)
        first_name_key = TextField(null=True)
        last_name_key = TextField(null=True)
        created_at = BigIntegerField()
        modified_at = BigIntegerField()
        deleted_at = BigIntegerField(null=True)
        body = BlobField()

        class Meta:
            table_name = "customer"
            primary_key = CompositeKey("tenant", "id")

    def add_index(*columns: str, unique: bool) -> None:
        fields = [getattr(Customer, column) for column in ("tenant", *columns)]
        live = SQL("deleted_at IS NULL")
        name = f"customer_{columns[0]}"
        Customer.add_index(ModelIndex(Customer, fields, unique=unique, where=live, name=name))

    for key in ("customer_ref", "email_key", "mobile", "phone"):
        add_index(key, unique=True)
    for key in ("first_name_key", "last_name_key"):
        add_index(key, "id", unique=False)
    online.create_table(db, Customer)
