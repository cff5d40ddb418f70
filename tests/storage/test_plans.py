"""PostgreSQL finds customers by the index of what is looked up, whatever it knows of a tenant."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.support.explaining import parameters
from tests.support.postgres import Server
from twc_customer_server.storage.access import AccessStore
from twc_customer_server.storage.changes import ChangeStore
from twc_customer_server.storage.database import shut_down_after
from twc_customer_server.storage.idempotency import IdempotencyStore, OutcomePurge
from twc_customer_server.storage.merges import MergeStore
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.statements import Statements

ROWS = 20_000
ANALYZE = "ANALYZE"

# Customers of a tenant, as an import stores them. None is deleted, nor has an alternate reference.
FILL = """
    INSERT INTO customer (tenant, id, customer_ref, email_key, mobile, phone,
        first_name_key, last_name_key, first_name_fold, last_name_fold, status,
        created_at, modified_at, body, change_sequence, created_sequence)
    SELECT %(tenant)s, 'id-' || n, 'ref-' || n, n || '@example.com', '+4915' || n, '+4930' || n,
        'first', 'last', 'first', 'last', 1, n, n, '', n, n
    FROM generate_series(1, %(rows)s) AS n
"""

# The kept answers of as many requests.
FILL_OUTCOMES = """
    INSERT INTO outcome (tenant, key, digest, outcome, created_at, size, customer_id)
    SELECT %(tenant)s, 'key-' || n, '', '', n, 1, 'id-' || n FROM generate_series(1, %(rows)s) AS n
"""

_UNOPENED = Postgres("postgresql://never.opened", 1, 1, 1)
_SQL = Statements(_UNOPENED)
_CHANGES = vars(ChangeStore(_UNOPENED))
_IDEMPOTENCY = vars(IdempotencyStore(_UNOPENED))
_ACCESS = vars(AccessStore(_UNOPENED))

READS = {
    "a get": (_SQL.body_by["id"], "customer_pkey"),
    "a get by reference": (_SQL.body_by["customerRef"], "customer_customer_ref"),
    "a get by alternate reference": (
        _SQL.body_by["alternateCustomerRef"],
        "customer_alternate_ref",
    ),
    "a get by e-mail": (_SQL.body_by["email"], "customer_email_key"),
    "the lock of an update": (_SQL.row_for_update["id"], "customer_pkey"),
    "a look for clashes": (_SQL.owner["phone"], "customer_phone"),
    "a lookup by e-mail": (_SQL.search(["email"]), "customer_email_key"),
    "a lookup by e-mail and name": (
        _SQL.search(["email", "first_name"]),
        "customer_email_key",
    ),
    "a lookup by first name": (_SQL.search(["first_name"]), "customer_first_name_fold"),
    "a lookup by last name": (_SQL.search(["last_name"]), "customer_last_name_fold"),
    "a lookup by both names": (
        _SQL.search(["first_name", "last_name"]),
        "customer_last_name_fold",
    ),
    "the lock of a merge": (vars(MergeStore(_UNOPENED, lambda *_: []))["_read"], "customer_pkey"),
    "a look for unnumbered changes": (_CHANGES["_unnumbered"], "customer_change_sequence"),
    "the lock of those": (_CHANGES["_lock_unnumbered"], "customer_change_sequence"),
    "a read of changes": (_CHANGES["_read"], "customer_change_sequence"),
    "a read of a kept answer": (_IDEMPOTENCY["_get"], "outcome_pkey"),
    "the keeping of an answer": (_IDEMPOTENCY["_save"], "outcome_pkey"),
    "a purge of answers": (vars(OutcomePurge(_UNOPENED))["_delete"], "outcome_created_at"),
    "an access by id": (_ACCESS["_by_id"], "customer_pkey"),
    "an access by phone": (_ACCESS["_by_key"]["phone"][0], "customer_phone"),
}
# They have no order. Planned for a tenant without statistics, while there are some of others, or
# for no customers at all, they may read more.
OTHERS = {
    "an update": (_SQL.update, "customer_pkey"),
    "a deletion": (_SQL.delete, "customer_pkey"),
}
STATEMENTS = READS | OTHERS
# Their order is that of an index since PostgreSQL 17.
LISTS = {
    "many gets": (_SQL.bodies, "customer_pkey"),
    "looks for stored ids": (_SQL.stored, "customer_pkey"),
    "looks for clashes": (_SQL.owners["email"], "customer_email_key"),
}
_INDEXED_LISTS = 170000


@contextmanager
def filled(postgres: Server, *steps: str) -> Iterator[Postgres]:
    """A database after some steps: ANALYZE, or the name of a tenant, to which it gives customers.

    Nothing else gathers statistics.
    """
    with shut_down_after(Postgres(postgres.database(), 1, 30, 30)) as database:
        database.prepare()
        with database.session() as session:
            for table in ("customer", "outcome"):
                session.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
            for step in steps:
                if step == ANALYZE:
                    session.execute(b"ANALYZE customer, outcome")
                else:
                    fill(session, step)
        yield database


def fill(session: psycopg.Connection[Any], tenant: str) -> None:
    """Gives customers to a tenant, and kept answers."""
    for statement in (FILL, FILL_OUTCOMES):
        session.execute(statement.encode(), {"tenant": tenant, "rows": ROWS})


@pytest.fixture(scope="module")
def database(postgres: Server) -> Iterator[Postgres]:
    """A database that has many customers of a tenant, and no statistics."""
    with filled(postgres, "acme") as database:
        yield database


def indexes_in(plan: list[Any]) -> list[str]:
    """The indexes by which a plan finds rows."""
    found = r"(?:using|Index Scan on|Conflict Arbiter Indexes:) ((?:customer|outcome)_\w+)"
    return re.findall(found, "\n".join(line for (line,) in plan))


def indexes(database: Postgres, sql: str, tenant: str) -> list[str]:
    """The indexes that a statement reads by, if it is planned for a tenant."""
    return indexes_in(database.rows(f"EXPLAIN {sql}", parameters(sql, tenant)))


def version(database: Postgres) -> int:
    """The version of the database."""
    [(number,)] = database.rows("SHOW server_version_num", {})
    return int(number)


@pytest.mark.parametrize(("sql", "index"), STATEMENTS.values(), ids=STATEMENTS)
def test_no_statistics(database: Postgres, sql: str, index: str) -> None:
    """Without statistics a customer is found by the index of what is looked up."""
    assert indexes(database, sql, "acme") == [index]


@pytest.mark.parametrize(("sql", "index"), LISTS.values(), ids=LISTS)
def test_lists_without_statistics(database: Postgres, sql: str, index: str) -> None:
    """Without statistics many customers are found by the index of what is looked up."""
    if version(database) < _INDEXED_LISTS:
        pytest.skip("an index has no order of lists before PostgreSQL 17")
    assert indexes(database, sql, "acme") == [index]


@pytest.fixture(scope="module")
def analyzed(postgres: Server) -> Iterator[Postgres]:
    """A database with statistics from before another tenant came."""
    with filled(postgres, "acme", ANALYZE, "new") as database:
        yield database


@pytest.mark.parametrize(("sql", "index"), READS.values(), ids=READS)
def test_tenant_without_statistics(analyzed: Postgres, sql: str, index: str) -> None:
    """A customer of a tenant that came after the statistics is found by that index, too."""
    assert indexes(analyzed, sql, "new") == [index]


class Planned:
    """A connection on which statements are planned for any tenant, as the service has it."""

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._session = session
        session.execute("SET enable_sort = off")
        session.execute("SET plan_cache_mode = force_generic_plan")
        for number, (sql, _) in enumerate(STATEMENTS.values()):
            places = {name: f"${place}" for place, name in enumerate(parameters(sql, ""), 1)}
            numbered = sql % places
            self._run(f"PREPARE statement_{number} AS {numbered}")
            self._run(self._execution(number, "acme"))

    def indexes(self, name: str, tenant: str) -> list[str]:
        """The indexes that a statement reads by."""
        number = [*STATEMENTS].index(name)
        return indexes_in(self._run(f"EXPLAIN {self._execution(number, tenant)}").fetchall())

    def _execution(self, number: int, tenant: str) -> str:
        [sql, _] = [*STATEMENTS.values()][number]
        values = [*parameters(sql, tenant).values()]
        places = ", ".join(["%s"] * len(values))
        given = psycopg.ClientCursor(self._session).mogrify(places, values)
        return f"EXECUTE statement_{number}({given})"

    def _run(self, statement: str) -> psycopg.Cursor[Any]:
        return self._session.execute(statement.encode(), prepare=False)


@pytest.fixture(scope="module")
def late(postgres: Server) -> Iterator[Planned]:
    """Plans that were made after there were statistics, but before those of a tenant."""
    with filled(postgres, "acme", ANALYZE, "new") as database, database.session() as session:
        yield Planned(session)


@pytest.mark.parametrize("name", STATEMENTS)
def test_planned_for_any_tenant(late: Planned, name: str) -> None:
    """A customer of a tenant without statistics is found by that index, once there are some."""
    assert late.indexes(name, "new") == [STATEMENTS[name][1]]


@pytest.fixture(scope="module")
def early(postgres: Server) -> Iterator[Planned]:
    """Plans that were made while there were no customers."""
    with filled(postgres) as database, database.session() as session:
        planned = Planned(session)
        fill(session, "acme")
        yield planned


@pytest.mark.parametrize("name", READS)
def test_planned_while_empty(early: Planned, name: str) -> None:
    """A plan that was made before there were customers finds one by that index, too."""
    assert early.indexes(name, "acme") == [READS[name][1]]
