"""Purges: what they delete, by which of several processes, and what becomes of failures."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.support.backends import Opener
from twc_customer_server.contract import SERVICE
from twc_customer_server.errors import OutcomeUnknown, Unavailable
from twc_customer_server.storage import purging
from twc_customer_server.storage.database import Database, shut_down_after
from twc_customer_server.storage.idempotency import (
    LIFETIME_MILLISECONDS,
    IdempotencyStore,
    IdempotentRequest,
    OutcomePurge,
)
from twc_customer_server.storage.lease import Lease
from twc_customer_server.storage.purging import (
    BATCH_ROWS,
    PERIOD_SECONDS,
    RETRY_SECONDS,
    TERM_SECONDS,
    Purger,
)
from twc_customer_server.storage.schema import NO_TENANT, IdempotencyRow
from twc_customer_server.storage.statements import parameter
from twc_customer_server.telemetry.metrics import ServiceMetrics

NOW = 1_700_000_000_000
EXPIRED = NOW - LIFETIME_MILLISECONDS
HOUR = PERIOD_SECONDS * 1000
TENANTS = ("acme", "globex", "initech")


class Clock:
    """The wall clock of every purger."""

    now = NOW

    def __call__(self) -> int:
        """Returns the time."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += round(seconds * 1000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock, which stands still unless told otherwise."""
    clock = Clock()
    monkeypatch.setattr(purging, "_now", clock)
    return clock


@pytest.fixture
def own(opener: Opener) -> Iterator[Database]:
    """A database for one test alone."""
    with shut_down_after(opener()) as database:
        database.prepare()
        yield database


class Process:
    """A process that purges: its purger, and its metrics."""

    def __init__(self, database: Database) -> None:
        metrics = ServiceMetrics(SERVICE).purges
        self.metrics = metrics["outcomes"]
        self.purge = OutcomePurge(database)
        self.purger = Purger(database, [self.purge], metrics)


def keep(database: Database, tenant: str, *created: int) -> None:
    """Keeps a result that was made at each of some times."""
    names = ("tenant", "key", "digest", "created_at")
    insert = database.compile(IdempotencyRow.insert({it: parameter(it) for it in names}))
    rows: list[dict[str, object]] = [
        {"tenant": tenant, "key": f"{number:05}", "digest": b"", "created_at": time}
        for number, time in enumerate(created)
    ]
    database.write(lambda: database.run_each(insert, rows))


def kept(database: Database) -> dict[str, list[str]]:
    """The keys of the results that are kept, by tenant."""
    query = IdempotencyRow.select(IdempotencyRow.tenant, IdempotencyRow.key).where(
        IdempotencyRow.tenant > parameter("none")
    )
    found: dict[str, list[str]] = {}
    for tenant, key in sorted(database.rows(database.compile(query), {"none": NO_TENANT})):
        found.setdefault(tenant, []).append(key)
    return found


@pytest.mark.usefixtures("clock")
def test_purge(own: Database) -> None:
    """A purge deletes what is over, of every tenant and however much, and nothing else."""
    for tenant in TENANTS:
        keep(own, tenant, EXPIRED - 1, EXPIRED, EXPIRED + 1)
    keep(own, "many", *([EXPIRED] * (2 * BATCH_ROWS)), *range(EXPIRED - BATCH_ROWS, EXPIRED + 3))
    process = Process(own)
    assert process.purger.run_if_due()
    left = {tenant: ["00002"] for tenant in TENANTS}
    assert kept(own) == left | {"many": [f"{3 * BATCH_ROWS + it:05}" for it in (1, 2)]}
    assert process.metrics.purged == 3 * BATCH_ROWS + 1 + 2 * len(TENANTS)
    assert process.metrics.due_since == 0


@pytest.mark.usefixtures("clock")
def test_used_again(own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is used again while its batch is purged keeps its new result."""
    keep(own, "acme", EXPIRED)
    process, store = Process(own), IdempotencyStore(own)
    write_one = own.write_one

    def use_first(sql: str, parameters: dict[str, object]) -> int:
        if "last" in parameters:
            request = IdempotentRequest("00000", b"digest", NOW)
            store.run_idempotent("acme", request, lambda: b"new")
        return write_one(sql, parameters)

    monkeypatch.setattr(own, "write_one", use_first)
    process.purger.run_if_due()
    assert kept(own) == {"acme": ["00000"]}


def test_turns(own: Database, clock: Clock) -> None:
    """Of several processes one purges in an hour, whichever asks first."""
    processes = [Process(own) for _ in range(3)]
    assert [it.purger.run_if_due() for it in processes] == [True, False, False]
    clock.pass_by(PERIOD_SECONDS - 1)
    assert [it.purger.run_if_due() for it in processes] == [False, False, False]
    clock.pass_by(2)
    assert [it.purger.run_if_due() for it in reversed(processes)] == [True, False, False]


def test_turn_of_dead_process(own: Database, clock: Clock) -> None:
    """What a process has begun that ends, another goes on with after a minute."""
    keep(own, "acme", EXPIRED)
    process, dead = Process(own), Lease(own, "purge", HOUR)
    assert dead.take(clock(), clock() + TERM_SECONDS * 1000)
    assert not process.purger.run_if_due()
    clock.pass_by(TERM_SECONDS)
    assert process.purger.run_if_due()
    assert not dead.take(clock(), clock() + 1)
    assert kept(own) == {}


Fail = Callable[[Process, pytest.MonkeyPatch, type[Exception]], None]


def fail_batch(process: Process, patched: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """Has the batches of one tenant fail."""
    batch = process.purge.purge_batch

    def purge(tenant: str, since: int, now: int) -> tuple[int, int | None]:
        if tenant == "globex":
            raise error("away")
        return batch(tenant, since, now)

    patched.setattr(process.purge, "purge_batch", purge)


def fail_look(process: Process, patched: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """Has the look for what one tenant has to purge fail."""
    due_since = process.purge.due_since

    def look(tenant: str) -> int | None:
        if tenant == "globex":
            raise error("away")
        return due_since(tenant)

    patched.setattr(process.purge, "due_since", look)


def fail_scan(process: Process, patched: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """Has one tenant fail, and the list of all of them, as on a cluster that lacks a machine."""

    def next_tenant(_: str) -> str | None:
        raise error("away")

    fail_batch(process, patched, error)
    patched.setattr(process.purge, "next_tenant", next_tenant)


FAILURES: dict[str, Fail] = {"batch": fail_batch, "look": fail_look, "scan": fail_scan}


@pytest.mark.parametrize("error", [Unavailable, OutcomeUnknown, RuntimeError])
@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_failure_of_a_tenant(
    own: Database,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    fail: Fail,
    error: type[Exception],
) -> None:
    """A tenant that cannot be purged holds up no other one, and is purged a minute later."""
    for tenant in TENANTS:
        keep(own, tenant, EXPIRED + 1)
    process = Process(own)
    process.purger.run_if_due()
    clock.pass_by(PERIOD_SECONDS)
    with monkeypatch.context() as patched:
        fail(process, patched, error)
        assert process.purger.run_if_due()
    assert kept(own) == {"globex": ["00000"]}
    assert process.metrics.due_since == (0 if fail is fail_look else (NOW + 1) / 1000)
    clock.pass_by(RETRY_SECONDS)
    assert process.purger.run_if_due()
    assert kept(own) == {}
    assert process.metrics.due_since == 0


def test_lost_turn(own: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was held up for longer than its lease leaves the rest to another one."""
    keep(own, "acme", *range(EXPIRED - 3 * BATCH_ROWS, EXPIRED))
    slow, quick = Process(own), Process(own)
    batch = slow.purge.purge_batch

    def purge(tenant: str, since: int, now: int) -> tuple[int, int | None]:
        done = batch(tenant, since, now)
        clock.pass_by(2 * TERM_SECONDS)
        assert quick.purger.run_if_due()
        return done

    monkeypatch.setattr(slow.purge, "purge_batch", purge)
    monkeypatch.setattr(purging, "_RENEWAL_SECONDS", 0)
    with pytest.raises(purging._LeaseLostError):  # noqa: SLF001 - what ends the pass
        slow.purger.run_if_due()
    assert (slow.metrics.purged, quick.metrics.purged) == (BATCH_ROWS, 2 * BATCH_ROWS)


@pytest.mark.parametrize("step", ["next_tenant", "due_since"])
def test_slow_looks(
    own: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A process keeps its turn while it looks at tenants for longer than that lasts."""
    for tenant in TENANTS:
        keep(own, tenant, EXPIRED)
    slow, quick = Process(own), Process(own)
    look = getattr(slow.purge, step)

    def slowly(tenant: str) -> object:
        clock.pass_by(TERM_SECONDS * 0.7)
        assert not quick.purger.run_if_due()
        return look(tenant)

    monkeypatch.setattr(slow.purge, step, slowly)
    monkeypatch.setattr(purging, "_RENEWAL_SECONDS", 0)
    assert slow.purger.run_if_due()
    assert kept(own) == {}


def test_clock_that_was_ahead(own: Database, clock: Clock) -> None:
    """A turn that was taken by a clock far ahead keeps nobody from purging."""
    clock.pass_by(365 * 24 * 3600)
    assert Process(own).purger.run_if_due()
    clock.now = NOW
    keep(own, "acme", EXPIRED)
    assert Process(own).purger.run_if_due()
    assert kept(own) == {}


@pytest.mark.usefixtures("clock")
def test_stop_while_looking(own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that stops looks at no more tenants."""
    for tenant in TENANTS:
        keep(own, tenant, EXPIRED)
    process = Process(own)
    seen = []

    def next_tenant(after: str) -> str | None:
        seen.append(after)
        process.purger.stop()
        return TENANTS[len(seen) - 1]

    monkeypatch.setattr(process.purge, "next_tenant", next_tenant)
    assert process.purger.run_if_due()
    assert (seen, process.metrics.purged) == ([""], 0)


@pytest.mark.usefixtures("clock")
def test_stop(own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that stops ends after a batch, and another goes on at once."""
    keep(own, "acme", *range(EXPIRED - 3 * BATCH_ROWS, EXPIRED))
    process, other = Process(own), Process(own)
    batch = partial(process.purge.purge_batch)

    def purge(tenant: str, since: int, now: int) -> tuple[int, int | None]:
        process.purger.stop()
        return batch(tenant, since, now)

    monkeypatch.setattr(process.purge, "purge_batch", purge)
    assert process.purger.run_if_due()
    assert process.metrics.purged == BATCH_ROWS
    assert other.purger.run_if_due()
    assert kept(own) == {}
