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

from tests.storage.sqlite_file import opened, run
from tests.support.postgres import Server
from tests.support.stores import FULL, find, insert, stamped
from tests.support.tokens import trust
from twc_customer_server.admin import copy
from twc_customer_server.admin.copy import Copied, copy_all
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import CannotServeError, Row, shut_down_after
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.sqlite_file import restored_file
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


def break_off(source: Sqlite, target: Postgres, batches: int, *, resume: bool = False) -> None:
    """Has a copy end after some batches, of which each is committed, as if it was killed."""
    whole = copy._batches  # noqa: SLF001 - nothing else tells one batch from the next

    def some(rows: Any) -> Iterator[list[Row]]:
        yield from itertools.islice(whole(rows), batches)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as ends_early:
        ends_early.setattr(copy, "_BATCH_ROWS", 151)
        ends_early.setattr(copy, "_batches", some)
        with pytest.raises(KeyboardInterrupt):
            copy_all(source, target, resume=resume)


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


def test_copy_after_restore_cut_short(path: Path, target: Postgres) -> None:
    """A restore that died before the new file had its name is completed by a copy of it."""
    with opened(path) as store:
        insert(store, "acme")
    path.rename(restored_file(path))
    with shut_down_after(Sqlite(path)) as source:
        assert copy_all(source, target)[0].rows == 1


def test_copy_of_nothing(own: Sqlite, target: Postgres) -> None:
    """A copy of nothing is nothing, in a database that can be served."""
    assert [copied.rows for copied in copy_all(own, target)] == [0, 0, 0]
    insert(CustomerStore(target), "acme")


@pytest.mark.parametrize("resume", [False, True])
def test_target_with_customers(
    own: Sqlite, keeper: CustomerStore, target: Postgres, *, resume: bool
) -> None:
    """A target that a service has filled is refused, and stays as it is, to be served."""
    target.prepare()
    kept = insert(CustomerStore(target), "acme", first_name="Ada")
    insert(keeper, "zeta")
    with pytest.raises(CannotServeError, match=r"table customer .* is not empty; .* name an empty"):
        copy_all(own, target, resume=resume)
    assert target.rows("SELECT id FROM customer", {}) == [(kept.id,)]
    target.prepare()


@pytest.mark.parametrize("batches", [0, 2], ids=["before the first row", "within a table"])
def test_broken_off(
    own: Sqlite, keeper: CustomerStore, target: Postgres, url: str, batches: int
) -> None:
    """A copy that was broken off is served by nobody, and says what to do, until it is resumed."""
    fill(keeper)
    break_off(own, target, batches)

    with shut_down_after(Postgres(url, 4, 30, 30)) as server:
        with pytest.raises(CannotServeError, match=r"not complete: .* copy --resume, or .* empty"):
            server.prepare()
        if batches:
            with pytest.raises(CannotServeError, match=r"is not empty; --resume continues"):
                copy_all(own, target)
            break_off(own, target, 1, resume=True)
        rows = [copied.rows for copied in copy_all(own, target, resume=True)]
        server.prepare()

        assert rows == [302 * len(TENANTS), 0, len(TENANTS)]


def test_commands_after_broken_off(
    own: Sqlite, keeper: CustomerStore, target: Postgres, url: str, path: Path
) -> None:
    """Commands neither serve an incomplete copy, nor say that it holds nobody."""
    insert(keeper, "acme")
    break_off(own, target, 0)
    for command in (["serve", "127.0.0.1:0"], ["access", "acme", "--ref", "A-1"]):
        ended = run(path, *command, DATABASE_URL=url)
        assert ended.returncode == 1
        assert "copy from SQLite to the PostgreSQL database is not complete" in ended.stderr


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
    break_off(own, target, len(TENANTS) * 302)
    target.write_one(change, {})
    with pytest.raises(
        CannotServeError, match=r"rows of customer differ at tenant acme, id .* copy again"
    ):
        copy_all(own, target, resume=True)
    with pytest.raises(CannotServeError, match="not complete"):
        target.prepare()


def test_values_of_others(own: Sqlite, keeper: CustomerStore, target: Postgres) -> None:
    """A copy that meets a customer with the same values says so without them."""
    break_off(own, target, 0)
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
