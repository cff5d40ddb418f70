"""Which streams have a place, and which make room for others."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.test_limits import Clock
from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.transport import places as placing
from twc_customer_server.transport.calls import Awaits, Call, Rpc
from twc_customer_server.transport.limits import Kind, Usage
from twc_customer_server.transport.places import Places

MOST = 4
NO_CALL: Any = None


def an_rpc(awaits: Awaits = Awaits.NOTHING, kind: Kind = Kind.BULK) -> Rpc:
    """An RPC that has streams."""
    return Rpc(awaits, kind, True, NO_CALL)  # noqa: FBT003


IMPORT, UPLOAD = an_rpc(), an_rpc(Awaits.ALL_MESSAGES)
WATCH = an_rpc(Awaits.MESSAGE, Kind.WAITING)


class Streams:
    """Places, and streams that want one."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.places = Places(MOST, "streams", self.clock)
        self._usages: dict[str, Usage] = {}

    def add(self, tenant: str, idle: float = -math.inf, rpc: Rpc = IMPORT) -> Call:
        """A stream of a tenant, whose client it waits for since some time, if at all."""
        call = Call(NO_CALL, rpc)
        call.caller = Caller(tenant, 0)
        call.usage = self._usages.setdefault(tenant, Usage(tenant))
        call.has_begun = True
        call.since = self.clock.now - idle
        self.places.take(call)
        return call

    def fill(self, *tenants: str, idle: float = -math.inf, rpc: Rpc = IMPORT) -> list[Call]:
        """Streams of tenants."""
        return [self.add(tenant, idle, rpc) for tenant in tenants]

    def ended(self, seconds: float = 0) -> list[Call]:
        """The streams that are to make room after some seconds."""
        self.clock.now += seconds
        return [call for call, _ in self.places.make_room()]


@pytest.fixture
def streams() -> Streams:
    """Places of which none is taken."""
    return Streams()


def test_turns(streams: Streams) -> None:
    """A free place is for the tenant with the fewest, of several for the one that waits longest."""
    held = streams.fill(*"aabb")
    more_a, more_b, first_c, second_c = streams.fill(*"abcc")
    assert [streams.places.leave(call) for call in held] == [first_c, more_a, more_b, second_c]
    assert streams.places.leave(held[0]) is None


def test_turn_of_who_used_places_least(streams: Streams) -> None:
    """Of tenants with as many places the next one is for that which has used them least of late."""
    used = streams.add("a")
    streams.clock.now += 10
    streams.places.leave(used)
    held = streams.fill(*"bbbb")
    again, newcomer = streams.fill(*"ac")
    assert [streams.places.leave(call) for call in held[:2]] == [newcomer, again]


def test_place_that_is_not_wanted(streams: Streams) -> None:
    """While no call waits, no stream is ended, however idle it is."""
    streams.fill(*"aaaa", idle=1000)
    assert streams.ended(1000) == []


IDLE, HELD = placing.IDLE_SECONDS, placing.HELD_SECONDS


@pytest.mark.parametrize(
    ("tenants", "idle", "seconds", "ends"),
    [
        pytest.param("aabbc", IDLE, 0, True, id="idle"),
        pytest.param("abcde", IDLE, 0, True, id="idle, one of each tenant"),
        pytest.param("aaabb", IDLE, 0, True, id="for a tenant with fewer"),
        pytest.param("aabbb", IDLE, 0, False, id="for a tenant with as many"),
        pytest.param("aabbc", IDLE - 1, 0, False, id="not idle for long"),
        pytest.param("aabbc", -math.inf, HELD - 1, False, id="at work"),
        pytest.param("aabbc", -math.inf, HELD, True, id="at work for long"),
        pytest.param("aabbb", -math.inf, HELD, False, id="at work for long, as many"),
    ],
)
def test_making_room(
    streams: Streams, tenants: str, idle: float, seconds: float, *, ends: bool
) -> None:
    """A stream makes room for a tenant with fewer, the last one, if its client has had its time."""
    *held, _ = streams.fill(*tenants)
    streams.clock.now += seconds
    for call in held:
        call.since = streams.clock.now - idle
    ended = streams.ended()
    assert len(ended) == ends
    assert {*ended} <= {*held}


@pytest.mark.parametrize(
    ("idle", "size", "ends"),
    [
        pytest.param(0.1, 1, True, id="slow"),
        pytest.param(0.1, 3 * placing.UPLOAD_BYTES_PER_SECOND + 1, False, id="fast"),
        pytest.param(-math.inf, 1, False, id="complete"),
    ],
)
def test_slow_upload(streams: Streams, idle: float, size: int, *, ends: bool) -> None:
    """An upload that comes slowly makes room, unless it has come."""
    held = streams.fill(*"aabb", rpc=UPLOAD)
    streams.add("c")
    streams.clock.now += IDLE + 3
    for call in held:
        call.since, call.size = streams.clock.now - idle, size
    assert bool(streams.ended()) == ends


def test_waiting_for_changes(streams: Streams) -> None:
    """Of calls that wait for changes the oldest of the tenant with the most makes room."""
    streams.add("b", rpc=WATCH)
    first, *_ = streams.fill(*"aaa", rpc=WATCH)
    streams.add("c", rpc=WATCH)
    assert streams.ended() == []
    assert streams.ended(IDLE) == [first]


def test_first_message(streams: Streams) -> None:
    """A stream whose first message does not come makes room sooner."""
    silent, *_ = streams.fill(*"aab", idle=placing.FIRST_SECONDS)
    silent.has_begun = False
    streams.fill(*"cd")
    assert streams.ended() == [silent]


def test_whose_streams_make_room(streams: Streams) -> None:
    """For each call a stream makes room, of the tenant with the most, that is idle for longest."""
    first, second, third, only = streams.fill(*"aaab", idle=IDLE)
    second.since -= 1
    only.since -= 9
    waiting = streams.add("c")
    assert streams.ended() == [second]
    assert streams.ended() == []
    streams.add("d")
    assert streams.ended() in ([first], [third])
    assert streams.places.leave(second) is waiting


@pytest.mark.parametrize("give_up", [Places.forgo, lambda places, _: places.take_late()])
def test_end_of_wait(streams: Streams, give_up: Callable[[Places, Call], object]) -> None:
    """A call that has given up, or waited for long, gets no place and wants none."""
    held = streams.fill(*"aaaa", idle=1000)
    waiting = streams.add("b")
    assert streams.places.take_late() == []
    streams.clock.now += placing.WAIT_SECONDS
    assert give_up(streams.places, waiting)
    assert streams.ended() == []
    assert not streams.places.forgo(waiting)
    assert streams.places.leave(held[0]) is None
