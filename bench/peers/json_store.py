"""Customers in SQLite as the JSON that answers have, beside the keys they are found by.

A GET hands the stored bytes on without a model, as the service does with its
own encoding. The driver keeps its statements prepared; writers share a connection.
"""

import functools
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.peers import command, errors, records, rules
from bench.peers.sqlite import STATEMENTS, WRITING
from bench.peers.structs import Changes, New

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
    for name, columns, unique in records.INDEXES
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
    """The customers of a database file, as JSON."""

    def __init__(self, path: Path) -> None:
        self._reading = _connect(path)
        self._writing = _connect(path)

    def get(self, tenant: str, customer_id: str) -> bytes | None:
        """The customer with an id."""
        found = _find(self._reading, tenant, {"id": customer_id})
        return found[0] if found else None

    def search(self, tenant: str, columns: dict[str, str]) -> bytes:
        """The list of customers with all values, by column."""
        return b"[%s]" % b",".join(_find(self._reading, tenant, columns))

    def create(self, tenant: str, given: New, region: str | None) -> bytes:
        """Stores a customer. Raises InvalidInput and AlreadyExists."""
        customer = rules.new(given.given(), region)
        keys, body = _values(customer)
        with WRITING:
            self._write(_INSERT, keys, body, tenant, customer["id"])
        return body

    def update(self, tenant: str, given: Changes, region: str | None) -> bytes:
        """Changes a customer. Raises NotFound, InvalidInput and AlreadyExists."""
        key = given.key()
        with WRITING, self._writing:
            self._writing.execute("BEGIN IMMEDIATE")
            found = _find(self._writing, tenant, key)
            if not found:
                raise errors.missing(*key)
            customer = rules.changed(msgspec.json.decode(found[0]), given.given(), region)
            keys, body = _values(customer)
            self._write(_UPDATE, keys, body, tenant, customer["id"])
        return body

    def _write(
        self, sql: str, keys: Sequence[str | None], body: bytes, tenant: str, customer_id: str
    ) -> None:
        try:
            self._writing.execute(sql, (*keys, body, tenant, customer_id))
        except sqlite3.IntegrityError as error:
            column = errors.taken_column(error)
            value = keys[_COLUMNS.index(column)] or ""
            [owner] = _find(self._writing, tenant, {column: value})
            raise errors.taken(column, msgspec.json.decode(owner)["id"]) from None


def _values(customer: Json) -> tuple[list[str | None], bytes]:
    """The values of the columns, and that of the body: the customer as answers have it."""
    customer["defaultAddress"] = rules.default_address(customer["addresses"])
    if customer["defaultAddress"] is None:
        del customer["defaultAddress"]
    keys = records.key_values(customer)
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
    wanted = "".join(f" AND {column} = ?" for column in columns)
    return f"SELECT body FROM customer WHERE tenant = ?{wanted} ORDER BY id LIMIT {records.PAGE}"


def _find(connection: sqlite3.Connection, tenant: str, columns: dict[str, str]) -> list[bytes]:
    rows = connection.execute(_select(*columns), (tenant, *columns.values()))
    return [body for (body,) in rows]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for statement in STATEMENTS:
        connection.execute(statement)
    return connection


def _row(tenant: str, customer: Json) -> tuple[Any, ...]:
    """The parameters of an insertion."""
    keys, body = _values(customer)
    return (*keys, body, tenant, customer["id"])


def seed(path: Path, tenant: str, batches: command.Batches) -> None:
    """Fills a database file."""
    connection = _connect(path)
    connection.executescript(_SCHEMA)
    for batch in batches:
        with connection:
            connection.execute("BEGIN")
            connection.executemany(_INSERT, [_row(tenant, each) for each in batch])
    connection.close()
