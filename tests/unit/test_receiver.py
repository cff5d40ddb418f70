"""Whose messages are received, and which calls have waited too long for theirs."""

from typing import Any

import pytest

from tests.unit.test_limits import Clock
from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.errors import MessageTimeout
from twc_customer_server.transport import receiver as receiving
from twc_customer_server.transport.calls import Awaits, Call, Rpc
from twc_customer_server.transport.limits import Kind, Usage
from twc_customer_server.transport.receiver import Receiver

# Threads, and the slots that a receiver then has, for all and for a tenant.
THREADS, SLOTS, OWN_SLOTS = 2, 8, 6

UNARY, UPLOAD = Awaits.MESSAGE, Awaits.ALL_MESSAGES

SMALL, LARGE = b"x", bytes(receiving.WINDOW_BYTES + 1)


class Waiting:
    """A receiver, and calls that wait for their messages in it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.receiver = Receiver(THREADS, self.clock)
        self._usages: dict[str, Usage] = {}

    def call(self, tenant: str, awaits: Awaits = UNARY) -> Call:
        """A call of a tenant that has not begun to wait."""
        no_call: Any = None
        call = Call(no_call, Rpc(awaits, Kind.UNARY, awaits is UPLOAD, no_call))
        call.caller = Caller(tenant, 0)
        call.usage = self._usages.setdefault(tenant, Usage(tenant))
        return call

    def add(self, tenant: str, awaits: Awaits = UNARY) -> tuple[Call, bool]:
        """Adds a call of a tenant; returns it, and whether its message is received now."""
        call = self.call(tenant, awaits)
        return call, self.receiver.add(call)

    def fill(self, tenant: str, number: int) -> list[Call]:
        """Adds calls of a tenant."""
        return [self.add(tenant)[0] for _ in range(number)]

    def complete(self, call: Call, message: bytes | None = SMALL) -> list[Call] | None:
        """Has a call get its message; returns the calls to receive then."""
        assert call.add(message)
        return self.receiver.complete(call)

    def late(self, seconds: float) -> dict[Call, str]:
        """The messages of calls that are late after some seconds."""
        self.clock.now += seconds
        return {call: str(error) for call, error in self.receiver.take_late()}


@pytest.fixture
def waiting() -> Waiting:
    """An empty receiver."""
    return Waiting()


def test_slots_of_a_tenant(waiting: Waiting) -> None:
    """A tenant has few slots; its other calls wait until one is free, those of others do not."""
    first, *_ = waiting.fill("acme", OWN_SLOTS)
    second, receives = waiting.add("acme")
    assert not receives
    assert waiting.add("other")[1]
    assert waiting.receiver.free(first) == [second]
    assert waiting.receiver.free(first) == []


@pytest.mark.parametrize(
    ("message", "at_its_end"),
    [
        pytest.param(SMALL, 0, id="small"),
        pytest.param(LARGE[1:], 0, id="as large as may be sent before it is received"),
        pytest.param(LARGE, 1, id="large"),
        pytest.param(None, 1, id="cancelled"),
    ],
)
def test_slot_of_complete_call(waiting: Waiting, message: bytes | None, at_its_end: int) -> None:
    """A call frees its slot when a small message is there, and otherwise at its end."""
    call, *_ = waiting.fill("acme", OWN_SLOTS)
    following, _ = waiting.add("acme")
    found = [waiting.complete(call, message), waiting.receiver.free(call)]
    assert found[at_its_end] == [following]
    assert found[1 - at_its_end] == []


def test_large_messages(waiting: Waiting) -> None:
    """While large messages take all slots, calls wait; then tenants begin in turn."""
    tenants = ["a", "b"]
    large = [call for tenant in tenants for call in waiting.fill(tenant, SLOTS // 2)]
    assert [waiting.complete(call, LARGE) for call in large] == [[]] * SLOTS
    queued = [waiting.add(tenant) for tenant in ("c", "c", "d")]
    assert [receives for _, receives in queued] == [False, False, False]
    (first, _), (second, _), (other, _) = queued
    assert waiting.receiver.free(large[0]) == [first, other, second]
    assert waiting.add("e")[1]


def test_idle_calls(waiting: Waiting) -> None:
    """However many calls wait for their messages, those of another tenant are received at once."""
    for number in range(100):
        waiting.fill(f"tenant-{number}", 2 * OWN_SLOTS)
    assert waiting.add("other")[1]


def test_idle_calls_beyond_slots(waiting: Waiting) -> None:
    """After a moment the calls beyond the slots end: of the tenants with the most, the oldest."""
    many, few = waiting.fill("many", OWN_SLOTS), waiting.fill("few", 2)
    more = waiting.fill("more", OWN_SLOTS)
    assert waiting.late(0.2) == {}
    ended = dict.fromkeys([*many[:3], *more[:3]], receiving.TOO_MANY_IDLE)
    assert waiting.late(0.1) == ended
    assert waiting.late(0) == {}
    assert [waiting.complete(call) for call in (few[0], many[0], many[3])] == [[], None, []]


def test_idle_calls_of_many_tenants(waiting: Waiting) -> None:
    """Of tenants with a call each those keep it that came last, if it is not only just there."""
    calls = [waiting.add(str(number))[0] for number in range(3 * SLOTS)]
    waiting.clock.now += 0.3
    new = [waiting.add(f"new-{number}")[0] for number in range(SLOTS + 1)]
    assert waiting.late(0).keys() == set(calls)
    assert waiting.late(0.3).keys() == {new[0]}


def test_idle_calls_beside_large_messages(waiting: Waiting) -> None:
    """Calls may wait in the slots that large messages leave."""
    for call in waiting.fill("large", OWN_SLOTS):
        waiting.complete(call, LARGE)
    idle = waiting.fill("idle", OWN_SLOTS)
    assert waiting.late(0.3).keys() == set(idle[: 2 * OWN_SLOTS - SLOTS])


def test_uploads_without_slots(waiting: Waiting) -> None:
    """An upload needs no slot, and takes none."""
    waiting.fill("acme", OWN_SLOTS)
    upload, receives = waiting.add("acme", UPLOAD)
    assert receives
    upload.add(LARGE)
    assert waiting.complete(upload, None) == []
    assert waiting.receiver.free(upload) == []


def test_complete_call(waiting: Waiting) -> None:
    """A call that has its message is waited for no longer."""
    call, _ = waiting.add("acme")
    assert waiting.complete(call) == []
    assert waiting.complete(call) is None
    assert waiting.late(60) == {}


def test_late_message(waiting: Waiting) -> None:
    """A call whose message does not come is late after ten seconds, and complete no more."""
    call, _ = waiting.add("acme")
    assert waiting.late(9) == {}
    assert waiting.late(1) == {call: str(MessageTimeout(10))}
    assert waiting.complete(call, LARGE) is None
    waiting.receiver.free(call)
    assert waiting.add("acme")[1]


def test_late_message_that_others_wait_for(waiting: Waiting) -> None:
    """If calls of its tenant wait a call is late after a second; they have a second then."""
    held = waiting.fill("acme", OWN_SLOTS)
    other, _ = waiting.add("other")
    following, _ = waiting.add("acme")
    assert waiting.late(0.5) == {}
    assert waiting.late(0.5).keys() == set(held)
    assert waiting.receiver.free(held[0]) == [following]
    waiting.fill("acme", OWN_SLOTS)
    assert waiting.late(0.9) == {}
    assert following in waiting.late(0.1)
    assert waiting.complete(other) == []


def test_late_slot(waiting: Waiting) -> None:
    """A call that has no slot in ten seconds is refused, and gets none later."""
    held = waiting.fill("acme", OWN_SLOTS)
    for call in held:
        waiting.complete(call, LARGE)
    queued, _ = waiting.add("acme")
    assert waiting.late(10) == {queued: receiving.TOO_MANY_WAITING}
    following, _ = waiting.add("acme")
    assert waiting.receiver.free(held[0]) == [following]


@pytest.mark.parametrize(("pause", "times", "seconds"), [(10, 1, 10), (6, 10, 60)])
def test_late_upload(waiting: Waiting, pause: float, times: int, seconds: int) -> None:
    """An upload is late if it pauses, and if it is not complete in a minute."""
    upload, _ = waiting.add("acme", UPLOAD)
    for _ in range(times - 1):
        assert waiting.late(pause) == {}
        upload.since = waiting.clock.now
    assert waiting.late(pause) == {upload: str(MessageTimeout(seconds))}


def test_messages_of_upload(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload may run at its end, or when it has more than it may have, for that to be told."""
    monkeypatch.setattr("twc_customer_server.contract.MAX_UPLOAD_CUSTOMERS", 2)
    monkeypatch.setattr("twc_customer_server.contract.MAX_UPLOAD_BYTES", 8)
    short, many, large = (waiting.call("acme", UPLOAD) for _ in range(3))
    assert [short.add(message) for message in (b"a", b"b", None)] == [False, False, True]
    assert [many.add(message) for message in (b"a", b"b", b"c")] == [False, False, True]
    assert [large.add(message) for message in (b"aaaa", b"bbbbb")] == [False, True]
