"""Schema and statements fit databases that spread tenants over machines."""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support import backends
from tests.support.backends import CITUS, NAMES, CitusBackend
from tests.support.postgres import Server
from twc_customer_server.admin.distribute import distribute_tables
from twc_customer_server.storage.access import AccessStore
from twc_customer_server.storage.answers import KeptAnswers
from twc_customer_server.storage.changes import ChangeStore
from twc_customer_server.storage.database import CannotServeError, shut_down_after
from twc_customer_server.storage.export import ExportStore
from twc_customer_server.storage.listing import WALKS
from twc_customer_server.storage.lists import Lists
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.schema import TABLES
from twc_customer_server.storage.statements import Statements
from twc_customer_server.storage.stores import Stores

_UNOPENED = Postgres("postgresql://never.opened", 1, 1, 1)
_STATEMENTS = Statements(_UNOPENED)
_EXPORTS = ExportStore(_UNOPENED, ChangeStore(_UNOPENED), lambda _: _UNOPENED)
_LISTS = Lists(_UNOPENED)
_STORES = Stores.of(_UNOPENED)
_PARAMETERS = ("email", "first_name", "last_name", "mobile", "phone")

STATEMENTS = [
    *_STATEMENTS.body_by.values(),
    *_STATEMENTS.body_for_update.values(),
    *_STATEMENTS.owner.values(),
    *_STATEMENTS.owners.values(),
    _STATEMENTS.bodies,
    _STATEMENTS.delete,
    _STATEMENTS.stored,
    *_EXPORTS.statements.values(),
    _EXPORTS.last_id,
    _STATEMENTS.update,
    *(sql for sql in vars(ChangeStore(_UNOPENED)).values() if " WHERE " in str(sql)),
    *(
        sql
        for store in (_STORES.deletions, AccessStore(_UNOPENED), KeptAnswers(_UNOPENED))
        for name, sql in vars(store).items()
        # It asks which tenants there are.
        if isinstance(sql, str) and name != "_next_tenant"
    ),
    *(sql for both in vars(AccessStore(_UNOPENED))["_by_key"].values() for sql in both),
    *(
        _LISTS.by_field(name, is_descending=is_descending)
        for name in WALKS
        if name != "createdDate"
        for is_descending in (False, True)
    ),
    *(
        _LISTS.by_status(count, is_descending=is_descending)
        for count in (1, 2, 4, 8, 16)
        for is_descending in (False, True)
    ),
    *(
        _STATEMENTS.search(names)
        for size in range(1, 6)
        for names in itertools.combinations(_PARAMETERS, size)
    ),
]

# Of the catalogue, for each index of a table: whether it is unique, its first column.
INDEXES = """
    SELECT index.indrelid::regclass::text, index.indisunique, attribute.attname
    FROM pg_index AS index
    JOIN pg_attribute AS attribute
      ON attribute.attrelid = index.indrelid AND attribute.attnum = index.indkey[0]
    WHERE index.indrelid::regclass::text = ANY(%(tables)s)
"""
REFERENCES = "SELECT conname FROM pg_constraint WHERE contype = 'f'"
COUNTERS = """
    SELECT column_name FROM information_schema.columns
    WHERE table_name = ANY(%(tables)s)
      AND (column_default LIKE '%%nextval%%' OR is_identity = 'YES')
"""


COLLATIONS = """
    SELECT DISTINCT collation_name FROM information_schema.columns
    WHERE table_name = ANY(%(tables)s) AND data_type = 'text'
"""


def names() -> list[str]:
    """The tables that hold what tenants gave."""
    return [table._meta.table_name for table in TABLES]  # noqa: SLF001 - so Peewee calls it


def test_tenant_in_indexes(postgres: Server) -> None:
    """The tenant leads every index, unique ones and keys among them; nothing counts or refers."""
    with shut_down_after(Postgres(postgres.database(), 1, 30, 30)) as database:
        database.prepare()
        indexes = database.rows(INDEXES, {"tables": names()})
        references = database.rows(REFERENCES, {})
        counters = database.rows(COUNTERS, {"tables": names()})

    assert {table for table, unique, _ in indexes if unique} == set(names())
    assert {column for _, _, column in indexes} == {"tenant"}
    assert references == counters == []


def test_collation_of_indexes(postgres: Server) -> None:
    """No index depends on a language, or on the version of what knows its order."""
    with shut_down_after(Postgres(postgres.database(), 1, 30, 30)) as database:
        database.prepare()
        assert database.rows(COLLATIONS, {"tables": names()}) == [("C",)]


@pytest.mark.parametrize("sql", STATEMENTS)
def test_tenant_filter_of_statements(sql: str) -> None:
    """A statement names the tenant as the first condition, so that one machine answers it."""
    condition = sql.partition(" WHERE ")[2]
    assert re.match(
        r'\(+("t\d+"|"customer"|"outcome"|"change_sequence")\."tenant" = %\(tenant\)s\)', condition
    )
    assert sql.count(" WHERE ") == sql.count('"tenant" = %(tenant)s')


def test_tenant_of_new_rows() -> None:
    """A new row's tenant is given as its first value."""
    assert _STATEMENTS.insert.startswith('INSERT INTO "customer" ("tenant", ')


# What of Citus the service uses, for which a cluster is needed otherwise: the calls are recorded.
CLUSTER = """
    CREATE TABLE call (number serial, function text, arguments text);
    CREATE VIEW citus_tables AS
        SELECT split_part(arguments, ' ', 1)::regclass AS table_name,
            'distributed' AS citus_table_type FROM call;
    CREATE FUNCTION create_distributed_table(
        name text, by text, colocate_with text DEFAULT '', shard_count integer DEFAULT 0
    ) RETURNS void LANGUAGE sql AS $$
        INSERT INTO call (function, arguments)
        VALUES ('create_distributed_table', concat_ws(' ', name, by, colocate_with, shard_count))
    $$;
"""


@pytest.fixture
def cluster(postgres: Server) -> Iterator[Postgres]:
    """A database that looks like the coordinator of a cluster."""
    url = postgres.database()
    with psycopg.connect(url) as connection:
        connection.execute(CLUSTER.encode())
    with shut_down_after(Postgres(url, 1, 30, 30)) as database:
        database.prepare()
        yield database


def calls(database: Postgres) -> list[tuple[str, ...]]:
    """The distributions that were asked for, in their order."""
    return database.rows("SELECT function, arguments FROM call ORDER BY number", {})


DISTRIBUTED = [
    ("create_distributed_table", "customer tenant  16"),
    ("create_distributed_table", "outcome tenant customer 0"),
    ("create_distributed_table", "change_sequence tenant customer 0"),
]


def test_distribution(cluster: Postgres) -> None:
    """Tables are distributed by tenant, each beside the first, and once."""
    assert distribute_tables(cluster, 16) == ["customer", "outcome", "change_sequence"]
    assert distribute_tables(cluster, 16) == []
    assert calls(cluster) == DISTRIBUTED


def test_new_table_in_cluster(cluster: Postgres) -> None:
    """A migration distributes the tables that it adds, in a cluster that is distributed alone."""
    cluster.migrate()
    assert calls(cluster) == []
    distribute_tables(cluster, 16)
    cluster.write_one("DELETE FROM call WHERE arguments LIKE 'change_sequence%%'", {})
    cluster.migrate()
    assert calls(cluster) == DISTRIBUTED


@pytest.mark.skipif("citus" not in NAMES, reason=f"{CITUS} names no cluster")
def test_real_cluster(tmp_path: Path) -> None:
    """In a cluster all tables are distributed, and colocated."""
    backend = CitusBackend(os.environ[CITUS])
    settings = backend.settings(tmp_path)
    backend.distribute(settings)
    with shut_down_after(Postgres(settings["database_url"], 1, 30, 30)) as database:
        database.prepare()
        found = database.rows("SELECT table_name::text, colocation_id FROM citus_tables", {})
    colocated = {group for name, group in found if name in names()}
    assert {name for name, _ in found} >= set(names())
    assert len(colocated) == 1


def test_no_cluster_for_tests(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not begin on a database that CITUS_URL names and that lacks Citus."""
    monkeypatch.setenv(CITUS, postgres.database())
    monkeypatch.setattr(backends, "NAMES", ["citus"])
    with pytest.raises(pytest.UsageError, match=f"{CITUS} names a database without the extension"):
        backends.require_cluster()


def test_no_cluster(postgres: Server) -> None:
    """A database that is no coordinator of Citus is refused, with what is to be done."""
    refused = pytest.raises(CannotServeError, match=r"lacks the extension citus.*CREATE EXTENSION")
    with shut_down_after(Postgres(postgres.database(), 1, 30, 30)) as database, refused:
        distribute_tables(database, 32)
