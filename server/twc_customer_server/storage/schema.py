"""The tables and indexes of the newest schema version.

The tenant leads every key and index, there are no sequences and no foreign
keys: the same schema fits engines that distribute tenants over machines.
"""

from typing import Any

from peewee import (
    SQL,
    BigIntegerField,
    BlobField,
    CompositeKey,
    IntegerField,
    Model,
    ModelIndex,
    TextField,
)

# Rows of this tenant, which no tenant's name is, are the service's own.
NO_TENANT = ""

# In place of the id, if an outcome has several customers.
SEVERAL = "*"

# A column, named as an attribute of a table's class.
Column = Any


class CustomerRow(Model):
    """A customer: the encoded message, beside its lookup keys.

    Times are in milliseconds since the Unix epoch. `deleted_at` is null for a
    live customer; `modified_at` equals it for a deleted one that is not erased.
    Of an erased one there are id and times alone: those of the deletion, in
    place of the creation's too, and of the erasure. A name that is not set is
    empty in its keys; no other row lacks a name's keys or the status, which
    migrations have added. `change_sequence` is the number of the last change,
    `created_sequence` that of the first one; both are null until the change is
    numbered.
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
    first_name_fold = TextField(null=True)
    last_name_fold = TextField(null=True)
    status = IntegerField(null=True)
    alternate_ref = TextField(null=True)
    change_sequence = BigIntegerField(null=True)
    created_sequence = BigIntegerField(null=True)
    erased_at = BigIntegerField(null=True)

    class Meta:
        table_name = "customer"
        primary_key = CompositeKey("tenant", "id")


class IdempotencyRow(Model):
    """The result of a request with an idempotency key; `outcome` is null while it runs.

    `digest` tells requests apart; the time is in milliseconds since the Unix epoch.
    `size` is what counts for the tenant's quota; null is nothing. `customer_id`
    is that of the customer in the outcome, null if there is none. If there may
    be SEVERAL, `customer_ids` has the 16 bytes of each id; null if they are not
    known, of an outcome that is older than the column.
    """

    tenant = TextField()
    key = TextField()
    digest = BlobField()
    outcome = BlobField(null=True)
    created_at = BigIntegerField()
    size = BigIntegerField(null=True)
    customer_id = TextField(null=True)
    customer_ids = BlobField(null=True)

    class Meta:
        table_name = "outcome"
        primary_key = CompositeKey("tenant", "key")


class ChangeSequenceRow(Model):
    """The last number of a tenant's changes; `epoch` differs if they were numbered anew."""

    tenant = TextField(primary_key=True)
    epoch = TextField()
    last = BigIntegerField()

    class Meta:
        table_name = "change_sequence"


# The key column of each field that is unique among a tenant's live customers,
# by the JSON name of the field.
UNIQUE: dict[str, Column] = {
    "email": CustomerRow.email_key,
    "mobile": CustomerRow.mobile,
    "phone": CustomerRow.phone,
    "customerRef": CustomerRow.customer_ref,
    "alternateCustomerRef": CustomerRow.alternate_ref,
}


_LIVE = "deleted_at IS NULL"


def _live_index(*columns: Column, unique: bool, where: str = _LIVE) -> ModelIndex:
    return ModelIndex(
        CustomerRow,
        (CustomerRow.tenant, *columns),
        unique=unique,
        where=SQL(where),
        name=f"customer_{columns[0].column_name}",
    )


for _key in (
    CustomerRow.customer_ref,
    CustomerRow.email_key,
    CustomerRow.mobile,
    CustomerRow.phone,
):
    CustomerRow.add_index(_live_index(_key, unique=True))
# Few customers have one: the others are not in the index, and do not pay for it.
_HAS_ALTERNATE_REF = "deleted_at IS NULL AND alternate_ref IS NOT NULL"
CustomerRow.add_index(_live_index(CustomerRow.alternate_ref, unique=True, where=_HAS_ALTERNATE_REF))
for _columns in (
    (CustomerRow.first_name_fold, CustomerRow.first_name_key),
    (CustomerRow.last_name_fold, CustomerRow.last_name_key),
    (CustomerRow.status, CustomerRow.created_at),
):
    CustomerRow.add_index(_live_index(*_columns, CustomerRow.id, unique=False))

for _order in (CustomerRow.modified_at, CustomerRow.change_sequence):
    CustomerRow.add_index(
        ModelIndex(
            CustomerRow,
            (CustomerRow.tenant, _order, CustomerRow.id),
            name=f"customer_{_order.column_name}",
        )
    )

CustomerRow.add_index(
    ModelIndex(
        CustomerRow,
        (CustomerRow.tenant, CustomerRow.deleted_at, CustomerRow.id),
        where=SQL("deleted_at IS NOT NULL AND erased_at IS NULL"),
        name="customer_deleted_at",
    )
)

IdempotencyRow.add_index(
    ModelIndex(
        IdempotencyRow,
        (IdempotencyRow.tenant, IdempotencyRow.created_at, IdempotencyRow.size),
        name="outcome_created_at",
    )
)
IdempotencyRow.add_index(
    ModelIndex(
        IdempotencyRow,
        (IdempotencyRow.tenant, IdempotencyRow.customer_id),
        where=SQL("customer_id IS NOT NULL"),
        name="outcome_customer_id",
    )
)

TABLES = (CustomerRow, IdempotencyRow, ChangeSequenceRow)
