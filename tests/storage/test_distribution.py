"""Schema and statements fit databases that spread tenants over machines."""

import itertools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import psycopg
import pytest

from tests.support import backends
from tests.support.backends import CitusBackend
from tests.support.database_names import CITUS, NAMES
from tests.support.explaining import parameters
from tests.support.postgres import Server
from twc_customer_server import storage
from twc_customer_server.admin.distribute import distribute_tables
from twc_customer_server.storage.access import AccessStore
from twc_customer_server.storage.database import CannotServeError, shut_down_after
from twc_customer_server.storage.idempotency import OutcomePurge
from twc_customer_server.storage.lease import Lease
from twc_customer_server.storage.listing import WALKS
from twc_customer_server.storage.lists import Lists
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.schema import TABLES
from twc_customer_server.storage.statements import Statements
from twc_customer_server.storage.stores import Stores

STORAGE = Path(storage.__file__).parent


class Recorder(Postgres):
    """Records all statements that are compiled for a database, and where; never opens it."""

    def __init__(self) -> None:
        super().__init__("postgresql://never.opened", 1, 1, 1)
        self.compiled: dict[str, str] = {}

    def compile(self, statement: peewee.Node) -> str:
        """Returns the SQL of a statement."""
        sql = super().compile(statement)
        self.compiled[sql] = Path(sys._getframe(1).f_code.co_filename).stem  # noqa: SLF001 - the caller
        return sql


def recorded() -> dict[str, str]:
    """All statements of storage, and the module of each."""
    recorder = Recorder()
    Stores.of(recorder)
    AccessStore(recorder)
    OutcomePurge(recorder)
    Lease(recorder, "job", 1000)
    statements = Statements(recorder)
    for size in range(1, 6):
        for names in itertools.combinations(_SEARCHED, size):
            statements.search(names)
    lists = Lists(recorder)
    for is_descending in (False, True):
        for name in WALKS.keys() - {"createdDate"}:
            lists.by_field(name, is_descending=is_descending)
        for count in (1, 2, 4, 8, 16):
            lists.by_status(count, is_descending=is_descending)
    return recorder.compiled


_SEARCHED = ("email", "first_name", "last_name", "mobile", "phone")
STATEMENTS = recorded()

# Of all tenants: they ask which there are.
ACROSS_TENANTS = re.compile(r"SELECT MIN\(\"t1\".\"tenant\"\) FROM ")
OF_TENANT = [sql for sql in STATEMENTS if not ACROSS_TENANTS.match(sql)]

# Of the catalogue, for each index of a table: whether it is unique, its first column.
INDEXES = """
    SELECT index.indrelid::regclass::text, index.indisunique, attribute.attname
    FROM pg_index AS index
    JOIN pg_attribute AS attribute
      ON attribute.attrelid = index.indrelid AND attribute.attnum = index.indkey[0]
    WHERE index.indrelid::regclass::text = ANY(%(tables)s)
"""
MADE = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
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


def test_all_tables(prepared: Postgres) -> None:
    """Every table is distributed, but for those of the migrations themselves."""
    made = {name for (name,) in prepared.rows(MADE, {})}
    assert made - {*names()} == {"migration_turn", "schema_migration"}


def test_collation_of_indexes(postgres: Server) -> None:
    """No index depends on a language, or on the version of what knows its order."""
    with shut_down_after(Postgres(postgres.database(), 1, 30, 30)) as database:
        database.prepare()
        assert database.rows(COLLATIONS, {"tables": names()}) == [("C",)]


def test_all_statements() -> None:
    """The statements of every module of storage that has some are looked at."""
    compiling = {it.stem for it in STORAGE.glob("*.py") if "database.compile" in it.read_text()}
    assert {*STATEMENTS.values()} == compiling
    assert len(STATEMENTS) - len(OF_TENANT) == 2


@pytest.fixture(scope="module")
def prepared(postgres: Server) -> Iterator[Postgres]:
    """A database with the schema."""
    with shut_down_after(Postgres(postgres.database(), 1, 30, 30)) as database:
        database.prepare()
        yield database


Node = dict[str, Any]


def nodes(plan: Node) -> Iterator[Node]:
    """All nodes of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def conditions(node: Node) -> set[str]:
    """What must all hold of the rows that a node returns, without parentheses around each."""
    texts = [node[kind] for kind in ("Index Cond", "Recheck Cond", "Filter") if kind in node]
    found: set[str] = set()
    for text in texts:
        depth, part = 0, ""
        # Within the parentheses around all of several.
        inner = text[1:-1] if text.startswith("((") else text
        for piece in re.split(r"( AND )", inner):
            if piece == " AND " and depth == 0:
                found.add(part)
                part = ""
            else:
                part += piece
                depth += piece.count("(") - piece.count(")")
        found.add(part)
    return {re.sub(r"^\((.*)\)$", r"\1", it) for it in found}


@pytest.mark.parametrize("sql", OF_TENANT)
def test_tenant_of_statements(prepared: Postgres, sql: str) -> None:
    """A statement reads, and writes, rows of the tenant that it is given, and no others."""
    [[[explained]]] = prepared.rows(
        f"EXPLAIN (FORMAT JSON, VERBOSE) {sql}", parameters(sql, "acme")
    )
    plan = explained["Plan"]
    reads = [
        node for node in nodes(plan) if "Scan" in node["Node Type"] and "Relation Name" in node
    ]
    for node in reads:
        assert f"{node['Alias']}.tenant = 'acme'::text" in conditions(node)
    if plan.get("Operation") == "Insert":
        [values] = plan["Plans"]
        assert values["Output"][0] == "'acme'::text"
    else:
        assert reads


def test_conflicts_of_tenant() -> None:
    """What an insertion meets is a row of its tenant."""
    targets = re.findall(r"ON CONFLICT \((.*?)\) DO UPDATE", "\n".join(STATEMENTS))
    assert targets
    assert {it.split(",")[0] for it in targets} == {'"tenant"'}


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
