"""Versions of the schema, and a server's refusal of others than its own."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import peewee
import psycopg
import pytest
from playhouse.schema_diff import diff_models

from tests.support import backends
from tests.support.backends import Backend, Opener
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.postgres import Server
from tests.support.server_process import wait_until
from tests.support.stores import stamped
from tests.support.tokens import trust
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage import migrate
from twc_customer_server.storage.database import Database, shut_down_after
from twc_customer_server.storage.idempotency import IdempotencyStore, IdempotentRequest
from twc_customer_server.storage.migrate import HISTORY, MIGRATIONS, SchemaMismatchError
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.rows import Key, new_row
from twc_customer_server.storage.schema import TABLES, CustomerRow, IdempotencyRow
from twc_customer_server.storage.statements import parameter
from twc_customer_server.storage.store import CustomerStore

NEXT = "9999_next.py"
FIRST_COLUMNS = (
    *("tenant", "id", "customer_ref", "email_key", "mobile", "phone", "first_name_key"),
    *("last_name_key", "created_at", "modified_at", "body"),
)
ALL = sorted(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))
WAITING = """
    SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'customer'::regclass
"""
# Customers of several of the ranges that a migration changes at a time.
MANY = 1_200
# What SQLite says of a part of a statement that reads no rows but those of keys.
BY_KEY = r"\(tenant=\? AND (id|key)[=>]\?|\(\(tenant,(id|key)\)>|^LIST SUBQUERY"
ADD_NOTE = """
from peewee import TextField


def up(migrator, db):
    migrator.migrate(migrator.add_column("customer", "note", TextField(null=True)))
"""


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this server one that has a migration more."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    folder.joinpath(NEXT).write_text(ADD_NOTE)
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)


def only(names: Sequence[str], folder: Path) -> Path:
    """Copies some of the migrations into a folder."""
    folder.mkdir()
    for name in names:
        shutil.copy(MIGRATIONS / f"{name}.py", folder)
    return folder


@contextmanager
def prepared(opener: Opener) -> Iterator[Database]:
    """The test's database, as a server opens it."""
    database = opener()
    try:
        database.prepare()
        yield database
    finally:
        database.shut_down()


@contextmanager
def older(
    opener: Opener, newest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """The test's database, as the server opens it whose newest migration has a number."""
    with monkeypatch.context() as version:
        version.setattr(migrate, "MIGRATIONS", only(ALL[:newest], tmp_path / "older"))
        with prepared(opener) as database:
            yield database


@pytest.fixture
def migrating(opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database to migrate, which the first migration made and one tenant has filled."""
    with older(opener, 1, tmp_path, monkeypatch) as first:
        _insert(first, *(new_row("acme", stamped()) for _ in range(MANY)))
    return opener()


def test_empty_database(opener: Opener) -> None:
    """A server makes an empty database what the schema says, table, columns and indexes."""
    with prepared(opener) as database:
        assert isinstance(database, peewee.Database)
        difference = database.write(lambda: _difference(database))

    assert not difference


def _difference(database: peewee.Database) -> object:
    with database.bind_ctx(TABLES):
        return diff_models(database, TABLES)


def _insert(database: Database, *rows: dict[str, object]) -> None:
    """Inserts rows into the table of customers as the first migration makes it."""
    insert = database.compile(CustomerRow.insert({name: parameter(name) for name in FIRST_COLUMNS}))
    # Names that were not set had no key.
    first = [{name: row[name] or None for name in FIRST_COLUMNS} for row in rows]
    database.write(lambda: database.run_each(insert, first))


def test_data_of_migrated_database(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that the first migration made is upgraded with all that is in it."""
    with older(opener, 1, tmp_path, monkeypatch) as first:
        customer = stamped(email="ada@example.com")
        _insert(first, new_row("acme", customer))
        _insert(first, new_row("gone", stamped()))
        first.write_one("UPDATE customer SET deleted_at = 5 WHERE tenant = 'gone'", {})

    migrating = opener()
    taken = migrating.migrate()
    migrating.shut_down()
    with prepared(opener) as database:
        kept = CustomerStore(database).get("acme", Key.id(customer.id))
        times = database.rows("SELECT modified_at FROM customer WHERE deleted_at IS NOT NULL", {})

    assert taken == ALL[1:]
    assert kept == customer.SerializeToString()
    assert times == [(5,)]


def test_lists_of_migrated_database(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Customers that were stored before lists existed have the same keys as new ones."""
    names = ("Müller", "Muller", "O\u2019Neil", "", "x" * 1024)
    customers = [
        stamped(first_name=name, last_name=name, customerState=1 + number % 4)
        for number, name in enumerate(names * 500)
    ]
    with older(opener, 4, tmp_path, monkeypatch) as fourth:
        _insert(fourth, *(new_row("acme", customer) for customer in customers[1:]))
        _insert(fourth, new_row("zeta", customers[0]))

    migrating = opener()
    migrating.migrate()
    migrating.shut_down()
    columns = "first_name_fold, first_name_key, last_name_fold, last_name_key, status, body"
    everything = f"SELECT {columns} FROM customer WHERE tenant = {{}} ORDER BY id"  # noqa: S608
    with prepared(opener) as database:
        migrated = database.rows(everything.format("'acme'"), {})
        migrated += database.rows(everything.format("'zeta'"), {})
        store = CustomerStore(database)
        store.insert_each("new", customers[1:])
        store.insert("new-zeta", customers[0])
        new = database.rows(everything.format("'new'"), {})
        new += database.rows(everything.format("'new-zeta'"), {})
        difference = database.write(lambda: _difference(database))  # type: ignore[arg-type]

    assert migrated == new
    assert not difference


@backends.only("sqlite")
def test_time_of_migrations(migrating: Any) -> None:
    """Each step reads its own rows alone, so that the time grows with the number of customers."""
    statements: list[str] = []
    migrating.connection().set_trace_callback(statements.append)
    migrating.migrate()
    migrating.connection().set_trace_callback(None)
    steps = [it for it in statements if re.match(r"SELECT .* FROM (customer|outcome)|UPDATE", it)]
    plans = {step: migrating.rows(f"EXPLAIN QUERY PLAN {step}", {}) for step in steps}
    migrating.shut_down()

    assert {*re.findall("FROM (customer|outcome) ", " ".join(steps))} == {"customer", "outcome"}
    for step, plan in plans.items():
        assert plan
        assert all(re.search(BY_KEY, part) for *_, part in plan), step


@backends.only("postgresql")
def test_plans_of_migrations(migrating: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step finds its rows by their key, also if all are known to be of one tenant."""
    steps: list[tuple[str, Any]] = []
    execute = migrating.execute_sql

    def execute_and_note(sql: str, parameters: Any = None, **options: Any) -> Any:
        if sql.startswith("SELECT tenant, id"):
            steps.append((sql, parameters))
        return execute(sql, parameters, **options)

    monkeypatch.setattr(migrating, "execute_sql", execute_and_note)
    migrating.migrate()
    with migrating.session() as session:
        session.execute("ANALYZE customer")
        # The table is small.
        session.execute("SET enable_seqscan = off")
        plans = [
            (sql, "\n".join(line for (line,) in session.execute(f"EXPLAIN {sql}", parameters)))
            for sql, parameters in steps
            if "tenant = " in sql
        ]
    migrating.shut_down()

    # All but the last range, which may go on with other tenants.
    assert len(plans) > MANY // 200
    assert len(steps) < len(plans) + 10
    for sql, plan in plans:
        assert "customer_pkey" in plan, sql


def test_outcomes_of_migrated_database(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept of a request before outcomes had a size is its answer after an upgrade."""
    with older(opener, 3, tmp_path, monkeypatch) as third:
        columns = ("tenant", "key", "digest", "outcome", "created_at")
        insert = IdempotencyRow.insert({name: parameter(name) for name in columns})
        kept = ("acme", "key", b"digest", b"done", 5)
        third.write_one(third.compile(insert), dict(zip(columns, kept, strict=True)))

    migrating = opener()
    taken = migrating.migrate()
    migrating.shut_down()
    request = IdempotentRequest("key", b"digest", 6)
    with prepared(opener) as database:
        answer = IdempotencyStore(database, 1).run_idempotent("acme", request, lambda: b"again")

    assert taken == ALL[3:]
    assert answer == b"done"


def test_older_database(opener: Opener, request: pytest.FixtureRequest) -> None:
    """A server does not serve an older database, and names the command that upgrades it."""
    with prepared(opener):
        pass
    request.getfixturevalue("next_version")

    refused = pytest.raises(SchemaMismatchError, match=r"9999_next missing.*make migrate")
    with refused, prepared(opener):
        pass


@pytest.mark.parametrize("act", ["prepare", "migrate"])
def test_newer_database(opener: Opener, act: str) -> None:
    """A server neither serves nor changes a database that a newer one has migrated."""
    later = "INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2030-01-01')"
    with prepared(opener) as first:
        first.write_one(later, {})

    database = opener()
    with pytest.raises(SchemaMismatchError, match="does not know 9999_later"):
        getattr(database, act)()
    database.shut_down()


@pytest.mark.parametrize(
    ("later", "is_served"),
    [
        (f"{len(ALL) + 1:04}_later_since_{len(ALL):04}", True),
        (f"{len(ALL) + 2:04}_later_since_{len(ALL) - 1:04}", True),
        (f"{len(ALL) + 2:04}_later_since_{len(ALL) + 1:04}", False),
        (f"{len(ALL) + 1:04}_later", False),
    ],
)
def test_later_migration(opener: Opener, later: str, *, is_served: bool) -> None:
    """A server serves a database of a later one if the name of that's migration says so."""
    add = f"INSERT INTO {HISTORY} (name, applied) VALUES ('{later}', '2030-01-01')"  # noqa: S608 - names alone
    with prepared(opener) as first:
        first.write_one(add, {})

    refused = nullcontext() if is_served else pytest.raises(SchemaMismatchError, match=later)
    with refused, prepared(opener) as again:
        CustomerStore(again).insert("acme", stamped())


@pytest.mark.parametrize("act", ["prepare", "migrate"])
def test_interrupted_creation(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """A process that ended before the schema was complete leaves the database empty for a start."""
    with monkeypatch.context() as ends_early, shut_down_after(opener()) as database:
        folder = only(ALL[:-1], tmp_path / "interrupted")
        folder.joinpath(NEXT).write_text("def up(migrator, db): raise KeyboardInterrupt")
        ends_early.setattr(migrate, "MIGRATIONS", folder)
        with pytest.raises(KeyboardInterrupt):
            getattr(database, act)()

    with prepared(opener) as database:
        assert not database.write(lambda: _difference(database))  # type: ignore[arg-type]


@pytest.mark.parametrize("last", ALL)
def test_interrupted_migration(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """A migration that ended before it was recorded is run anew, and does what is left."""
    with older(opener, ALL.index(last) + 1, tmp_path, monkeypatch) as interrupted:
        interrupted.write_one(f"DELETE FROM {HISTORY} WHERE name = '{last}'", {})  # noqa: S608 - the test's own

    migrating = opener()
    assert migrating.migrate() == ALL[ALL.index(last) :]
    migrating.shut_down()
    with prepared(opener) as database:
        assert not database.write(lambda: _difference(database))  # type: ignore[arg-type]


def test_incomplete_index(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that was left incomplete is made anew."""
    database = Postgres(postgres.database(), 1, SECONDS, wait_seconds=0)
    with monkeypatch.context() as first_version, shut_down_after(database):
        first_version.setattr(migrate, "MIGRATIONS", only(ALL[:1], tmp_path / "first"))
        database.prepare()
        _insert(database, new_row("acme", stamped()), new_row("acme", stamped()))
        wrong = "CREATE UNIQUE INDEX CONCURRENTLY customer_modified_at ON customer (tenant)"
        with database.session() as session, pytest.raises(psycopg.errors.UniqueViolation):
            session.execute(wrong.encode())
        first_version.undo()
        assert database.migrate() == ALL[1:]
        assert not database.write(lambda: _difference(database))


def test_long_transaction(postgres: Server) -> None:
    """A transaction that has read customers keeps a migration waiting, but nobody else."""
    url = postgres.database()
    database = Postgres(url, 2, SECONDS, wait_seconds=0)
    with shut_down_after(database), psycopg.connect(url) as reader:
        database.prepare()
        reader.execute("SELECT FROM customer")
        store = CustomerStore(database)
        [altering] = in_background([partial(_alter, database)])
        wait_until(lambda: bool(database.rows(WAITING, {})))
        for _ in range(5):
            store.insert("acme", stamped())
        assert not altering.done()
        reader.commit()
        altering.result(SECONDS)


def _alter(database: Postgres) -> None:
    with database.session():
        database.step(lambda: database.execute_sql("ALTER TABLE customer ADD COLUMN note TEXT"))


@pytest.mark.usefixtures("next_version")
def test_servers_started_together(opener: Opener) -> None:
    """Of servers that find an empty database at once, one migrates it; none sees it half done."""
    with ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        databases = [opener() for _ in range(8)]
        for database in databases:
            stack.callback(database.shut_down)
        for preparing in [threads.submit(database.prepare) for database in databases]:
            preparing.result()
        names = databases[0].rows("SELECT name FROM schema_migration ORDER BY name", {})

    assert names == [(name,) for name in [*ALL, "9999_next"]]


def test_command(backend: Backend, tmp_path: Path) -> None:
    """The command says what it did, and the second time that there is nothing to do."""
    settings = Settings(**backend.settings(tmp_path), **trust())
    said = [
        subprocess.run(
            [sys.executable, "-m", "twc_customer_server", "migrate"],
            env=os.environ | settings.environment(),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]

    assert said == [f"migrated: {', '.join(ALL)}\n", "the database is up to date\n"]
