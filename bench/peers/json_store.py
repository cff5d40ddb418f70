"""Stores customers in SQLite as the JSON of responses, beside the columns they are found by.

A GET returns the stored bytes without a model, as the service does with its own
encoding. The driver caches prepared statements; writers share a connection.
"""

import functools
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.peers import command, error_responses, rules, table
from bench.peers.msgspec_models import CustomerUpdate, NewCustomer
from bench.peers.table import PRAGMA_STATEMENTS, WRITE_LOCK

Json = dict[str, Any]

_COLUMNS = (
    "email_key",
    "mobile",
    "phone",
    "customer_ref",
    "first_name_key",
    "last_name_key",
)
_SCHEMA = """
    CREATE TABLE customer (
        tenant TEXT NOT NULL, id TEXT NOT NULL, email_key TEXT NOT NULL, mobile TEXT, phone TEXT,
        customer_ref TEXT, first_name_key TEXT, last_name_key TEXT, body BLOB NOT NULL,
        PRIMARY KEY (tenant, id)
    );
    """ + "".join(
    f"CREATE {'UNIQUE ' * unique}INDEX {name} ON customer ({', '.join(columns)});"
    for name, columns, unique in table.INDEXES
)
_INSERT = (
    f"INSERT INTO customer ({', '.join(_COLUMNS)}, body, tenant, id) "
    f"VALUES ({'?, ' * len(_COLUMNS)}?, ?, ?)"
)
_UPDATE = (
    f"UPDATE customer SET {', '.join(f'{column} = ?' for column in _COLUMNS)}, body = ? "
    "WHERE tenant = ? AND id = ?"
)


class Customers:
    """Reads and writes the customers of a database file, as JSON."""

    def __init__(self, path: Path) -> None:
        self._read_connection = _connect(path)
        self._write_connection = _connect(path)

    def get(self, tenant: str, customer_id: str) -> bytes | None:
        """Returns the customer with an id."""
        found = _find(self._read_connection, tenant, {"id": customer_id})
        return found[0] if found else None

    def search(self, tenant: str, columns: dict[str, str]) -> bytes:
        """Returns the list of customers with all the values, by column."""
        return b"[%s]" % b",".join(_find(self._read_connection, tenant, columns))

    def create(self, tenant: str, request: NewCustomer, region: str | None) -> bytes:
        """Stores a customer. Raises InvalidInput and AlreadyExists."""
        customer = rules.create(request.members(), region)
        keys, body = _values(customer)
        with WRITE_LOCK:
            self._write(_INSERT, keys, body, tenant, customer["id"])
        return body

    def update(self, tenant: str, request: CustomerUpdate, region: str | None) -> bytes:
        """Changes a customer. Raises NotFound, InvalidInput and AlreadyExists."""
        key = request.selector()
        with WRITE_LOCK, self._write_connection:
            self._write_connection.execute("BEGIN IMMEDIATE")
            found = _find(self._write_connection, tenant, key)
            if not found:
                raise error_responses.not_found(*key)
            customer = rules.update(msgspec.json.decode(found[0]), request.members(), region)
            keys, body = _values(customer)
            self._write(_UPDATE, keys, body, tenant, customer["id"])
        return body

    def _write(
        self, sql: str, keys: Sequence[str | None], body: bytes, tenant: str, customer_id: str
    ) -> None:
        try:
            self._write_connection.execute(sql, (*keys, body, tenant, customer_id))
        except sqlite3.IntegrityError as error:
            column = error_responses.conflicting_column(error)
            value = keys[_COLUMNS.index(column)] or ""
            [owner] = _find(self._write_connection, tenant, {column: value})
            raise error_responses.already_exists(column, msgspec.json.decode(owner)["id"]) from None


def _values(customer: Json) -> tuple[list[str | None], bytes]:
    """Returns the values of the columns, and the body: the JSON of responses."""
    customer["defaultAddress"] = rules.default_address(customer["addresses"])
    if customer["defaultAddress"] is None:
        del customer["defaultAddress"]
    keys = table.key_values(customer)
    columns = [
        keys["email_key"],
        customer.get("mobile"),
        customer.get("phone"),
        customer.get("customerRef"),
        keys["first_name_key"],
        keys["last_name_key"],
    ]
    return columns, msgspec.json.encode(customer)


@functools.cache
def _select(*columns: str) -> str:
    conditions = "".join(f" AND {column} = ?" for column in columns)
    page = f"ORDER BY id LIMIT {table.PAGE_SIZE}"
    return f"SELECT body FROM customer WHERE tenant = ?{conditions} {page}"


def _find(connection: sqlite3.Connection, tenant: str, columns: dict[str, str]) -> list[bytes]:
    rows = connection.execute(_select(*columns), (tenant, *columns.values()))
    return [body for (body,) in rows]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for statement in PRAGMA_STATEMENTS:
        connection.execute(statement)
    return connection


def _row(tenant: str, customer: Json) -> tuple[Any, ...]:
    """Returns the parameters of an insertion."""
    keys, body = _values(customer)
    return (*keys, body, tenant, customer["id"])


def seed(path: Path, tenant: str, batches: command.Batches) -> None:
    """Creates a database with customers."""
    connection = _connect(path)
    connection.executescript(_SCHEMA)
    for batch in batches:
        with connection:
            connection.execute("BEGIN")
            connection.executemany(_INSERT, [_row(tenant, each) for each in batch])
    connection.close()
