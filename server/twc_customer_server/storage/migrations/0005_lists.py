"""Folded names and the status, and the indexes by which customers are listed."""

from typing import Any

from peewee import IntegerField, TextField
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.storage import online

# Keys as they are now: whoever changes them adds a migration that computes them anew.
from twc_customer_server.storage.rows import Status, name_fold, name_key

atomic = False

# Each is parsed and its keys are computed, which takes a while.
_BATCH_ROWS = 200
_FILLED = ("first_name_key", "last_name_key", "first_name_fold", "last_name_fold", "status")


def up(migrator: Any, db: Any) -> None:
    """Adds the columns and fills them in batches; replaces the indexes of names."""
    # First, so that filling does not keep them up to date.
    online.drop_indexes(db, "customer_first_name_key", "customer_last_name_key")
    online.add_columns(
        migrator,
        db,
        "customer",
        first_name_fold=TextField(null=True),
        last_name_fold=TextField(null=True),
        status=IntegerField(null=True),
    )
    online.change_each_range(
        db,
        "customer",
        ("tenant", "id"),
        lambda condition, bounds: _fill(db, condition, bounds),
        _BATCH_ROWS,
    )
    for column, tie in (
        ("first_name_fold", "first_name_key"),
        ("last_name_fold", "last_name_key"),
        ("status", "created_at"),
    ):
        on = f"customer (tenant, {column}, {tie}, id) WHERE deleted_at IS NULL"
        online.create_index(db, f"customer_{column}", on)


def _fill(db: Any, condition: str, bounds: tuple[Any, ...]) -> None:
    changes = ", ".join(f"{column} = {db.param}" for column in _FILLED)
    update = f"UPDATE customer SET {changes} WHERE tenant = {db.param} AND id = {db.param}"  # noqa: S608 - names alone
    lock = " FOR UPDATE" if db.for_update else ""
    read = f"SELECT tenant, id, body FROM customer WHERE status IS NULL AND {condition}{lock}"  # noqa: S608 - names alone
    rows = db.execute_sql(read, bounds).fetchall()
    db.cursor().executemany(
        update, [(*_values(Customer.FromString(body)), *key) for *key, body in rows]
    )


def _values(customer: Customer) -> tuple[object, ...]:
    names = (name_key(customer.first_name), name_key(customer.last_name))
    return (*names, *map(name_fold, names), Status.of(customer).number)
