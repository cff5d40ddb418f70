"""A copy from SQLite to PostgreSQL has everything, or says that it has not."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.support.postgres import Server
from tests.support.stores import FULL, find, insert, stamped
from tests.support.tokens import trust
from twc_customer_server.admin import copy
from twc_customer_server.admin.copy import Copied, copy_all
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import CannotServeError, shut_down_after
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.store import CustomerStore

TENANTS = ("acme", "Zeta", "ärger", "a-b")


@pytest.fixture
def url(postgres: Server) -> str:
    """An empty PostgreSQL database."""
    return postgres.database()


@pytest.fixture
def target(url: str) -> Iterator[Postgres]:
    """A PostgreSQL database to copy to."""
    with shut_down_after(Postgres(url, 4, 30, 30)) as database:
        yield database


def fill(store: CustomerStore) -> None:
    """Stores more customers than are copied at a time, of several tenants, some deleted."""
    for tenant in TENANTS:
        gone = insert(store, tenant, **FULL)
        store.delete(tenant, Key.id(gone.id), 1_700_000_000_000)
        insert(store, tenant, **FULL)
        store.insert_each(tenant, [stamped(last_name="Ōe \U0001f600") for _ in range(300)])


def test_copy(
    own: Sqlite, keeper: CustomerStore, target: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy has every customer of every tenant, found by the same keys, and the deleted ones."""
    fill(keeper)
    # Two whole batches of each tenant.
    monkeypatch.setattr(copy, "_BATCH_ROWS", 151)
    copied, outcomes, sequences = copy_all(own, target)
    there = CustomerStore(target)

    assert copied == Copied("customer", 302 * len(TENANTS), copied.checksum)
    assert outcomes == Copied("outcome", 0, outcomes.checksum)
    assert sequences == Copied("change_sequence", len(TENANTS), sequences.checksum)
    for tenant in TENANTS:
        assert there.get(tenant, Key.ref("A-1")) == keeper.get(tenant, Key.ref("A-1"))
        wanted = {"last_name": "ōe \U0001f600"}
        found = find(there, tenant, wanted, limit=1000)
        assert len(found) == 300
        assert found == find(keeper, tenant, wanted, limit=1000)
    deleted = "SELECT tenant, deleted_at FROM customer WHERE deleted_at IS NOT NULL ORDER BY tenant"
    assert target.rows(deleted, {}) == own.rows(deleted, {})


def test_copy_of_nothing(own: Sqlite, target: Postgres) -> None:
    """A copy of nothing is nothing, in a database that can be served."""
    assert [copied.rows for copied in copy_all(own, target)] == [0, 0, 0]
    insert(CustomerStore(target), "acme")


def test_target_with_customers(own: Sqlite, keeper: CustomerStore, target: Postgres) -> None:
    """A target that holds customers is refused, and stays as it is."""
    target.prepare()
    kept = insert(CustomerStore(target), "acme", first_name="Ada")
    insert(keeper, "acme")
    with pytest.raises(CannotServeError, match=r"table customer .* is not empty; --resume"):
        copy_all(own, target)
    assert target.rows("SELECT id FROM customer", {}) == [(kept.id,)]


def test_resume(own: Sqlite, keeper: CustomerStore, target: Postgres) -> None:
    """A copy that was broken off is completed."""
    fill(keeper)
    whole = copy_all(own, target)
    target.write_one("DELETE FROM customer WHERE tenant > 'a-b'", {})
    assert copy_all(own, target, resume=True) == whole


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE customer SET body = '' WHERE tenant = 'acme' AND customer_ref = 'A-1'",
        "UPDATE customer SET modified_at = 1 WHERE tenant = 'acme' AND customer_ref = 'A-1'",
        "DELETE FROM customer WHERE tenant = 'acme' AND customer_ref = 'A-1'",
        """INSERT INTO customer (tenant, id, email_key, created_at, modified_at, body)
        VALUES ('acme', '0', 'x', 1, 1, '')""",
    ],
)
def test_difference(own: Sqlite, keeper: CustomerStore, target: Postgres, change: str) -> None:
    """A row that is changed, missing or of elsewhere is found, and the place is told."""
    fill(keeper)
    copy_all(own, target)
    target.write_one(change, {})
    with pytest.raises(CannotServeError, match="rows of customer differ at tenant acme, id"):
        copy_all(own, target, resume=True)


def test_values_of_others(own: Sqlite, keeper: CustomerStore, target: Postgres) -> None:
    """A copy that meets a customer with the same values says so without them."""
    copy_all(own, target)
    for store in (CustomerStore(target), keeper):
        insert(store, "acme", email="ada@example.com")
    with pytest.raises(CannotServeError) as told:
        copy_all(own, target, resume=True)
    assert "the database failed: duplicate key value" in str(told.value)
    assert "ada" not in str(told.value)


@pytest.mark.parametrize(
    ("outcome_query", "message"),
    [
        # The first is sent after customers were copied, the third after they were compared.
        (1, "rows of customer differ"),
        (3, "written to during the copy"),
    ],
)
def test_copy_during_writes(
    path: Path, keeper: CustomerStore, target: Postgres, outcome_query: int, message: str
) -> None:
    """A copy of a database that is still written to is said to be incomplete."""
    fill(keeper)
    queries = itertools.count(1)

    class WrittenTo(Sqlite):
        """A database to which another process writes before a query of outcomes."""

        def execute(self, query: Any, **context_options: Any) -> Any:
            if '"outcome"' in str(query) and next(queries) == outcome_query:
                insert(keeper, "acme")
            return super().execute(query, **context_options)

    with (
        shut_down_after(WrittenTo(path)) as source,
        pytest.raises(CannotServeError, match=message),
    ):
        copy_all(source, target)


def test_command(keeper: CustomerStore, url: str, tmp_path: Path) -> None:
    """The command copies what the service had, and prints how much and its checksum."""
    customers = [insert(keeper, "acme") for _ in range(3)]
    settings = Settings(data_dir=tmp_path, database_url=url, **trust())
    ended = subprocess.run(
        [sys.executable, "-m", "twc_customer_server", "copy"],
        env=os.environ | settings.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    with shut_down_after(Postgres(url, 4, 30, 30)) as database:
        database.prepare()
        store = CustomerStore(database)
        stored = [store.get("acme", Key.id(customer.id)) for customer in customers]

    assert ended.returncode == 0
    assert ended.stdout.startswith("customer: 3 rows, identical in both (SHA-256 ")
    assert "copying customer: 3 of 3" in ended.stderr
    assert stored == [customer.SerializeToString() for customer in customers]
    assert all(Customer.FromString(body or b"").email for body in stored)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"database_url": None}, "DATABASE_URL is required"),
        ({"data_dir": Path("nowhere")}, "there is no database nowhere/customers.db to copy"),
    ],
)
def test_command_errors(url: str, tmp_path: Path, given: dict[str, Any], said: str) -> None:
    """The command says what it lacks, and fails."""
    chosen: dict[str, Any] = {"data_dir": tmp_path, "database_url": url} | given
    settings = Settings(**chosen, **trust())
    ended = subprocess.run(
        [sys.executable, "-m", "twc_customer_server", "copy"],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())} | settings.environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
