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
THREADS, SLOTS, OWN_SLOTS = 1, 8, 5

UNARY, UPLOAD = Awaits.MESSAGE, Awaits.ALL_MESSAGES


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

    def late(self, seconds: float) -> dict[Call, str]:
        """The messages of calls that are late after some seconds."""
        self.clock.now += seconds
        return {call: str(error) for call, error in self.receiver.take_late()}


@pytest.fixture
def waiting() -> Waiting:
    """An empty receiver."""
    return Waiting()


def test_slots_of_a_tenant(waiting: Waiting) -> None:
    """A tenant has some of the slots; what it has beside them waits until one is free."""
    first, *_ = waiting.fill("acme", OWN_SLOTS)
    second, receives = waiting.add("acme")
    assert not receives
    assert waiting.add("other")[1]
    assert waiting.receiver.free(first) is second
    assert waiting.receiver.free(first) is None


def test_slots_of_all(waiting: Waiting) -> None:
    """Free slots go to tenants in turn, whoever has how many calls."""
    held = waiting.fill("a", OWN_SLOTS) + waiting.fill("b", SLOTS - OWN_SLOTS)
    queued = waiting.fill("b", 3)
    other, receives = waiting.add("c")
    assert not receives
    assert [waiting.receiver.free(call) for call in held[:3]] == [queued[0], other, queued[1]]


def test_uploads_without_slots(waiting: Waiting) -> None:
    """An upload needs no slot, and takes none."""
    waiting.fill("acme", OWN_SLOTS)
    upload, receives = waiting.add("acme", UPLOAD)
    assert receives
    assert waiting.receiver.complete(upload)
    assert waiting.receiver.free(upload) is None


def test_complete_call(waiting: Waiting) -> None:
    """A call that has its message is waited for no longer."""
    call, _ = waiting.add("acme")
    assert waiting.receiver.complete(call)
    assert not waiting.receiver.complete(call)
    assert waiting.late(60) == {}


def test_late_message(waiting: Waiting) -> None:
    """A call whose message does not come is late after ten seconds, and complete no more."""
    call, _ = waiting.add("acme")
    assert waiting.late(9) == {}
    assert waiting.late(1) == {call: str(MessageTimeout(10))}
    assert not waiting.receiver.complete(call)


def test_late_message_that_others_wait_for(waiting: Waiting) -> None:
    """If other calls wait for its slot a call is late after a second; they have a second then."""
    held = waiting.fill("acme", OWN_SLOTS)
    other, _ = waiting.add("other")
    following, _ = waiting.add("acme")
    assert waiting.late(0.5) == {}
    assert waiting.late(0.5).keys() == set(held)
    assert waiting.receiver.free(held[0]) is following
    waiting.fill("acme", OWN_SLOTS)
    assert waiting.late(0.9) == {}
    assert following in waiting.late(0.1)
    assert waiting.receiver.complete(other)


def test_late_message_while_all_slots_are_taken(waiting: Waiting) -> None:
    """Where no slot is left the calls of every tenant give way to those that wait."""
    held = waiting.fill("a", OWN_SLOTS) + waiting.fill("b", SLOTS - OWN_SLOTS)
    assert waiting.late(1) == {}
    waiting.add("c")
    assert waiting.late(0).keys() == set(held)


def test_late_slot(waiting: Waiting) -> None:
    """A call that has no slot in ten seconds is refused, and gets none later."""
    held = waiting.fill("acme", OWN_SLOTS)
    for call in held:
        waiting.receiver.complete(call)
    queued, _ = waiting.add("acme")
    assert waiting.late(10) == {queued: receiving.TOO_MANY_WAITING}
    following, _ = waiting.add("acme")
    assert waiting.receiver.free(held[0]) is following


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
