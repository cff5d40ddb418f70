"""PostgreSQL finds customers by the index of what is looked up, whatever it knows of a tenant."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.postgres import Server
from twc_customer_server.storage.database import shut_down_after
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

_STATEMENTS = Statements(Postgres("postgresql://never.opened", 1, 1, 1))

READS = {
    "a get": (_STATEMENTS.body_by["id"], "customer_pkey"),
    "a get by reference": (_STATEMENTS.body_by["customerRef"], "customer_customer_ref"),
    "a get by alternate reference": (
        _STATEMENTS.body_by["alternateCustomerRef"],
        "customer_alternate_ref",
    ),
    "a get by e-mail": (_STATEMENTS.body_by["email"], "customer_email_key"),
    "the lock of an update": (_STATEMENTS.body_for_update["id"], "customer_pkey"),
    "a look for clashes": (_STATEMENTS.owner["phone"], "customer_phone"),
    "a lookup by e-mail": (_STATEMENTS.search(["email"]), "customer_email_key"),
    "a lookup by e-mail and name": (
        _STATEMENTS.search(["email", "first_name"]),
        "customer_email_key",
    ),
}
# Of a tenant without statistics a connection may read more for them, but for the first five times
# alone: then the plan is made for any tenant.
OTHERS = {
    "a lookup by name": (_STATEMENTS.search(["last_name"]), "customer_last_name_fold"),
    "an update": (_STATEMENTS.update, "customer_pkey"),
    "a deletion": (_STATEMENTS.delete, "customer_pkey"),
}
# Their order is that of an index since PostgreSQL 17.
LISTS = {
    "many gets": (_STATEMENTS.bodies, "customer_pkey"),
    "looks for stored ids": (_STATEMENTS.stored, "customer_pkey"),
    "looks for clashes": (_STATEMENTS.owners["email"], "customer_email_key"),
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
            session.execute("ALTER TABLE customer SET (autovacuum_enabled = off)")
            for step in steps:
                if step == ANALYZE:
                    session.execute(b"ANALYZE customer")
                else:
                    session.execute(FILL.encode(), {"tenant": step, "rows": ROWS})
        yield database


@pytest.fixture(scope="module")
def database(postgres: Server) -> Iterator[Postgres]:
    """A database that has many customers of a tenant, and no statistics."""
    with filled(postgres, "acme") as database:
        yield database


def indexes(database: Postgres, sql: str, tenant: str) -> list[str]:
    """The indexes that a statement reads by, on a connection of the service."""
    values: dict[str, object] = dict.fromkeys(re.findall(r"%\((\w+)\)s", sql), "1")
    numbers = ("now", "limit", "status", "modified_at", "change_sequence")
    values |= {"tenant": tenant, **dict.fromkeys(numbers, 1), "body": b""}
    plan = "\n".join(line for (line,) in database.rows(f"EXPLAIN {sql}", values))
    return re.findall(r"(?:using|Index Scan on) (customer_\w+)", plan)


def version(database: Postgres) -> int:
    """The version of the database."""
    [(number,)] = database.rows("SHOW server_version_num", {})
    return int(number)


@pytest.mark.parametrize(("sql", "index"), (READS | OTHERS).values(), ids=[*READS, *OTHERS])
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
