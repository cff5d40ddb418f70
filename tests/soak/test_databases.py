"""What is wrong within a database is found: an index unlike its table, and a value there twice."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.soak.databases import postgres_faults, sqlite_faults
from tests.support.builders import customer
from tests.support.in_process import InProcessServer
from tests.support.postgres import Server


def _fill(settings: dict[str, Any]) -> None:
    with InProcessServer(**settings) as server:
        server.client("acme").upload([customer() for _ in range(10)])


@pytest.fixture
def url(postgres: Server, tmp_path: Path) -> str:
    """A database of PostgreSQL with customers."""
    url = postgres.database()
    _fill({"data_dir": tmp_path, "database_url": url})
    return url


def test_unlike_index_of_sqlite(tmp_path: Path) -> None:
    """An index with other values than its table is found; before, nothing is."""
    _fill({"data_dir": tmp_path})
    path = tmp_path / "customers.db"
    assert sqlite_faults(path) == []
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, ', \"email_key\"', ', \"id\"') "
            "WHERE name = 'customer_email_key'"
        )
        connection.commit()
    assert any("missing from index customer_email_key" in it for it in sqlite_faults(path))


def test_unlike_index_of_postgres(url: str) -> None:
    """An index that lacks a row of its table is found; before, nothing is."""
    assert postgres_faults(url) == []
    for statement in (
        "UPDATE pg_index SET indisready = false WHERE indexrelid = 'customer_email_key'::regclass",
        "UPDATE customer SET email_key = 'x' || email_key",
        "UPDATE pg_index SET indisready = true WHERE indexrelid = 'customer_email_key'::regclass",
    ):
        with psycopg.connect(url, autocommit=True) as connection:
            try:
                connection.execute("SET allow_system_table_mods = on")
            except psycopg.errors.InsufficientPrivilege:
                pytest.skip("the role may not damage an index")
            connection.execute(statement.encode())
    [fault] = postgres_faults(url)
    assert fault.startswith("index customer_email_key has ")


def test_value_that_is_twice(url: str) -> None:
    """A unique value of two live customers is found, though no index says that it is unique."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP INDEX customer_email_key")
        connection.execute(
            "INSERT INTO customer "
            'SELECT (jsonb_populate_record(row, \'{"id": "other"}\')).* FROM customer row LIMIT 1'
        )
    assert postgres_faults(url) == ["1 values of email_key are there twice"]
