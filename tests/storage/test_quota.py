"""What is kept of each tenant's requests with an idempotency key is bounded."""

import pytest

from tests.storage.test_idempotency import NOW, fail, request
from twc_customer_server.errors import Overloaded
from twc_customer_server.storage.database import Database, Parameters, Row
from twc_customer_server.storage.idempotency import LIFETIME_MILLISECONDS, IdempotencyStore
from twc_customer_server.storage.quota import OutcomeQuota
from twc_customer_server.storage.schema import IdempotencyRow
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.statements import parameter

QUOTA = 100_000
OUTCOME = b"x" * 30_000

HOUR = 60 * 60 * 1000


@pytest.fixture
def idempotency(database: Database) -> IdempotencyStore:
    """A store of outcomes of which four do not fit into a tenant's quota."""
    return IdempotencyStore(database, QUOTA)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the quota goes by, as the only item of a list."""
    times = [1000.0]
    monkeypatch.setattr("twc_customer_server.storage.quota.monotonic", lambda: times[0])
    return times


def outcome() -> bytes:
    """What is kept of a request."""
    return OUTCOME


def fill(idempotency: IdempotencyStore, tenant: str, now: int = NOW) -> None:
    """Uses up a tenant's quota."""
    for number in range(4):
        idempotency.run_idempotent(tenant, request(f"{number}", now=now), outcome)


def test_exhausted_quota(idempotency: IdempotencyStore, tenant: str) -> None:
    """When its quota is used up, a tenant's new requests are refused, and nothing is done."""
    fill(idempotency, tenant)
    with pytest.raises(Overloaded, match=r"take up the 100,000 bytes .* was not carried out"):
        idempotency.run_idempotent(tenant, request("next"), fail)


def test_repeat_after_exhaustion(idempotency: IdempotencyStore, tenant: str) -> None:
    """What was done is still told, whatever has been used up."""
    fill(idempotency, tenant)
    for number in range(4):
        assert idempotency.run_idempotent(tenant, request(f"{number}"), fail) == OUTCOME


def test_other_tenants(idempotency: IdempotencyStore, tenant: str) -> None:
    """Each tenant has a quota of its own."""
    fill(idempotency, tenant)
    fill(idempotency, f"{tenant}-other")


def test_small_outcomes(database: Database, tenant: str) -> None:
    """An outcome of no bytes counts, too, for what its row takes."""
    idempotency = IdempotencyStore(database, 3000)
    for number in range(12):
        idempotency.run_idempotent(tenant, request(f"{number}"), bytes)
    with pytest.raises(Overloaded):
        idempotency.run_idempotent(tenant, request("next"), fail)
    assert idempotency.run_idempotent(tenant, request("5"), fail) == b""


def test_expired_outcomes(idempotency: IdempotencyStore, tenant: str, clock: list[float]) -> None:
    """The error says when the first outcome ends; those that have ended do not count."""
    fill(idempotency, tenant)
    late = request("late", now=NOW + LIFETIME_MILLISECONDS - HOUR)
    with pytest.raises(Overloaded, match=r"in 1 h 0 min") as refused:
        idempotency.run_idempotent(tenant, late, fail)
    assert refused.value.retry_seconds == 3600
    clock[0] += 30
    fill(idempotency, tenant, NOW + LIFETIME_MILLISECONDS)


def test_failed_requests(idempotency: IdempotencyStore, tenant: str) -> None:
    """What failed has no outcome that counts."""

    def act() -> bytes:
        raise KeyError

    for _ in range(10):
        with pytest.raises(KeyError):
            idempotency.run_idempotent(tenant, request(), act)
    fill(idempotency, tenant)


def test_no_quota(database: Database, tenant: str) -> None:
    """Without a quota any number of outcomes is kept."""
    idempotency = IdempotencyStore(database)
    for number in range(10):
        idempotency.run_idempotent(tenant, request(f"{number}"), outcome)


def test_other_processes(database: Database, tenant: str, clock: list[float]) -> None:
    """What other processes have kept counts when half a minute has passed."""
    mine, theirs = IdempotencyStore(database, QUOTA), IdempotencyStore(database, QUOTA)
    mine.run_idempotent(tenant, request("mine"), bytes)
    fill(theirs, tenant)
    clock[0] += 29
    mine.run_idempotent(tenant, request("soon"), bytes)
    clock[0] += 1
    with pytest.raises(Overloaded):
        mine.run_idempotent(tenant, request("later"), fail)


def test_sixteenth_of_quota(database: Database, tenant: str) -> None:
    """What other processes have kept counts when this one has added a sixteenth of the quota."""
    mine, theirs = IdempotencyStore(database, QUOTA), IdempotencyStore(database, QUOTA)
    mine.run_idempotent(tenant, request("mine"), lambda: b"x" * (QUOTA // 16))
    fill(theirs, tenant)
    with pytest.raises(Overloaded):
        mine.run_idempotent(tenant, request("later"), fail)


def test_outcomes_of_older_servers(database: Database, tenant: str) -> None:
    """An outcome without a size is returned as it is, and does not count."""
    columns = ("tenant", "key", "digest", "created_at", "outcome")
    insert = database.compile(IdempotencyRow.insert({name: parameter(name) for name in columns}))
    row = {"tenant": tenant, "key": "old", "digest": b"digest", "created_at": NOW}
    database.write_one(insert, {**row, "outcome": b"x" * QUOTA})
    idempotency = IdempotencyStore(database, QUOTA)

    assert idempotency.run_idempotent(tenant, request("old"), fail) == b"x" * QUOTA
    fill(idempotency, tenant)


def test_plan_of_sum(own: Sqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum of a tenant's outcomes reads an index, and none of the outcomes."""
    ran: list[str] = []
    rows = own.rows

    def explained(sql: str, parameters: Parameters) -> list[Row]:
        ran.extend(str(plan[-1]) for plan in rows(f"EXPLAIN QUERY PLAN {sql}", parameters))
        return rows(sql, parameters)

    monkeypatch.setattr(own, "rows", explained)
    assert OutcomeQuota(own, QUOTA, LIFETIME_MILLISECONDS).refusal("acme", NOW) is None
    [plan] = ran
    assert "COVERING INDEX outcome_created_at (tenant=? AND created_at>?)" in plan
