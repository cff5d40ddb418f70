"""A pooler in transaction mode, whose other clients share sessions with the service."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.reliability.calls import CALLS, Call, Open, SeededServer, prepared, selectable
from tests.support import builders
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.pgbouncer import SESSIONS, PgBouncer, pooling
from tests.support.postgres import Server
from tests.support.server_process import starting
from tests.support.stores import insert, stamped
from tests.support.tokens import trust
from twc_customer_server.contract import SERVICE
from twc_customer_server.errors import Unavailable
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import CannotServeError, shut_down_after
from twc_customer_server.storage.idempotency import OutcomePurge
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.purging import Purger
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.store import CustomerStore
from twc_customer_server.telemetry.metrics import ServiceMetrics

# Timeout of a read, less than other clients take.
TIME = 1.0

SHOW = """
    SELECT current_setting('statement_timeout'),
        current_setting('idle_in_transaction_session_timeout'), current_setting('enable_sort'),
        current_setting('plan_cache_mode')
"""
# The driver does not notice.
FORGET = "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"
PREPARED = "SELECT count(*) FROM pg_prepared_statements"

each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
def pooler(url: str) -> Iterator[PgBouncer]:
    """The pooler of a database that is ready to be served."""
    with pooling(url) as pooler:
        yield pooler


@pytest.fixture
def clean(pooler: PgBouncer) -> Iterator[PgBouncer]:
    """The pooler, in whose sessions other clients find the same before and after the test."""
    before = pooler.sessions()
    yield pooler
    assert pooler.sessions() == before


@pytest.fixture
def database(clean: PgBouncer, tmp_path: Path) -> dict[str, Any]:
    """Settings of a service behind the pooler."""
    return {
        "data_dir": tmp_path,
        "database_url": clean.url,
        # More connections than sessions.
        "database_pool_size": 2 * SESSIONS,
        "threads": 2 * SESSIONS + 2,
        "tenant_streams": 100,
    }


@pytest.fixture
def service(database: dict[str, Any]) -> Iterator[SeededServer]:
    """A server behind the pooler."""
    with SeededServer(**database) as service:
        yield service


@each_call
def test_calls(service: SeededServer, call: Call) -> None:
    """Every call is served, again and again, and leaves nothing in the sessions."""
    for number in range(3):
        service.customer = service.client.create(selectable(f"B-{number}"))
        prepared(call, service)()


def test_calls_at_once(service: SeededServer) -> None:
    """Calls that run at the same time, on fewer sessions than there are connections, are served."""

    def work() -> None:
        for _ in range(20):
            created = service.client.create(builders.customer())
            service.client.update(Customer(id=created.id, last_name="King"))
            assert service.client.get(created.id).last_name == "King"

    for working in in_background([work] * 2 * SESSIONS):
        working.result(SECONDS)


def test_time_of_others(clean: PgBouncer, database: dict[str, Any]) -> None:
    """Another client's statement may take longer than those of the service."""
    with (
        SeededServer(**database, database_timeout_seconds=TIME) as service,
        psycopg.connect(clean.url, autocommit=True) as other,
    ):
        for _ in range(2 * SESSIONS):
            service.client.get(service.customer.id)
        for _ in range(SESSIONS):
            other.execute("SELECT pg_sleep(%s)", [TIME + 0.2])


def test_settings_of_service(clean: PgBouncer) -> None:
    """The service's own statements have its timeouts, alone and in transactions, and plans."""
    upload = f"{12 * TIME:.0f}s"
    planning = ("off", "force_generic_plan")
    own = [(f"{TIME:.0f}s",) * 2 + planning]
    with shut_down_after(Postgres(clean.url, 1, TIME, wait_seconds=SECONDS)) as database:
        database.prepare()
        read = partial(database.rows, SHOW, {})
        assert read() == own
        assert database.write(read) == own
        assert database.write(read, bulk=True) == [(upload, upload, *planning)]
        with pytest.raises(Unavailable):
            database.rows("SELECT pg_sleep(%(seconds)s)", {"seconds": 2 * TIME})
        assert read() == own


def test_warning(pooler: PgBouncer, database: dict[str, Any]) -> None:
    """A server says at its start that the pooler cannot prepare statements, and what could."""
    with starting(database) as start:
        log = start().log()
    assert ("PgBouncer 1.22 or newer" in log) is not pooler.prepares


def test_prepared_statements(clean: PgBouncer) -> None:
    """Statements are prepared where the pooler keeps them apart, and nowhere else."""
    with shut_down_after(Postgres(clean.url, 1, TIME, wait_seconds=SECONDS)) as database:
        database.prepare()
        for _ in range(3):
            database.rows("SELECT %(it)s", {"it": 1})
            [[count]] = database.write(partial(database.rows, PREPARED, {}))
    assert bool(count) is clean.prepares


def test_purge(clean: PgBouncer) -> None:
    """Purging runs behind a pooler, and leaves nothing in the sessions."""
    with shut_down_after(Postgres(clean.url, 2, SECONDS, wait_seconds=0)) as database:
        database.prepare()
        metrics = ServiceMetrics(SERVICE).purges
        assert Purger(database, [OutcomePurge(database)], metrics).run_if_due()


def test_commands(postgres: Server, tmp_path: Path) -> None:
    """Commands do their work behind a pooler, and leave nothing in the sessions."""
    with shut_down_after(Sqlite(tmp_path / "customers.db")) as source:
        source.prepare()
        store = CustomerStore(source)
        customer = insert(store, "acme")
        store.insert_each("acme", [stamped() for _ in range(2500)])
    with pooling(postgres.database()) as pooler:
        before = pooler.sessions()
        database = {"data_dir": tmp_path, "database_url": pooler.url}
        said = {name: _run(database, name) for name in ("migrate", "copy", "distribute")}
        found = _run(database, "access", "acme", "--id", customer.id)
        assert pooler.sessions() == before

    assert "migrated: 0001_customers" in said["migrate"]
    assert "customer: 2,501 rows, identical in both" in said["copy"]
    assert "lacks the extension citus" in said["distribute"]
    assert customer.email in found


def test_lost_statements(opened: Open) -> None:
    """Statements that are not prepared any more, as when a pooler forgets them, are made again."""
    database = opened(pool_size=1)
    store = CustomerStore(database)
    customer = insert(store, "acme")
    for act in (
        lambda: store.get("acme", Key.id(customer.id)),
        lambda: store.change("acme", Key.id(customer.id), lambda _: None),
        lambda: store.insert_each("acme", [stamped()]),
    ):
        act()
        database.write(partial(database.run, FORGET, {}))
        assert act()


def test_statement_mode(url: str) -> None:
    """A pooler without transactions is refused at the start, with its reason."""
    with (
        pooling(url, "statement") as pooler,
        pytest.raises(CannotServeError, match="not allowed in statement pooling mode"),
    ):
        Postgres(pooler.url, 1, TIME, wait_seconds=0).prepare()


def _run(database: dict[str, Any], *arguments: str) -> str:
    """Runs a command of the server and returns all that it says."""
    told = subprocess.run(
        [sys.executable, "-m", "twc_customer_server", *arguments],
        env=os.environ | Settings(**database, **trust()).environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return told.stdout
