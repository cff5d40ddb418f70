"""FastAPI with Peewee: the same handlers and table as with SQLAlchemy.

Threads keep their connections, as Peewee does unless it is told otherwise:
opening one for each request would cost more than the request. What writes
begins its transaction with BEGIN IMMEDIATE. To build a query takes Peewee four
times as long as to run it: the SQL of what reads is built once, and run as
`Model.raw`, which returns models as ever. JSON is read and written by Pydantic's core.
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

from bench.peers import command, errors, fastapi_app, records, rules
from bench.peers.models import Changes, New
from bench.peers.sqlite import PRAGMAS, WRITING

_database = SqliteDatabase(None, pragmas=PRAGMAS)


def _json() -> JSONField:
    return JSONField(dumps=lambda value: to_json(value).decode(), loads=from_json)


class Customer(records.Stored, Model):
    """A customer."""

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


for _name, _columns, _unique in records.INDEXES:
    _fields = [getattr(Customer, column) for column in _columns]
    Customer.add_index(ModelIndex(Customer, _fields, unique=_unique, name=_name))


class Customers:
    """The customers of the database."""

    def get(self, tenant: str, customer_id: str) -> Customer | None:
        """The customer with an id."""
        return _find(tenant, {"id": customer_id})

    def search(self, tenant: str, columns: Mapping[str, str]) -> list[Customer]:
        """The customers with all values, by column."""
        return list(Customer.raw(_select(*columns), tenant, *columns.values(), records.PAGE))

    def create(self, tenant: str, given: New, region: str | None) -> Customer:
        """Stores a customer. Raises InvalidInput and AlreadyExists."""
        row = Customer(**records.values(tenant, rules.new(given.given(), region)))
        try:
            with WRITING:
                row.save(force_insert=True)
        except IntegrityError as error:
            raise _taken(row, error) from None
        return row

    def update(self, tenant: str, given: Changes, region: str | None) -> Customer:
        """Changes a customer. Raises NotFound, InvalidInput and AlreadyExists."""
        key = given.key()
        with WRITING, _database.atomic("IMMEDIATE"):
            row = _find(tenant, key)
            if row is None:
                raise errors.missing(*key)
            stored = records.customer(row)
            customer = rules.changed(stored, given.given(), region)
            for column, value in records.changes(tenant, stored, customer).items():
                setattr(row, column, value)
            try:
                row.save()
            except IntegrityError as error:
                raise _taken(row, error) from None
        return row


@functools.cache
def _select(*columns: str) -> str:
    """The SQL that finds customers by some columns."""
    wanted = [getattr(Customer, column) == "" for column in ("tenant", *columns)]
    sql, _ = Customer.select().where(*wanted).order_by(Customer.id).limit(records.PAGE).sql()
    return str(sql)


def _find(tenant: str, columns: Mapping[str, str]) -> Customer | None:
    found = Customer.raw(_select(*columns), tenant, *columns.values(), 1)
    return next(iter(found), None)


def _taken(row: Customer, error: IntegrityError) -> Exception:
    column = errors.taken_column(error)
    owner = _find(row.tenant, {column: getattr(row, column)})
    return errors.taken(column, owner.id if owner else None)


def seed(path: Path, tenant: str, batches: command.Batches) -> None:
    """Fills a database file."""
    _database.init(str(path))
    _database.create_tables([Customer])
    for batch in batches:
        with _database.atomic():
            Customer.insert_many([records.values(tenant, each) for each in batch]).execute()
    _database.close()


def serve(path: Path, port: int) -> None:
    """Serves a database file."""
    _database.init(str(path))
    fastapi_app.serve(Customers(), port)


if __name__ == "__main__":
    command.run(command.Peer("fastapi_peewee", seed, serve))
