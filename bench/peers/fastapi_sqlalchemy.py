"""FastAPI with SQLAlchemy's ORM: a typed model, and a session per request.

As its documentation has it for SQLite: what writes begins its transaction with
BEGIN IMMEDIATE, on the one connection of a pool of its own, so that a thread
waits for the writer before it rather than for SQLite's lock; what reads has a
pool whose connections are in autocommit, and begins none. Statements are built
once, with parameters, and SQLAlchemy caches their SQL. Sessions do not expire
what they commit: the answer is made of it without reading it again. JSON is read
and written by Pydantic's core.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import (
    JSON,
    Engine,
    Index,
    Select,
    bindparam,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from bench.peers import command, errors, fastapi_app, records, rules
from bench.peers.models import Changes, New
from bench.peers.sqlite import STATEMENTS, THREADS


class Base(DeclarativeBase):
    """What mapped classes derive from."""


class Customer(records.Stored, Base):
    """A customer."""

    __tablename__ = "customer"
    __table_args__ = tuple(
        Index(name, *columns, unique=unique) for name, columns, unique in records.INDEXES
    )

    tenant: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    customer_ref: Mapped[str | None]
    email: Mapped[str]
    email_key: Mapped[str]
    first_name: Mapped[str | None]
    first_name_key: Mapped[str | None]
    last_name: Mapped[str | None]
    last_name_key: Mapped[str | None]
    mobile: Mapped[str | None]
    phone: Mapped[str | None]
    dob: Mapped[str | None]
    active: Mapped[bool]
    accepts_marketing: Mapped[bool]
    customer_state: Mapped[str]
    marketing_optin_level: Mapped[str | None]
    marketing_preferences_updated_at: Mapped[str | None]
    tax_exempt: Mapped[bool]
    tax_exemptions: Mapped[list[str]] = mapped_column(JSON)
    verified_email: Mapped[bool]
    addresses: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    attribute_groups: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_date: Mapped[str]
    last_modified_date: Mapped[str]


class Customers:
    """The customers of a database file."""

    def __init__(self, path: Path) -> None:
        reading = _engine(
            path, THREADS, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True
        )
        self.writing = _engine(path, 1)
        event.listen(self.writing, "begin", _begin)
        self._reads = sessionmaker(reading, expire_on_commit=False)
        self.writes = sessionmaker(self.writing, expire_on_commit=False)

    def get(self, tenant: str, customer_id: str) -> Customer | None:
        """The customer with an id."""
        found = self.search(tenant, {"id": customer_id})
        return found[0] if found else None

    def search(self, tenant: str, columns: Mapping[str, str]) -> list[Customer]:
        """The customers with all values, by column."""
        with self._reads() as session:
            found = session.scalars(_select(*columns), {"tenant": tenant, **columns})
            return list(found)

    def create(self, tenant: str, given: New, region: str | None) -> Customer:
        """Stores a customer. Raises InvalidInput and AlreadyExists."""
        row: Customer = Customer(**records.values(tenant, rules.new(given.given(), region)))
        with self.writes() as session:
            session.add(row)
            self._commit(session, row)
        return row

    def update(self, tenant: str, given: Changes, region: str | None) -> Customer:
        """Changes a customer. Raises NotFound, InvalidInput and AlreadyExists."""
        with self.writes() as session:
            key = given.key()
            found = session.scalars(_select(*key), {"tenant": tenant, **key})
            row: Customer | None = found.first()
            if row is None:
                raise errors.missing(*key)
            stored = records.customer(row)
            customer = rules.changed(stored, given.given(), region)
            for column, value in records.changes(tenant, stored, customer).items():
                setattr(row, column, value)
            self._commit(session, row)
        return row

    def _commit(self, session: Session, row: Customer) -> None:
        values = {column: getattr(row, column) for column in ("tenant", *errors.UNIQUE)}
        try:
            session.commit()
        except IntegrityError as error:
            session.rollback()
            column = errors.taken_column(error.orig or error)
            owners = self.search(values["tenant"], {column: values[column]})
            raise errors.taken(column, owners[0].id if owners else None) from None


@functools.cache
def _select(*columns: str) -> Select[Customer]:
    """The statement that finds customers by some columns, which is built once."""
    wanted = [getattr(Customer, column) == bindparam(column) for column in ("tenant", *columns)]
    return select(Customer).where(*wanted).order_by(Customer.id).limit(records.PAGE)


def _engine(path: Path, connections: int, **options: Any) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=connections,
        max_overflow=0,
        json_serializer=lambda value: to_json(value).decode(),
        json_deserializer=from_json,
        **options,
    )
    event.listen(engine, "connect", _connect)
    return engine


def _connect(connection: Any, _record: object) -> None:
    # The driver is not to begin transactions by itself.
    connection.isolation_level = None
    for statement in STATEMENTS:
        connection.execute(statement)


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def seed(path: Path, tenant: str, batches: command.Batches) -> None:
    """Fills a database file."""
    customers = Customers(path)
    Base.metadata.create_all(customers.writing)
    for batch in batches:
        with customers.writes.begin() as session:
            session.execute(insert(Customer), [records.values(tenant, each) for each in batch])


def serve(path: Path, port: int) -> None:
    """Serves a database file."""
    fastapi_app.serve(Customers(path), port)


if __name__ == "__main__":
    command.run(command.Peer("fastapi_sqlalchemy", seed, serve))
