"""Bounds the memory of answers that clients have not taken, and the time for which they wait."""

import math
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from twc_customer_server import contract
from twc_customer_server.transport.calls import Call
from twc_customer_server.transport.limits import Usage

# Answers that are not taken, in bytes: of a tenant from which on none of its calls runs, of all,
# and of a tenant while there are so many of all.
TENANT_BYTES = 32 << 20
ALL_BYTES = 128 << 20
_SHARE_BYTES = 2 << 20

# What a call takes beside its answer.
CALL_BYTES = 16 << 10

# Answers that have waited for so long end while calls wait for them, or there are too many of all.
IDLE_SECONDS = 5

# Calls that have waited go on below this part of the bytes, so that they do not wait again at once.
_PART = 0.75


class Untaken:
    """Has the answers that are on their way to clients; calls beyond their limits wait for that.

    HTTP/2 lets a client take no answer of the calls that it makes, each of which would
    otherwise keep what it answers until the client goes.
    """

    def __init__(
        self, run: Callable[[Call], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`run` gets the calls that have waited."""
        self._run = run
        self._clock = clock
        # Guards what follows, and what tenants have not taken.
        self._lock = threading.Lock()
        # Calls that have been answered, by the time of that; the oldest is first.
        self._answered: dict[Call, float] = {}
        self._bytes = 0
        self._waiting: dict[Usage, dict[Call, None]] = {}

    def may_run(self, call: Call) -> bool:
        """Tells whether a call may run; otherwise it waits until its tenant has taken answers."""
        if call.usage.untaken < self._most():
            return True
        with self._lock:
            if call.usage.untaken < self._most():
                return True
            # Streams that wait here make room as those do that wait for their client.
            call.since = self._clock()
            self._waiting.setdefault(call.usage, {})[call] = None
        return False

    def forget(self, call: Call) -> bool:
        """Lets a call wait no longer; tells whether it waited."""
        with self._lock:
            waiting = self._waiting.get(call.usage, {})
            was_waiting = waiting.pop(call, call) is None
            if was_waiting and not waiting:
                del self._waiting[call.usage]
        return was_waiting

    def add(self, call: Call) -> None:
        """Counts the answer of a call until the call ends, which is when it is taken."""
        call.answer_bytes += CALL_BYTES
        with self._lock:
            self._answered[call] = self._clock()
            self._count(call, call.answer_bytes)
        call.incoming.on_end(partial(self._take, call))

    def tick(self) -> None:
        """Cancels calls whose answer is not taken; to be called several times a second."""
        with self._lock:
            late = self._late()
            following = [it for usage in [*self._waiting] for it in self._following(usage)]
        for call in late:
            call.incoming.cancel()
        self._go_on(following)

    def _take(self, call: Call) -> None:
        with self._lock:
            del self._answered[call]
            self._count(call, -call.answer_bytes)
            following = self._following(call.usage) if self._waiting else []
        self._go_on(following)

    def _go_on(self, calls: Iterable[Call]) -> None:
        for call in calls:
            call.since = math.inf
            self._run(call)

    def _late(self) -> list[Call]:
        """Returns the calls to cancel: those that are too old, and the oldest of too many."""
        now = self._clock()
        late = []
        left, of_tenants = self._bytes, dict[Usage, int]()
        for call, since in self._answered.items():
            is_idle = now - since >= contract.STREAM_IDLE_SECONDS
            if not is_idle and now - since < IDLE_SECONDS:
                break
            usage = call.usage
            of_tenant = of_tenants.get(usage, usage.untaken)
            is_wanted = usage in self._waiting and of_tenant >= self._most() * _PART
            is_much = left >= ALL_BYTES * _PART and of_tenant >= _SHARE_BYTES
            if is_idle or is_wanted or (is_much and self._bytes >= ALL_BYTES):
                late.append(call)
                left -= call.answer_bytes
                of_tenants[usage] = of_tenant - call.answer_bytes
        return late

    def _following(self, usage: Usage) -> list[Call]:
        """Removes and returns the calls of a tenant that wait, if they may go on."""
        if usage.untaken >= self._most() * _PART:
            return []
        return [*self._waiting.pop(usage, ())]

    def _most(self) -> int:
        """Returns the bytes from which on no call of a tenant runs."""
        return TENANT_BYTES if self._bytes < ALL_BYTES else _SHARE_BYTES

    def _count(self, call: Call, size: int) -> None:
        self._bytes += size
        call.usage.untaken += size
