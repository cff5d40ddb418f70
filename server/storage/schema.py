"""The tables and their indexes.

The tenant leads every key and index, nothing counts up, and no table refers
to another: the same schema fits databases that spread tenants over machines.
"""

from peewee import SQL, BigIntegerField, BlobField, CompositeKey, Model, ModelIndex, TextField


class CustomerRow(Model):
    """A customer: the whole message as bytes, beside the keys it is found by.

    Times are milliseconds since the Unix epoch. `deleted_at` is null while the
    customer lives.
    """

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


# The key column of each field that is unique among a tenant's live customers,
# by the JSON name of the field.
UNIQUE = {
    "email": CustomerRow.email_key,
    "mobile": CustomerRow.mobile,
    "phone": CustomerRow.phone,
    "customerRef": CustomerRow.customer_ref,
}


def _live_index(*columns: TextField, unique: bool) -> ModelIndex:
    return ModelIndex(
        CustomerRow,
        (CustomerRow.tenant, *columns),
        unique=unique,
        where=SQL("deleted_at IS NULL"),
        name=f"customer_{columns[0].column_name}",
    )


for _column in UNIQUE.values():
    CustomerRow.add_index(_live_index(_column, unique=True))
for _column in (CustomerRow.first_name_key, CustomerRow.last_name_key):
    CustomerRow.add_index(_live_index(_column, CustomerRow.id, unique=False))

TABLES = (CustomerRow,)
