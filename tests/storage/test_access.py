"""An access request is answered with all that is held of a person, and of nobody else."""

import json
import os
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support import forks
from tests.support.backends import Backend
from tests.support.builders import UNKNOWN_ID
from tests.support.stores import FULL, insert
from tests.support.tokens import trust
from twc_customer_server.admin.access import held
from twc_customer_server.databases import open_database
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import CannotServeError, Database, shut_down_after
from twc_customer_server.storage.idempotency import IdempotencyStore, IdempotentRequest
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore
from twc_customer_server.storage.stores import Stores

NOW = 1_700_000_000_000

# What of FULL names the person, in another form than it is stored.
ASKED: dict[str, dict[str, str]] = {
    "email": {"email": "ADA@example.COM"},
    "ref": {"ref": "A-1"},
    "mobile": {"phone": "0170 1234567"},
    "phone": {"phone": "+49 30 12345678"},
    "several": {"email": "nobody@example.com", "ref": "A-1"},
}
each_asked = pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)


def found(database: Database, tenant: str, asked: dict[str, str]) -> list[dict[str, Any]]:
    """The customers of an answer."""
    answer = held(database, tenant, asked, "DE")
    assert answer["tenant"] == tenant
    assert json.loads(json.dumps(answer)) == answer
    customers: list[dict[str, Any]] = answer["customers"]
    return customers


@each_asked
def test_live_and_deleted(
    database: Database, store: CustomerStore, tenant: str, asked: dict[str, str]
) -> None:
    """Customers are found by each of their values, also those that are deleted, with all fields."""
    deleted = insert(store, tenant, **FULL)
    store.delete(tenant, Key.id(deleted.id), NOW * 2)
    live = insert(store, tenant, **FULL)
    insert(store, tenant)
    insert(store, f"{tenant}-foreign", **FULL)

    customers = {it["id"]: it for it in found(database, tenant, asked)}

    assert {it["status"] for it in customers.values()} == {"live", "deleted"}
    assert customers.keys() == {live.id, deleted.id}
    assert customers[deleted.id]["deleteTime"] == "2077-09-27T20:26:40Z"
    assert customers[deleted.id]["customer"]["lastName"] == "Lovelace"
    assert customers[live.id]["customer"]["email"] == "Ada@Example.com"


def test_by_id(database: Database, store: CustomerStore, tenant: str) -> None:
    """A customer is found by its id whatever became of it; of an erased one there are times."""
    erased = insert(store, tenant, **FULL)
    Stores.of(database).deletions.erase(tenant, erased.id, NOW * 2)
    time = "2077-09-27T20:26:40Z"
    assert found(database, tenant, {"id": erased.id.upper()}) == [
        {"id": erased.id, "status": "erased", "deleteTime": time, "eraseTime": time}
    ]
    assert found(database, tenant, {"email": FULL["email"], "ref": "A-1"}) == []
    assert found(database, tenant, {"id": UNKNOWN_ID}) == []


def test_kept_answers(database: Database, store: CustomerStore, tenant: str) -> None:
    """The answers that are kept of requests with the customer are listed, with their times."""
    customer, other = insert(store, tenant), insert(store, tenant)
    idempotency = IdempotencyStore(database)
    held_by = {"one": [customer.id], "more": [other.id, customer.id], "other": [other.id]}
    for key, ids in held_by.items():
        request = IdempotentRequest(key, b"", NOW)
        idempotency.run_idempotent(tenant, request, bytes, lambda ids=ids: ids)  # type: ignore[misc]

    [one] = found(database, tenant, {"id": customer.id})

    times = {"createTime": "2023-11-14T22:13:20Z", "expireTime": "2023-11-15T22:13:20Z"}
    assert one["keptAnswers"] == [{"idempotencyKey": key} | times for key in ("one", "more")]


@pytest.mark.parametrize(
    ("asked", "field"), [({"id": "x"}, "id"), ({"email": "x"}, "email"), ({"phone": "1"}, "phone")]
)
def test_unreadable(database: Database, tenant: str, asked: dict[str, str], field: str) -> None:
    """What cannot be an id, an address or a number is refused, and not taken for nobody's."""
    with pytest.raises(CannotServeError, match=f"^{field}: must be"):
        held(database, tenant, asked, None)


def test_command(backend: Backend, tmp_path: Path) -> None:
    """The command prints JSON, and does not take a wrong folder for one that has nobody."""
    settings = Settings(**backend.settings(tmp_path), **trust())

    def access(*options: str, **environment: str) -> CompletedProcess[str]:
        variables = os.environ | settings.environment() | environment
        command = ["-m", "twc_customer_server", "access", "acme", *options]
        return forks.run(command, variables)

    with shut_down_after(open_database(settings)) as database:
        database.prepare()
        customer = insert(CustomerStore(database), "acme", email="ada@example.com")
    answer = access("--email", "Ada@example.com")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert [it["id"] for it in json.loads(answer.stdout)["customers"]] == [customer.id]
    refused = [access(), access("--phone", "x")]
    if not settings.database_url:
        refused.append(access("--id", customer.id, DATA_DIR=str(tmp_path / "wrong")))
        assert "there is no database" in refused[-1].stderr
    for each in refused:
        assert (each.returncode, each.stdout) == (1, "")
        assert "Traceback" not in each.stderr
