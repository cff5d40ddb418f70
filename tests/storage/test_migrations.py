"""Versions of the schema, and a server's refusal of others than its own."""

import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from playhouse.schema_diff import diff_models

from server.settings import Settings
from server.storage import migrate
from server.storage.customers import CustomerStore, Key
from server.storage.database import Database
from server.storage.migrate import MIGRATIONS, SchemaMismatchError
from server.storage.schema import TABLES
from tests.storage.samples import insert
from tests.tokens import trust

NEXT = "0002_next.py"
ADD_NOTE = """
from peewee import TextField


def up(migrator, db):
    migrator.migrate(migrator.add_column("customer", "note", TextField(null=True)))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "customers.db"


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this server one that has a migration more."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    folder.joinpath(NEXT).write_text(ADD_NOTE)
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)


def test_empty_database_becomes_current(path: Path) -> None:
    """A server makes an empty database what the schema says, table, columns and indexes."""
    database = Database(path)
    database.prepare()
    with database.bind_ctx(TABLES):
        difference = diff_models(database, TABLES)
    database.shut_down()

    assert not difference


@pytest.mark.usefixtures("next_version")
def test_migration_keeps_data(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that the first migration made is upgraded with all that is in it."""
    with monkeypatch.context() as first_version:
        first_version.setattr(migrate, "MIGRATIONS", MIGRATIONS)
        database = Database(path)
        database.prepare()
        customer = insert(CustomerStore(database), "acme", email="ada@example.com")
        database.shut_down()

    database = Database(path)
    taken = database.migrate()
    database.prepare()
    kept = CustomerStore(database).get("acme", Key.id(customer.id))
    database.shut_down()

    assert taken == ["0002_next"]
    assert kept == customer.SerializeToString()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT note FROM customer").fetchall() == [(None,)]


def test_older_database_is_refused(path: Path, request: pytest.FixtureRequest) -> None:
    """A server does not serve an older database, and names the command that upgrades it."""
    first = Database(path)
    first.prepare()
    first.shut_down()
    request.getfixturevalue("next_version")

    database = Database(path)
    with pytest.raises(SchemaMismatchError, match=r"0002_next missing.*make migrate"):
        database.prepare()
    database.shut_down()


@pytest.mark.parametrize("act", ["prepare", "migrate"])
def test_newer_database_is_refused(path: Path, act: str) -> None:
    """A server neither serves nor changes a database that a newer one has migrated."""
    first = Database(path)
    first.prepare()
    first.execute_sql(
        "INSERT INTO schema_migration (name, applied) VALUES ('0009_later', '2030-01-01')"
    )
    first.shut_down()

    database = Database(path)
    with pytest.raises(SchemaMismatchError, match="does not know 0009_later"):
        getattr(database, act)()
    database.shut_down()


def test_servers_that_start_together_migrate_once(path: Path) -> None:
    """Of many servers that find an empty database at once, one makes it current for all."""
    databases = [Database(path) for _ in range(8)]
    with ThreadPoolExecutor(len(databases)) as threads:
        for prepared in [threads.submit(database.prepare) for database in databases]:
            prepared.result()
    with closing(sqlite3.connect(path)) as other:
        applied = other.execute("SELECT name FROM schema_migration").fetchall()
    for database in databases:
        database.shut_down()

    assert applied == [("0001_customers",)]


def test_command(tmp_path: Path) -> None:
    """The command says what it did, and the second time that there is nothing to do."""
    settings = Settings(data_dir=tmp_path, **trust())
    said = [
        subprocess.run(
            [sys.executable, "-m", "server", "migrate"],
            env=os.environ | settings.environment(),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]

    assert said == ["migrated: 0001_customers\n", "the database is up to date\n"]
