"""Decides whose messages are received, and which calls have waited too long for theirs."""

import time
from collections.abc import Callable

from twc_customer_server import contract
from twc_customer_server.concurrency.fair_queue import FairQueue
from twc_customer_server.errors import MessageTimeout, Overloaded, ServiceError
from twc_customer_server.transport.calls import Awaits, Call
from twc_customer_server.transport.limits import Usage

# Slots for all, and those that a tenant may have beside one for each thread.
_SLOTS_PER_THREAD = 8
_SLOTS_AHEAD = 4

# A message must come in this time, and in the shorter one if other calls wait for the slot.
MESSAGE_SECONDS = 10
SLOT_SECONDS = 1

TOO_MANY_WAITING = "too many calls wait for their turn; try again after a while"


class Receiver:
    """Has the messages of calls received, of tenants in turn, as far as there are slots.

    A unary call has a slot from when its message is received until its end.
    As a message may be as large as gRPC lets it be, slots bound the server's
    memory. Uploads need none, since their number is bounded otherwise. Not
    thread-safe: its methods return the calls to receive for when no lock is
    held.
    """

    def __init__(self, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Has slots for as many calls as can keep so many threads busy."""
        self._free_slots = threads * _SLOTS_PER_THREAD
        self._most_per_tenant = threads + _SLOTS_AHEAD
        self._clock = clock
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

    def complete(self, call: Call) -> bool:
        """Notes that a call has its messages; tells whether it was still waited for.

        It needs no lock.
        """
        return self._waiting.pop(call, self) is None

    def free(self, call: Call) -> Call | None:
        """Frees the slot of a call that has ended; returns a call to receive now."""
        if not call.has_slot:
            return None
        call.has_slot = False
        self._free_slots += 1
        call.usage.slots -= 1
        return self._next() if self._queue else None

    def take_late(self) -> list[tuple[Call, ServiceError]]:
        """Removes and returns the calls that took too long, each with its error."""
        now = self._clock()
        waiting = list(self._waiting)
        late = [(call, error) for call in waiting if (error := self._lateness(call, now))]
        return [it for it in late if self._waiting.pop(it[0], self) is None]

    def _lateness(self, call: Call, now: float) -> ServiceError | None:
        """Returns the error of a call that has taken too long."""
        idle = now - call.since
        if call.rpc.awaits is Awaits.MESSAGE and not call.has_slot:
            return Overloaded(TOO_MANY_WAITING) if idle >= MESSAGE_SECONDS else None
        if now - call.began >= contract.UPLOAD_SECONDS:
            return MessageTimeout(contract.UPLOAD_SECONDS)
        is_wanted = self._queue and (not self._free_slots or call.usage in self._queue)
        seconds = SLOT_SECONDS if call.has_slot and is_wanted else MESSAGE_SECONDS
        return MessageTimeout(seconds) if idle >= seconds else None

    def _next(self) -> Call | None:
        while taken := self._queue.take(self._may_receive):
            call = taken[1]
            # It may have been late meanwhile.
            if call in self._waiting:
                self._take_slot(call)
                call.since = self._clock()
                return call
        return None

    def _may_receive(self, usage: Usage) -> bool:
        return self._free_slots > 0 and usage.slots < self._most_per_tenant

    def _take_slot(self, call: Call) -> None:
        call.has_slot = True
        call.usage.slots += 1
        self._free_slots -= 1
