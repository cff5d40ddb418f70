"""Gives the places of uploads, imports and exports to tenants in turn."""

import time
from collections import Counter
from collections.abc import Callable

from twc_customer_server import contract
from twc_customer_server.errors import Overloaded
from twc_customer_server.transport.calls import Call
from twc_customer_server.transport.limits import Usage

# A call waits for a place so long.
WAIT_SECONDS = 8

# A stream makes room for a call that waits when its client has kept it waiting for so long,
# for its first message or for any other step, ...
FIRST_SECONDS = 0.5
IDLE_SECONDS = 2
# ... or when it has had its place for so long, which is enough for any upload.
HELD_SECONDS = contract.UPLOAD_SECONDS

ALL_TAKEN = "too many uploads, imports and exports at the same time; try again after a while"
MAKES_ROOM = "the call made room for one of another tenant, which had fewer; go on with a new one"


class Places:
    """Has places for so many streams; none that its client leaves idle keeps other tenants out.

    A call that finds no place waits; the next place is for the tenant with the
    fewest. While a call waits, a stream of a tenant with more places
    than its own must make room: one that waits for its client, or that has
    had its place for long and waits for its client now. Not thread-safe.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        # Calls by the time at which they got their place, or began to wait for one.
        self._held: dict[Call, float] = {}
        self._waiting: dict[Call, float] = {}
        self._places: Counter[Usage] = Counter()
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
        if self._held.pop(call, None) is None:
            return None
        self._ending.pop(call, None)
        self._places[call.usage] -= 1
        if not self._places[call.usage]:
            del self._places[call.usage]
        following = min(self._waiting, key=lambda call: self._places[call.usage], default=None)
        if following:
            del self._waiting[following]
            self._hold(following)
        return following

    def take_late(self) -> list[tuple[Call, Overloaded]]:
        """Removes and returns the calls that have waited too long, each with its error."""
        latest = self._clock() - WAIT_SECONDS
        late = [call for call, since in self._waiting.items() if since <= latest]
        return [(call, Overloaded(ALL_TAKEN)) for call in late if self.forgo(call)]

    def make_room(self) -> list[tuple[Call, Overloaded]]:
        """Returns the streams to end for calls that wait, each with its error."""
        places = self._places.copy()
        for stream, call in self._ending.items():
            _move(places, stream, call)
        ended = []
        for call in self._waiting.keys() - self._ending.values():
            idle = self._idle_stream(places, places[call.usage])
            if idle:
                self._ending[idle] = call
                _move(places, idle, call)
                ended.append((idle, Overloaded(MAKES_ROOM)))
        return ended

    def _idle_stream(self, places: Counter[Usage], most: int) -> Call | None:
        """Returns an idle stream of the tenant with the most places, if it has more than so many.

        Of several it is the one that has been idle for longest.
        """
        now = self._clock()
        idle = [
            call
            for call, since in self._held.items()
            if call not in self._ending
            and places[call.usage] > most
            and call.since <= now - _most_seconds(call, now - since)
        ]
        return max(idle, key=lambda call: (places[call.usage], -call.since), default=None)

    def _hold(self, call: Call) -> None:
        self._held[call] = self._clock()
        self._places[call.usage] += 1


def _most_seconds(call: Call, held: float) -> float:
    """Returns how long a stream, which has had its place for some time, may wait for its client."""
    if held >= HELD_SECONDS:
        return 0
    return IDLE_SECONDS if call.has_begun else FIRST_SECONDS


def _move(places: Counter[Usage], stream: Call, call: Call) -> None:
    """Counts the place of a stream as that of a call."""
    places[stream.usage] -= 1
    places[call.usage] += 1
