"""Folded names and the status, and the indexes by which customers are listed."""

from typing import Any

from peewee import SQL, IntegerField, Table, TextField, Tuple
from twc.customer.v2.customer_pb2 import Customer

# Keys as they are now: whoever changes them adds a migration that computes them anew.
from twc_customer_server.storage.rows import Status, name_fold, name_key

_BATCH_ROWS = 1000
_FILLED = ("first_name_key", "last_name_key", "first_name_fold", "last_name_fold", "status")


def up(migrator: Any, db: Any) -> None:
    """Adds the columns and fills them in batches; replaces the indexes of names."""
    text, number = TextField(null=True), IntegerField(null=True)
    migrator.migrate(
        # First, so that filling does not keep them up to date.
        migrator.drop_index("customer", "customer_first_name_key"),
        migrator.drop_index("customer", "customer_last_name_key"),
        migrator.add_column("customer", "first_name_fold", text),
        migrator.add_column("customer", "last_name_fold", text),
        migrator.add_column("customer", "status", number),
    )
    _fill(db)
    for columns in (
        ("first_name_fold", "first_name_key", "id"),
        ("last_name_fold", "last_name_key", "id"),
        ("status", "created_at", "id"),
    ):
        migrator.migrate(
            migrator.add_index(
                "customer",
                ("tenant", *columns),
                where=SQL("deleted_at IS NULL"),
                name=f"customer_{columns[0]}",
            )
        )


def _fill(db: Any) -> None:
    customer: Any = Table("customer", ("tenant", "id", "body")).bind(db)
    changes = ", ".join(f"{column} = {db.param}" for column in _FILLED)
    update = f"UPDATE customer SET {changes} WHERE tenant = {db.param} AND id = {db.param}"  # noqa: S608 - names alone
    key = (customer.tenant, customer.id)
    last: tuple[str, ...] = ("", "")
    while True:
        batch = customer.select(*key, customer.body).where(Tuple(*key) > Tuple(*last))
        rows = [*batch.order_by(*key).limit(_BATCH_ROWS).tuples()]
        if not rows:
            return
        db.cursor().executemany(
            update, [(*_values(Customer.FromString(body)), *key) for *key, body in rows]
        )
        last = tuple(rows[-1][:2])


def _values(customer: Customer) -> tuple[object, ...]:
    names = (name_key(customer.first_name), name_key(customer.last_name))
    return (*names, *map(name_fold, names), Status.of(customer).number)
