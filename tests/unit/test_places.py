"""Which streams have a place, and which make room for others."""

import math
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest

from tests.unit.test_limits import Clock
from twc_customer_server import contract
from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.errors import Overloaded
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


# A little more than what must have come of an upload three seconds after it may be slow.
_PART = 3 / placing.LARGEST_SECONDS + 0.01


@pytest.mark.parametrize(
    ("idle", "size", "items", "ends"),
    [
        pytest.param(0.1, 1, 1, True, id="slow"),
        pytest.param(0.1, int(_PART * contract.MAX_UPLOAD_BYTES), 1, False, id="fast"),
        pytest.param(
            0.1, 1, int(_PART * contract.MAX_UPLOAD_CUSTOMERS), False, id="of many small items"
        ),
        pytest.param(-math.inf, 1, 1, False, id="complete"),
    ],
)
def test_slow_upload(streams: Streams, idle: float, size: int, items: int, *, ends: bool) -> None:
    """An upload that comes slowly makes room, unless it has come."""
    held = streams.fill(*"aabb", rpc=UPLOAD)
    streams.add("c")
    streams.clock.now += placing.SLOW_SECONDS + 3
    for call in held:
        for _ in range(items):
            call.add(b"")
        call.since, call.size = streams.clock.now - idle, size
    assert bool(streams.ended()) == ends


@pytest.mark.parametrize("rpc", [UPLOAD, IMPORT, WATCH], ids=["upload", "import", "wait"])
@pytest.mark.parametrize(
    ("tenant", "is_new"),
    [pytest.param("c", True, id="new"), pytest.param("d", False, id="like them")],
)
def test_greedy_tenant(streams: Streams, rpc: Rpc, tenant: str, *, is_new: bool) -> None:
    """A stream makes room sooner for a tenant that has used places far less than its own."""
    for call in [streams.add(name) for name in ("a", "b", "d")]:
        streams.clock.now += 10
        streams.places.leave(call)
    streams.clock.now += 1
    held = streams.fill(*"aabb", rpc=rpc)
    streams.add(tenant, rpc=rpc)
    usual = {UPLOAD: placing.SLOW_SECONDS, IMPORT: HELD, WATCH: IDLE}[rpc]
    seconds = max(usual * placing.GREEDY_PART, placing.FIRST_SECONDS) if is_new else usual
    for call in held:
        call.since = math.inf if rpc is IMPORT else streams.clock.now + seconds - 0.2
    assert streams.ended(seconds - 0.1) == []
    assert len(streams.ended(0.2)) == 1


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


class Incoming:
    """A call of a transport, which notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: self.done.append(name)


@pytest.mark.parametrize(
    ("rpc", "is_sending", "how"),
    [
        (UPLOAD, True, "cancel"),
        (IMPORT, True, "reject"),
        (WATCH, True, "reject"),
        (UPLOAD, False, "end_with"),
        (WATCH, False, "end_with"),
    ],
)
def test_end_of_stream_that_makes_room(rpc: Rpc, is_sending: bool, how: str) -> None:  # noqa: FBT001
    """A client that takes nothing is told so in short, or nothing, if what it sent is stored."""
    incoming: Any = Incoming()
    handler: Any = Incoming()
    call = Call(incoming, rpc._replace(handler=handler))
    call.is_sending, call.since = is_sending, 0
    assert call.end(Overloaded("make room"))
    assert incoming.done == [how]


@pytest.mark.parametrize("is_sending", [False, True])
@pytest.mark.parametrize("rpc", [IMPORT, UPLOAD])
def test_end_of_stream_at_work(rpc: Rpc, is_sending: bool) -> None:  # noqa: FBT001
    """A stream at work, whose client takes what it sends, goes on to its next response."""
    incoming: Any = Incoming()
    call = Call(incoming, rpc)
    call.is_sending, call.since = is_sending, time.monotonic() if is_sending else math.inf
    assert not call.end(Overloaded("make room"))
    assert incoming.done == []


def test_end_of_upload_between_results() -> None:
    """An upload that is to make room between two of its results is cancelled, too."""
    incoming: Any = Incoming()
    handler: Any = Incoming()

    def handle(*_: object, **__: object) -> Generator[str]:
        call.end(Overloaded("make room"))
        yield "result"
        yield "another"

    handler.handle = handle
    call = Call(incoming, UPLOAD._replace(handler=handler))
    call.run(lambda _: None)
    incoming.done.clear()
    assert [*call._handle_streaming(iter(()), NO_CALL)] == ["result"]  # noqa: SLF001
    assert (incoming.done, handler.done) == (["cancel"], [])
