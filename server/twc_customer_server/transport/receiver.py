"""Decides whose messages are received, and which calls have waited too long for theirs."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter

from twc_customer_server import contract
from twc_customer_server.concurrency.fair_queue import FairQueue
from twc_customer_server.errors import MessageTimeout, Overloaded, ServiceError
from twc_customer_server.transport.calls import Awaits, Call
from twc_customer_server.transport.limits import Usage

# Slots for all, and those that a tenant may have beside one for each thread.
_SLOTS_PER_THREAD = 4
_SLOTS_AHEAD = 4

# A message must come in this time, and in the shorter one if others of its tenant wait.
MESSAGE_SECONDS = 10
SLOT_SECONDS = 1

# Calls keep slots beyond those for all so long, in which messages sent with the headers come.
_SURPLUS_SECONDS = 0.25

# What a client can send of a message before it is received: HTTP/2's first window.
WINDOW_BYTES = 64 << 10

TOO_MANY_WAITING = "too many calls wait for their turn; try again after a while"
TOO_MANY_IDLE = "too many calls wait for their message; send it with the headers"


class Receiver:
    """Has the messages of calls received; none that does not come keeps another tenant waiting.

    A unary call has a slot while it waits for its message, which may be as
    large as gRPC lets it be, and until its end if that is a large one. So
    slots bound the server's memory. A tenant has few of them. All tenants
    together have more than there are for a moment at most: then the calls
    that have waited longest end, of the tenants with the most. Uploads need
    no slot, since their number is bounded otherwise. Not thread-safe: its
    methods return the calls to receive for when no lock is held.
    """

    def __init__(self, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Has slots for as many calls as can keep so many threads busy."""
        self._most = threads * _SLOTS_PER_THREAD
        self._most_per_tenant = threads + _SLOTS_AHEAD
        self._clock = clock
        # Large messages of calls that have not ended.
        self._large = 0
        # Calls that are not complete, and of them those that need a slot and have none.
        self._waiting: dict[Call, None] = {}
        self._queue: FairQueue[Usage, Call] = FairQueue()

    def add(self, call: Call) -> bool:
        """Takes a call that waits for its messages; tells whether to receive it now."""
        self._waiting[call] = None
        call.began = call.since = self._clock()
        if call.rpc.awaits is not Awaits.MESSAGE:
            return True
        if self._may_receive(call.usage):
            self._take_slot(call)
            return True
        self._queue.add(call.usage, call)
        return False

    def complete(self, call: Call) -> list[Call] | None:
        """Notes that a call has its messages; returns the calls to receive now.

        Returns None if the call was waited for no longer.
        """
        if self._waiting.pop(call, self) is not None:
            return None
        call.since = math.inf
        if call.has_slot and call.size > WINDOW_BYTES:
            call.is_large = True
            self._large += 1
        # That of a cancelled call is freed at its end, so that many are not freed in one another.
        return self.free(call) if call.size and not call.is_large else []

    def free(self, call: Call) -> list[Call]:
        """Frees the slot of a call that needs it no longer; returns the calls to receive now."""
        if not call.has_slot:
            return []
        was_full = self._large >= self._most
        self._large -= call.is_large
        call.has_slot = call.is_large = False
        call.usage.slots -= 1
        return self._next() if was_full or call.usage in self._queue else []

    def take_late(self) -> list[tuple[Call, ServiceError]]:
        """Removes and returns the calls that took too long, each with its error."""
        now = self._clock()
        waiting = [*self._waiting]
        late = [(call, error) for call in waiting if (error := self._lateness(call, now))]
        late += ((call, Overloaded(TOO_MANY_IDLE)) for call in self._surplus(waiting, now))
        return [it for it in late if self.forget(it[0])]

    def forget(self, call: Call) -> bool:
        """Waits for a call's messages no longer; tells whether they were waited for."""
        return self._waiting.pop(call, self) is None

    def _lateness(self, call: Call, now: float) -> ServiceError | None:
        """Returns the error of a call that has taken too long."""
        idle = now - call.since
        if call.rpc.awaits is Awaits.MESSAGE and not call.has_slot:
            return Overloaded(TOO_MANY_WAITING) if idle >= MESSAGE_SECONDS else None
        if now - call.began >= contract.UPLOAD_SECONDS:
            return MessageTimeout(contract.UPLOAD_SECONDS)
        is_wanted = call.has_slot and call.usage in self._queue
        seconds = SLOT_SECONDS if is_wanted else MESSAGE_SECONDS
        return MessageTimeout(seconds) if idle >= seconds else None

    def _surplus(self, waiting: Sequence[Call], now: float) -> list[Call]:
        """Returns the calls that have slots beyond those for all, if that is not just so.

        The newest call of each tenant keeps its slot first, then the second of each.
        """
        places: Counter[Usage] = Counter()
        ranked = []
        for call in reversed(waiting):
            if call.has_slot:
                ranked.append((places[call.usage], call))
                places[call.usage] += 1
        ranked.sort(key=itemgetter(0))
        surplus = ranked[max(0, self._most - self._large) :]
        return [call for _, call in surplus if now - call.since >= _SURPLUS_SECONDS]

    def _next(self) -> list[Call]:
        following = []
        while taken := self._queue.take(self._may_receive):
            call = taken[1]
            # It may have been late meanwhile.
            if call in self._waiting:
                self._take_slot(call)
                call.since = self._clock()
                following.append(call)
        return following

    def _may_receive(self, usage: Usage) -> bool:
        return self._large < self._most and usage.slots < self._most_per_tenant

    @staticmethod
    def _take_slot(call: Call) -> None:
        call.has_slot = True
        call.usage.slots += 1
