"""Which calls are refused or cut while others hang in the database."""

import threading
from typing import Any

import pytest

from twc_customer_server.readiness import PROBE_SECONDS
from twc_customer_server.storage.bulkhead import HANGING_SECONDS, Bulkhead, Hangs, Use, Work
from twc_customer_server.telemetry.families import HANGING_CALLS
from twc_customer_server.telemetry.metrics import OwnMetrics

SECONDS = 10
SIZE = 8
# The part of the connections that those have which hang.
PART = 2


class Connection:
    """A connection that notes what becomes of it."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.is_closed = False

    def cancel_safe(self, timeout: float) -> None:
        """Notes that its statement was cancelled."""
        assert timeout > 0
        self.cancelled.set()

    def close(self) -> None:
        """Notes that it was closed."""
        self.is_closed = True


class Calls:
    """Calls that use connections, at times that a test sets."""

    def __init__(self, size: int = SIZE) -> None:
        self.now = 0.0
        self.metrics = OwnMetrics()
        self.bulkhead = Bulkhead(size, self.metrics, lambda: self.now)

    def begin(self, tenant: str, **work: Any) -> Use:
        """Begins a call, which gets a connection at once."""
        use = self.bulkhead.begin(Work(tenant, **work))
        connection: Any = Connection()
        self.bulkhead.take(use, connection)
        return use

    def answer(self, tenant: str = "well") -> None:
        """Has a call answered at once."""
        self.bulkhead.end(self.begin(tenant), is_answered=True)

    def counted(self) -> list[float]:
        """The calls that were cut and those that were refused, by the metrics."""
        series = [self.metrics.series(HANGING_CALLS, it) for it in ("cut", "refused")]
        return [it.values[0] for it in series]

    def is_refused(self, tenant: str, **work: Any) -> bool:
        """Tells whether a call is refused; one that is not is answered at once."""
        try:
            use = self.begin(tenant, **work)
        except Hangs:
            return True
        self.bulkhead.end(use, is_answered=True)
        return False

    def look_after(self, seconds: float) -> None:
        """Looks when some time has passed, at whose end a call of another tenant is answered."""
        self.now += seconds
        self.answer()
        self.bulkhead.look()

    def look_when_none_is_answered(self, seconds: float) -> None:
        """Looks when some time has passed in which no call was answered."""
        self.now += seconds
        self.bulkhead.look()

    def answer_probes(self, number: int) -> None:
        """Has probes answered, as long after each other as they are made."""
        for _ in range(number):
            self.now += PROBE_SECONDS * 1.01
            self.bulkhead.note_probe()

    def hang(self, *tenants: str) -> list[Use]:
        """Begins calls, one after the other, and looks when they have hung for long enough."""
        uses = []
        for tenant in tenants:
            self.now += 0.001
            uses.append(self.begin(tenant))
        self.look_after(HANGING_SECONDS + 0.1)
        return uses


@pytest.fixture
def calls() -> Calls:
    """Calls with eight connections."""
    return Calls()


def tenants(number: int) -> list[str]:
    """Names of tenants."""
    return [f"tenant-{it}" for it in range(number)]


def cut(uses: list[Use]) -> list[bool]:
    """Tells of each call whether it was cut."""
    return [use.is_cut for use in uses]


def test_burst(calls: Calls) -> None:
    """Of calls that hang and have all connections, all but the last ones are cut."""
    uses = []
    for tenant in tenants(SIZE):
        calls.now += 0.01
        uses.append(calls.begin(tenant))
    calls.look_after(HANGING_SECONDS - 0.1)
    assert not any(cut(uses))
    calls.look_after(0.2)
    assert cut(uses) == [True] * (SIZE - PART) + [False] * PART
    for use in uses[:-PART]:
        connection: Any = use.connection
        assert connection.cancelled.wait(SECONDS)


def test_metrics(calls: Calls) -> None:
    """Calls that are cut are counted, and those that are refused."""
    calls.hang(*tenants(SIZE))
    assert calls.counted() == [SIZE - PART, 0]
    assert calls.is_refused("tenant-0")
    assert calls.counted() == [SIZE - PART, 1]


def test_slow_database(calls: Calls) -> None:
    """While most calls are answered slowly none hangs, however long it takes."""
    uses = [calls.begin(tenant) for tenant in tenants(SIZE)]
    slow = [calls.begin("slow") for _ in range(2)]
    calls.now += HANGING_SECONDS * 1.1
    for use in slow:
        calls.bulkhead.end(use, is_answered=True)
    calls.look_after(100 * HANGING_SECONDS)
    assert not any(cut(uses))
    assert not calls.is_refused("tenant-0")


def test_database_that_answers_none(calls: Calls) -> None:
    """While no call is answered none hangs, unless the database answers probes."""
    calls.answer_probes(1)
    uses = [calls.begin(tenant) for tenant in tenants(SIZE)]
    calls.look_when_none_is_answered(100 * HANGING_SECONDS)
    assert not any(cut(uses))
    calls.answer_probes(3)
    calls.look_when_none_is_answered(0)
    assert sum(cut(uses)) == SIZE - PART


@pytest.mark.parametrize("stall", [0.5, 1.9, 2.9, 5, 60])
def test_database_that_recovers(calls: Calls, stall: float) -> None:
    """After a stall, however long, no call is cut within a second in which it may be answered."""
    for before in (0.0, 0.5, 0.9):
        calls.answer_probes(3)
        calls.now += before
        uses = [calls.begin(tenant) for tenant in tenants(SIZE)]
        calls.now += stall
        calls.bulkhead.note_probe()
        for _ in range(9):
            calls.look_when_none_is_answered(HANGING_SECONDS / 10)
        assert not any(cut(uses))
        for use in uses:
            calls.bulkhead.end(use, is_answered=True)


def test_patience_while_none_is_answered(calls: Calls) -> None:
    """While probes alone are answered, calls hang later."""
    uses = [calls.begin(tenant) for tenant in tenants(SIZE)]
    calls.answer_probes(2)
    calls.look_when_none_is_answered(0)
    assert not any(cut(uses))
    calls.answer_probes(1)
    calls.look_when_none_is_answered(0)
    assert sum(cut(uses)) == SIZE - PART


def test_connection_that_was_cut(calls: Calls) -> None:
    """The connection of a call that was cut is closed at its end, that of another one stays."""
    uses = calls.hang(*tenants(SIZE))
    for use in uses:
        calls.bulkhead.end(use, is_answered=False)
    closed = [getattr(use.connection, "is_closed", None) for use in uses]
    assert closed == cut(uses)
    assert sum(cut(uses)) == SIZE - PART


@pytest.mark.parametrize(
    ("tenant", "work", "is_refused"),
    [
        ("tenant-0", {}, True),
        ("tenant-0", {"is_write": True}, False),
        ("other", {}, False),
        ("", {}, False),
    ],
    ids=["of the same kind", "writes, where reads hang", "of another tenant", "of no tenant"],
)
def test_call_beside_hanging_ones(
    calls: Calls, tenant: str, work: dict[str, Any], *, is_refused: bool
) -> None:
    """Calls like one that hangs are refused at once while such have their part, others are not."""
    calls.hang(*tenants(SIZE))
    assert calls.is_refused(tenant, **work) == is_refused


def test_room(calls: Calls) -> None:
    """While at most half of the connections are in use, no call is cut or refused."""
    uses = calls.hang(*tenants(SIZE // 2 - 1))
    assert not any(cut(uses))
    assert not calls.is_refused("tenant-0")


def test_one_tenant(calls: Calls) -> None:
    """The calls of one tenant alone, which may wait for each other, are neither cut nor refused."""
    uses = calls.hang(*["acme"] * (SIZE - 2))
    assert not any(cut(uses))
    assert not calls.is_refused("acme")


def test_turn_of_suspects(calls: Calls) -> None:
    """Calls that hang make room when another suspect was refused, which then is answered."""
    uses = calls.hang(*tenants(SIZE))
    for use in uses[:-PART]:
        calls.bulkhead.end(use, is_answered=False)
    others = [calls.begin(tenant) for tenant in ("a", "b", "c")]
    assert calls.is_refused("tenant-0")
    calls.look_after(0.01)
    assert cut(uses) == [True] * SIZE
    for use in uses[-PART:]:
        calls.bulkhead.end(use, is_answered=False)
    assert not calls.is_refused("tenant-0")
    assert not any(cut(others))


def test_end_of_suspicion(calls: Calls) -> None:
    """A tenant that the database has answered is suspected no longer."""
    first, *others = calls.hang(*tenants(SIZE))
    calls.bulkhead.end(first, is_answered=True)
    assert not calls.is_refused("tenant-0")
    assert calls.is_refused("tenant-1")
    assert others


def test_forgotten_suspicion(calls: Calls) -> None:
    """A tenant whose last call hung long ago is suspected no longer."""
    first, *_ = calls.hang(*tenants(SIZE))
    calls.bulkhead.end(first, is_answered=False)
    calls.look_after(59)
    assert calls.is_refused("tenant-0")
    calls.look_after(2)
    assert not calls.is_refused("tenant-0")


def test_time_of_uploads(calls: Calls) -> None:
    """A call of work that may take longer hangs later."""
    uses = [calls.begin(tenant, is_write=True, seconds=6) for tenant in tenants(SIZE)]
    calls.look_after(5)
    assert not any(cut(uses))
    calls.look_after(2)
    assert sum(cut(uses)) == SIZE - PART


def test_calls_that_wait_for_a_connection(calls: Calls) -> None:
    """A call that has no connection yet does not hang."""
    uses = [calls.bulkhead.begin(Work(tenant)) for tenant in tenants(SIZE)]
    calls.look_after(60)
    assert not any(cut(uses))


def test_later_rounds(calls: Calls) -> None:
    """Once calls were cut, those of further tenants are cut sooner."""
    for use in calls.hang(*tenants(SIZE)):
        calls.bulkhead.end(use, is_answered=False)
    uses = [calls.begin(f"further-{it}") for it in range(SIZE)]
    calls.look_when_none_is_answered(HANGING_SECONDS / 2)
    assert sum(cut(uses)) == SIZE - PART


def test_log(calls: Calls, caplog: pytest.LogCaptureFixture) -> None:
    """One line tells that calls hang, and one that none does any more."""
    uses = calls.hang(*tenants(SIZE))
    calls.look_after(0.1)
    for use in uses:
        calls.bulkhead.end(use, is_answered=True)
    calls.look_after(0.1)
    calls.look_after(0.1)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "(tenant-0, tenant-1, tenant-2, tenant-3, tenant-4, …)" in caplog.messages[0]
