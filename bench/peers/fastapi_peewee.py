"""FastAPI with Peewee: the handlers and the table of the peer with SQLAlchemy.

Each thread keeps its connection, Peewee's default: opening one for each request
would cost more than the request. Transactions that write begin with BEGIN
IMMEDIATE. Building a query takes Peewee four times as long as running it, so the
SQL of reads is built once and run by `Model.raw`, which returns models too.
Pydantic's core parses and serializes JSON.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

from peewee import (
    BooleanField,
    CompositeKey,
    IntegrityError,
    JSONField,
    Model,
    ModelIndex,
    SqliteDatabase,
    TextField,
)
from pydantic_core import from_json, to_json

from bench.peers import command, error_responses, fastapi_app, rules, table
from bench.peers.pydantic_models import CustomerUpdate, NewCustomer
from bench.peers.table import PRAGMAS, WRITE_LOCK

_database = SqliteDatabase(None, pragmas=PRAGMAS)


def _json() -> JSONField:
    return JSONField(dumps=lambda value: to_json(value).decode(), loads=from_json)


class Customer(table.RowMixin, Model):
    """A row of the table."""

    tenant = TextField()
    id = TextField()
    customer_ref = TextField(null=True)
    email = TextField()
    email_key = TextField()
    first_name = TextField(null=True)
    first_name_key = TextField(null=True)
    last_name = TextField(null=True)
    last_name_key = TextField(null=True)
    mobile = TextField(null=True)
    phone = TextField(null=True)
    dob = TextField(null=True)
    active = BooleanField()
    accepts_marketing = BooleanField()
    customer_state = TextField()
    marketing_optin_level = TextField(null=True)
    marketing_preferences_updated_at = TextField(null=True)
    tax_exempt = BooleanField()
    tax_exemptions = _json()
    verified_email = BooleanField()
    addresses = _json()
    attribute_groups = _json()
    created_date = TextField()
    last_modified_date = TextField()

    class Meta:
        database = _database
        table_name = "customer"
        only_save_dirty = True
        primary_key = CompositeKey("tenant", "id")


for _name, _columns, _unique in table.INDEXES:
    _fields = [getattr(Customer, column) for column in _columns]
    Customer.add_index(ModelIndex(Customer, _fields, unique=_unique, name=_name))


class Customers:
    """Reads and writes the customers of the database."""

    def get(self, tenant: str, customer_id: str) -> Customer | None:
        """Returns the customer with an id."""
        return _find(tenant, {"id": customer_id})

    def search(self, tenant: str, columns: Mapping[str, str]) -> list[Customer]:
        """Returns the customers with all the values, by column."""
        return list(Customer.raw(_select(*columns), tenant, *columns.values(), table.PAGE_SIZE))

    def create(self, tenant: str, request: NewCustomer, region: str | None) -> Customer:
        """Stores a customer. Raises InvalidInput and AlreadyExists."""
        row = Customer(**table.to_row(tenant, rules.create(request.members(), region)))
        try:
            with WRITE_LOCK:
                row.save(force_insert=True)
        except IntegrityError as error:
            raise _conflict(row, error) from None
        return row

    def update(self, tenant: str, request: CustomerUpdate, region: str | None) -> Customer:
        """Changes a customer. Raises NotFound, InvalidInput and AlreadyExists."""
        selector = request.selector()
        with WRITE_LOCK, _database.atomic("IMMEDIATE"):
            row = _find(tenant, selector)
            if row is None:
                raise error_responses.not_found(*selector)
            stored = table.from_row(row)
            customer = rules.update(stored, request.members(), region)
            for column, value in table.changed_columns(tenant, stored, customer).items():
                setattr(row, column, value)
            try:
                row.save()
            except IntegrityError as error:
                raise _conflict(row, error) from None
        return row


@functools.cache
def _select(*columns: str) -> str:
    """Returns the SQL that finds customers by some columns."""
    conditions = [getattr(Customer, column) == "" for column in ("tenant", *columns)]
    sql, _ = Customer.select().where(*conditions).order_by(Customer.id).limit(table.PAGE_SIZE).sql()
    return str(sql)


def _find(tenant: str, columns: Mapping[str, str]) -> Customer | None:
    found = Customer.raw(_select(*columns), tenant, *columns.values(), 1)
    return next(iter(found), None)


def _conflict(row: Customer, error: IntegrityError) -> Exception:
    column = error_responses.conflicting_column(error)
    owner = _find(row.tenant, {column: getattr(row, column)})
    return error_responses.already_exists(column, owner.id if owner else None)


def seed(path: Path, tenant: str, batches: command.Batches) -> None:
    """Creates a database with customers."""
    _database.init(str(path))
    _database.create_tables([Customer])
    for batch in batches:
        with _database.atomic():
            Customer.insert_many([table.to_row(tenant, each) for each in batch]).execute()
    _database.close()


def serve(path: Path, port: int) -> None:
    """Serves a database until SIGTERM."""
    _database.init(str(path))
    fastapi_app.serve(Customers(), port)


if __name__ == "__main__":
    command.run(command.Peer("fastapi_peewee", seed, serve))
