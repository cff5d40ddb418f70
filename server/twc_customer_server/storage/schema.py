"""The tables and their indexes, as the newest of the migrations leaves them.

The tenant leads every key and index, nothing counts up, and no table refers
to another: the same schema fits databases that spread tenants over machines.
"""

from typing import Any

from peewee import SQL, BigIntegerField, BlobField, CompositeKey, Model, ModelIndex, TextField

# A column, named as an attribute of a table's class.
Column = Any


class CustomerRow(Model):
    """A customer: the whole message as bytes, beside the keys it is found by.

    Times are milliseconds since the Unix epoch. `deleted_at` is null while the
    customer lives, and `modified_at` the same when it does no more.
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


class OutcomeRow(Model):
    """What came of a request that has a key: null while it runs, else as the service encodes it.

    `digest` tells requests apart; the time is in milliseconds since the Unix epoch.
    """

    tenant = TextField()
    key = TextField()
    digest = BlobField()
    outcome = BlobField(null=True)
    created_at = BigIntegerField()

    class Meta:
        table_name = "outcome"
        primary_key = CompositeKey("tenant", "key")


# The key column of each field that is unique among a tenant's live customers,
# by the JSON name of the field.
UNIQUE: dict[str, Column] = {
    "email": CustomerRow.email_key,
    "mobile": CustomerRow.mobile,
    "phone": CustomerRow.phone,
    "customerRef": CustomerRow.customer_ref,
}


def _live_index(*columns: Column, unique: bool) -> ModelIndex:
    return ModelIndex(
        CustomerRow,
        (CustomerRow.tenant, *columns),
        unique=unique,
        where=SQL("deleted_at IS NULL"),
        name=f"customer_{columns[0].column_name}",
    )


for _key in UNIQUE.values():
    CustomerRow.add_index(_live_index(_key, unique=True))
for _name in (CustomerRow.first_name_key, CustomerRow.last_name_key):
    CustomerRow.add_index(_live_index(_name, CustomerRow.id, unique=False))

CustomerRow.add_index(
    ModelIndex(
        CustomerRow,
        (CustomerRow.tenant, CustomerRow.modified_at, CustomerRow.id),
        name="customer_modified_at",
    )
)

OutcomeRow.add_index(
    ModelIndex(OutcomeRow, (OutcomeRow.tenant, OutcomeRow.created_at), name="outcome_created_at")
)

TABLES = (CustomerRow, OutcomeRow)
