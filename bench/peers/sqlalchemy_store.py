"""Stores customers with SQLAlchemy's ORM: a typed model, and a session for each request.

As its documentation advises for SQLite, transactions that write begin with BEGIN
IMMEDIATE. They have a pool of one connection, so that a thread waits for the
writer before it instead of polling SQLite's lock. Reads have a pool of
connections in autocommit mode, without transactions. Statements are built once,
with parameters, and SQLAlchemy caches their SQL. Sessions do not expire committed
objects, so a response needs no second read. Pydantic's core parses and serializes
JSON.
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

from bench.peers import command, error_responses, rules, table
from bench.peers.pydantic_models import CustomerUpdate, NewCustomer
from bench.peers.table import PRAGMA_STATEMENTS, THREADS


class Base(DeclarativeBase):
    """The base of mapped classes."""


class Customer(Base):
    """A row of the table."""

    __tablename__ = "customer"
    __table_args__ = tuple(
        Index(name, *columns, unique=unique) for name, columns, unique in table.INDEXES
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

    @property
    def default_address(self) -> dict[str, Any] | None:
        """The address that is marked as the default, which is no column."""
        return rules.default_address(self.addresses)


class Customers:
    """Reads and writes the customers of a database."""

    def __init__(self, path: Path) -> None:
        read_engine = _engine(
            path, THREADS, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True
        )
        self.write_engine = _engine(path, 1)
        event.listen(self.write_engine, "begin", _begin)
        self._read_session = sessionmaker(read_engine, expire_on_commit=False)
        self.write_session = sessionmaker(self.write_engine, expire_on_commit=False)

    def get(self, tenant: str, customer_id: str) -> Customer | None:
        """Returns the customer with an id."""
        found = self.search(tenant, {"id": customer_id})
        return found[0] if found else None

    def search(self, tenant: str, columns: Mapping[str, str]) -> list[Customer]:
        """Returns the customers with all the values, by column."""
        with self._read_session() as session:
            found = session.scalars(_select(*columns), {"tenant": tenant, **columns})
            return list(found)

    def create(self, tenant: str, request: NewCustomer, region: str | None) -> Customer:
        """Stores a customer. Raises InvalidInput and AlreadyExists."""
        row: Customer = Customer(**table.to_row(tenant, rules.create(request.members(), region)))
        with self.write_session() as session:
            session.add(row)
            self._commit(session, row)
        return row

    def update(self, tenant: str, request: CustomerUpdate, region: str | None) -> Customer:
        """Changes a customer. Raises NotFound, InvalidInput and AlreadyExists."""
        with self.write_session() as session:
            selector = request.selector()
            found = session.scalars(_select(*selector), {"tenant": tenant, **selector})
            row: Customer | None = found.first()
            if row is None:
                raise error_responses.not_found(*selector)
            stored = table.from_row(row)
            customer = rules.update(stored, request.members(), region)
            for column, value in table.changed_columns(tenant, stored, customer).items():
                setattr(row, column, value)
            self._commit(session, row)
        return row

    def _commit(self, session: Session, row: Customer) -> None:
        values = {
            column: getattr(row, column) for column in ("tenant", *error_responses.UNIQUE_COLUMNS)
        }
        try:
            session.commit()
        except IntegrityError as error:
            session.rollback()
            column = error_responses.conflicting_column(error.orig or error)
            owners = self.search(values["tenant"], {column: values[column]})
            raise error_responses.already_exists(column, owners[0].id if owners else None) from None


@functools.cache
def _select(*columns: str) -> Select[Customer]:
    """Returns the statement that finds customers by some columns."""
    conditions = [getattr(Customer, column) == bindparam(column) for column in ("tenant", *columns)]
    return select(Customer).where(*conditions).order_by(Customer.id).limit(table.PAGE_SIZE)


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
    # The driver must not begin transactions by itself.
    connection.isolation_level = None
    for statement in PRAGMA_STATEMENTS:
        connection.execute(statement)


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def seed(path: Path, tenant: str, batches: command.Batches) -> None:
    """Creates a database with customers."""
    customers = Customers(path)
    Base.metadata.create_all(customers.write_engine)
    for batch in batches:
        with customers.write_session.begin() as session:
            session.execute(insert(Customer), [table.to_row(tenant, each) for each in batch])
