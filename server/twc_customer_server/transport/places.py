"""Gives the places of long calls, as of uploads or those that wait for changes, in turn."""

import math
import time
from collections import Counter
from collections.abc import Callable, Container
from weakref import WeakKeyDictionary

from twc_customer_server.errors import Overloaded
from twc_customer_server.transport.calls import Awaits, Call
from twc_customer_server.transport.limits import Kind, Usage

# A call waits for a place so long.
WAIT_SECONDS = 8

# A stream makes room for a call that waits when its client has kept it waiting for so long,
# for its first message or for any other step, ...
FIRST_SECONDS = 0.5
IDLE_SECONDS = 2
# ... when it is an upload that has come more slowly, from so long after it got its place, than
# the largest one in the time below, ...
SLOW_SECONDS = 1
LARGEST_SECONDS = 16
# ... or when it is none, and has had its place for so long: it goes on from what was answered.
HELD_SECONDS = 5

# Of those times a stream has only this part, though no less than the first, where its tenant has
# used places for so many times as long of late as that of the call which waits, and so many
# seconds more.
GREEDY_PART = 0.25
_GREEDY_TIMES = 2
_GREEDY_SECONDS = 2

# In this time what a tenant has used of the places counts half.
_HALF_LIFE_SECONDS = 30

MAKES_ROOM = "the call made room for one of another tenant, which had fewer; go on with a new one"


class Places:
    """Has places for so many streams; none that its client leaves idle keeps other tenants out.

    A call that finds no place waits; the next place is for the tenant with the
    fewest, of several for the one that has used them least of late. While a call
    waits, a stream of a tenant with more places than its own must make room: one
    that waits for its client or for changes, an upload that comes slowly, or an
    import or export that has had its place for long; sooner if its tenant has used
    places far more than that of the call. Not thread-safe.
    """

    def __init__(self, most: int, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`name` is what errors call these streams."""
        self._most = most
        self._all_taken = f"too many {name} at the same time; try again after a while"
        self._clock = clock
        # Calls by the time at which they got their place, or began to wait for one.
        self._held: dict[Call, float] = {}
        self._waiting: dict[Call, float] = {}
        self._places: Counter[Usage] = Counter()
        # The seconds for which tenants have had places of late, as of when that was.
        self._used: WeakKeyDictionary[Usage, tuple[float, float]] = WeakKeyDictionary()
        # Streams that were told to make room, and for which calls.
        self._ending: dict[Call, Call] = {}

    def take(self, call: Call) -> bool:
        """Tells whether a call has a place now; otherwise it waits for one."""
        if len(self._held) < self._most:
            self._hold(call)
            return True
        self._waiting[call] = self._clock()
        return False

    def forgo(self, call: Call) -> bool:
        """Waits for a place no longer; tells whether the call waited for one."""
        return self._waiting.pop(call, None) is not None

    def leave(self, call: Call) -> Call | None:
        """Frees the place of a call, if it has one; returns the call that has it now."""
        since = self._held.pop(call, None)
        if since is None:
            return None
        now = self._clock()
        self._ending.pop(call, None)
        self._used[call.usage] = self._used_seconds(call.usage, now) + now - since, now
        self._places[call.usage] -= 1
        if not self._places[call.usage]:
            del self._places[call.usage]

        def turn(call: Call) -> tuple[int, float]:
            return self._places[call.usage], self._used_seconds(call.usage, now)

        following = min(self._waiting, key=turn, default=None)
        if following:
            del self._waiting[following]
            self._hold(following)
        return following

    def take_late(self) -> list[tuple[Call, Overloaded]]:
        """Removes and returns the calls that have waited too long, each with its error."""
        latest = self._clock() - WAIT_SECONDS
        late = [call for call, since in self._waiting.items() if since <= latest]
        return [(call, Overloaded(self._all_taken)) for call in late if self.forgo(call)]

    def make_room(self) -> list[tuple[Call, Overloaded]]:
        """Returns the streams to end for calls that wait, each with its error."""
        places = self._places.copy()
        for stream, call in self._ending.items():
            _move(places, stream, call)
        now = self._clock()
        used = {usage: self._used_seconds(usage, now) for usage in places}
        ended = []
        for call in self._waiting.keys() - self._ending.values():
            most = _GREEDY_TIMES * self._used_seconds(call.usage, now) + _GREEDY_SECONDS
            greedy = {usage for usage, seconds in used.items() if seconds > most}
            idle = self._idle_stream(places, places[call.usage], greedy)
            if idle:
                self._ending[idle] = call
                _move(places, idle, call)
                ended.append((idle, Overloaded(MAKES_ROOM)))
        return ended

    def _idle_stream(
        self, places: Counter[Usage], most: int, greedy: Container[Usage]
    ) -> Call | None:
        """Returns a stream to end, of the tenant with the most places, if it has more than so many.

        Of several it is the one that has been idle for longest. Those of greedy tenants need not
        have been so for long.
        """
        now = self._clock()
        idle = [
            call
            for call, since in self._held.items()
            if call not in self._ending
            and places[call.usage] > most
            and _may_end(
                call,
                now - since,
                now - call.since,
                GREEDY_PART if call.usage in greedy else 1,
            )
        ]
        return max(idle, key=lambda call: (places[call.usage], -call.since), default=None)

    def _hold(self, call: Call) -> None:
        self._held[call] = self._clock()
        self._places[call.usage] += 1

    def _used_seconds(self, usage: Usage, now: float) -> float:
        seconds, at = self._used.get(usage, (0.0, now))
        return seconds * math.exp2((at - now) / _HALF_LIFE_SECONDS)


def _may_end(call: Call, held: float, idle: float, part: float) -> bool:
    """Tells whether a stream may be ended that has had its place for some seconds.

    Its client has kept it waiting for `idle` seconds; minus infinity if it has not. It
    has a part of the usual times.
    """

    def of(usual: float) -> float:
        return max(usual * part, FIRST_SECONDS)

    if call.rpc.kind is Kind.WAITING:
        return held >= of(IDLE_SECONDS)
    if idle >= (of(IDLE_SECONDS) if call.has_begun else FIRST_SECONDS):
        return True
    if call.rpc.awaits is Awaits.ALL_MESSAGES:
        # One that is complete is soon over.
        return idle >= 0 and held >= of(SLOW_SECONDS) + LARGEST_SECONDS * call.part_received
    return held >= of(HELD_SECONDS)


def _move(places: Counter[Usage], stream: Call, call: Call) -> None:
    """Counts the place of a stream as that of a call."""
    places[stream.usage] -= 1
    places[call.usage] += 1
