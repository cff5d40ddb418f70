"""What a tenant may use at a time."""

import pytest

from twc_customer_server.errors import Overloaded
from twc_customer_server.transport import limits
from twc_customer_server.transport.limits import Kind, KindLimit, Limits, TenantLimits

BULK, WAITING = Kind.BULK, Kind.WAITING


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Returns the time that is set."""
        return self.now


def limited(
    *,
    calls: int = 10,
    streams: int = 2,
    rate: float = 0,
    of_all: int = 100,
    clock: Clock | None = None,
) -> Limits:
    """Limits with a clock that stands still; `of_all` are the calls of all tenants."""
    of_kinds = {kind: KindLimit(f"{kind.name} calls", streams) for kind in (BULK, WAITING)}
    return Limits(TenantLimits(calls, rate), of_kinds, of_all, clock or Clock())


def refusal(bounds: Limits, tenant: str, kind: Kind = Kind.UNARY) -> str:
    """The message of the error that a call is refused with."""
    with pytest.raises(Overloaded) as error:
        bounds.admit(tenant, kind)
    return str(error.value)


def delays(bounds: Limits, number: int, tenant: str = "acme") -> list[float]:
    """The delays of so many calls, each of which ends before the next."""
    found = []
    for _ in range(number):
        usage, delay = bounds.admit(tenant, Kind.UNARY)
        bounds.release(usage)
        found.append(round(delay, 3))
    return found


def test_calls_of_a_tenant() -> None:
    """A tenant with all its calls is refused, others are not, nor is it when one has ended."""
    bounds = limited(calls=2)
    usage, _ = bounds.admit("acme", Kind.UNARY)
    bounds.admit("acme", Kind.UNARY)
    assert "a tenant may have 2;" in refusal(bounds, "acme")
    bounds.admit("other", Kind.UNARY)
    bounds.release(usage)
    bounds.admit("acme", Kind.UNARY)


def test_calls_of_all() -> None:
    """When all tenants together have as many calls as there may be, everyone is refused."""
    bounds = limited(of_all=2)
    bounds.admit("acme", Kind.UNARY)
    bounds.admit("other", Kind.UNARY)
    assert refusal(bounds, "third") == limits.OVERLOADED
    with pytest.raises(Overloaded):
        bounds.admit_unknown("192.0.2.1")


each_kind = pytest.mark.parametrize("kind", [BULK, WAITING], ids=lambda kind: kind.name)


@each_kind
def test_streams_of_a_tenant(kind: Kind) -> None:
    """A tenant's streams leave places for those of others, and its other calls are admitted."""
    bounds = limited(streams=1)
    usage, _ = bounds.admit("acme", kind)
    assert f"too many {kind.name} calls" in refusal(bounds, "acme", kind)
    assert "a tenant may have 1;" in refusal(bounds, "acme", kind)
    bounds.admit("acme", Kind.UNARY)
    bounds.admit("other", kind)
    other = BULK if kind is WAITING else WAITING
    bounds.release(bounds.admit("acme", other).usage, other)
    bounds.release(usage, kind)
    bounds.admit("acme", kind)


@each_kind
def test_refused_stream(kind: Kind) -> None:
    """A stream that is refused uses nothing."""
    bounds = limited(calls=1, streams=1)
    usage, _ = bounds.admit("acme", Kind.UNARY)
    refusal(bounds, "acme", kind)
    bounds.release(usage)
    bounds.admit("acme", kind)


def test_rate_of_a_tenant() -> None:
    """Requests that come faster than the rate wait for their time; far too many are refused."""
    bounds = limited(rate=8)
    assert delays(bounds, 9) == [0, 0.025, 0.15, 0.275, 0.4, 0.525, 0.65, 0.775, 0.9]
    assert "a tenant may make 8 a second" in refusal(bounds, "acme")
    assert delays(bounds, 1, "other") == [0]


def test_rate_after_a_pause() -> None:
    """After a pause a burst of a tenth of a second begins at once, however long it was."""
    clock = Clock()
    bounds = limited(rate=100, clock=clock)
    delays(bounds, 50)
    clock.now += 60
    assert delays(bounds, 13) == pytest.approx([0] * 11 + [0.01, 0.02], abs=0.001)


def test_no_rate() -> None:
    """With a rate of 0 nothing waits."""
    assert delays(limited(), 1000) == [0] * 1000


def test_pace_of_refusals() -> None:
    """Refusals come at a pace, and too many get none."""
    bounds = limited()
    paced = []
    for _ in range(2100):
        paced.append(bounds.refuse("acme"))
        if paced[-1] is not None:
            bounds.refused()
    assert paced[:51] == [0] * 51
    assert paced[52] == pytest.approx(0.004, abs=0.001)
    assert paced[-1] is None
    assert bounds.refuse("other") == 0


def test_refusals_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many refusals wait at a time, of all tenants together; those that are over leave room."""
    monkeypatch.setattr(limits, "MAX_REFUSALS", 3)
    bounds = limited()
    assert [bounds.refuse(name) for name in ("acme", "other", "third", "last")] == [0, 0, 0, None]
    bounds.refused()
    assert bounds.refuse("last") == 0
    bounds.forgo_refusal("last")
    assert bounds.refuse("last") == 0


def test_calls_that_end_before_they_are_due() -> None:
    """A call whose client gives up before it is due takes nothing of its tenant's rate."""
    bounds = limited(rate=100)
    delays(bounds, 20)
    usage, delay = bounds.admit("acme", Kind.UNARY)
    bounds.forgo(usage)
    assert bounds.admit("acme", Kind.UNARY).delay == pytest.approx(delay)


def admit_all(bounds: Limits, network: str) -> int:
    """Admits calls of callers from a network, who are not known, until one is refused."""

    def is_admitted() -> bool:
        try:
            bounds.admit_unknown(network)
        except Overloaded:
            return False
        return True

    return next(number for number in range(1000) if not is_admitted())


def test_unknown_callers() -> None:
    """Callers who are not known yet have a quarter of all calls, a network half of what is left."""
    bounds = limited(of_all=64)
    assert [admit_all(bounds, network) for network in ("a", "b", "c")] == [8, 4, 2]
    for _ in range(8):
        bounds.release_unknown("a")
    assert admit_all(bounds, "d") == 5
    with pytest.raises(Overloaded, match=limits.NEWCOMERS):
        bounds.admit_unknown("d")
    assert bounds.admit("acme", Kind.UNARY).delay == 0


def test_unknown_callers_of_busy_server() -> None:
    """Callers who are not known yet are counted with all others."""
    bounds = limited(of_all=8)
    for tenant in "abcdefg":
        bounds.admit(tenant, Kind.UNARY)
    bounds.admit_unknown("a")
    assert refusal(bounds, "acme") == limits.OVERLOADED
    bounds.release_unknown("a")
    bounds.admit("acme", Kind.UNARY)


def test_many_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many tenants those are forgotten that use nothing, and no others."""
    monkeypatch.setattr(limits, "_MANY_TENANTS", 3)
    clock = Clock()
    bounds = limited(calls=1, rate=1, clock=clock)
    bounds.admit("busy", Kind.UNARY)
    delays(bounds, 1, "idle")
    clock.now += 60
    delays(bounds, 1, "recent")
    delays(bounds, 1, "new")
    assert "a tenant may have 1;" in refusal(bounds, "busy")
    assert delays(bounds, 1, "recent") == [pytest.approx(0.9, abs=0.01)]
