"""Refuses calls that come when the server stops, and ends those that still run."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from twc_customer_server.errors import ServiceError, Stopping
from twc_customer_server.transport.calls import refuse
from twc_customer_server.transport.interface import Behavior, IncomingCall, is_gateway

Refuse = Callable[[IncomingCall, ServiceError], object]

# Time in which it is seen who calls: one that calls again and again does so by then, though its
# machine be busy.
SEEN_SECONDS = 0.2

# Clients have noticed that they are kept waiting when each that was seen waits, and none has
# called for this time; some may have left, and there may be too many to wait for that longer.
_PAUSE_SECONDS = 0.03
_MOST_SECONDS = 0.5


class LateCalls:
    """Holds the calls that come while the server stops, and refuses them when clients know.

    grpcio cancels calls that reach it once it is told to stop, without a word
    of why, until its GOAWAY has reached their clients. A client that waits for
    an answer makes no other call, and a gateway prefers servers that answer:
    while calls are held, fewer come. A client that was seen to call is waited
    for until it has as many calls open as it had at a time: until then it may
    be about to send the next one, however long its machine keeps it from that.
    A refusal arrives after the GOAWAY, so that what is tried again goes
    elsewhere.
    """

    def __init__(self, refusals: Mapping[Behavior, Refuse]) -> None:
        """`refusals` are how the calls of each handler are refused."""
        self.behaviors = [*refusals]
        self._refusals = refusals
        self._lock = threading.Lock()
        self._held: list[IncomingCall] = []
        self._is_holding = True
        # The calls that clients have open now, and the most that they had at a time.
        self._open: Counter[str] = Counter()
        self._most: dict[str, int] = {}

    def see(self, incoming: IncomingCall) -> None:
        """Notes that a client calls, which may call again soon."""
        peer = incoming.peer()
        if is_gateway(peer):
            return
        with self._lock:
            self._open[peer] += 1
            self._most[peer] = max(self._most.get(peer, 0), self._open[peer])
        incoming.on_end(partial(self._note_end, peer))

    def accept(self, incoming: IncomingCall) -> None:
        """Takes a call from grpcio."""
        self.see(incoming)
        with self._lock:
            is_held = self._is_holding
            if is_held:
                self._held.append(incoming)
        if not is_held:
            self._refuse(incoming)

    def await_pause(self) -> None:
        """Waits until clients wait and no calls have come for a while, but not for long."""
        end = time.monotonic() + _MOST_SECONDS
        held = -1
        while (len(self._held) != held or not self._all_wait()) and time.monotonic() < end:
            held = len(self._held)
            time.sleep(_PAUSE_SECONDS)

    def refuse(self) -> None:
        """Refuses the calls that were held, and from here on those that come."""
        with self._lock:
            self._is_holding = False
        for incoming in self._held:
            self._refuse(incoming)

    def _note_end(self, peer: str) -> None:
        with self._lock:
            self._open[peer] -= 1

    def _all_wait(self) -> bool:
        """Tells whether each client that was seen has as many calls open as it had at a time."""
        with self._lock:
            return all(self._open[peer] >= most for peer, most in self._most.items())

    def _refuse(self, incoming: IncomingCall) -> None:
        self._refusals[incoming.behavior](incoming, Stopping())


def refuse_call(incoming: IncomingCall, error: ServiceError) -> None:
    """Ends a call that is not of the service itself with an error."""
    incoming.run_with(refuse, error)
