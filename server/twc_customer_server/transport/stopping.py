"""Refuses calls that come when the server stops, and ends those that still run."""

import threading
import time
from collections.abc import Callable, Mapping

from twc_customer_server.errors import ServiceError, Stopping
from twc_customer_server.transport.calls import refuse
from twc_customer_server.transport.interface import Behavior, IncomingCall

Refuse = Callable[[IncomingCall, ServiceError], object]

# Clients have noticed that they are kept waiting when none has called for this time; there
# may be too many of them to wait for that longer.
_PAUSE_SECONDS = 0.03
_MOST_SECONDS = 0.5


class LateCalls:
    """Holds the calls that come while the server stops, and refuses them when clients know.

    grpcio cancels calls that reach it once it is told to stop, without a word
    of why, until its GOAWAY has reached their clients. A client that waits for
    an answer makes no other call, and a gateway prefers servers that answer:
    while calls are held, fewer come. A refusal arrives after the GOAWAY, so
    that what is tried again goes elsewhere.
    """

    def __init__(self, refusals: Mapping[Behavior, Refuse]) -> None:
        """`refusals` are how the calls of each handler are refused."""
        self.behaviors = [*refusals]
        self._refusals = refusals
        self._lock = threading.Lock()
        self._held: list[IncomingCall] = []
        self._is_holding = True

    def accept(self, incoming: IncomingCall) -> None:
        """Takes a call from grpcio."""
        with self._lock:
            is_held = self._is_holding
            if is_held:
                self._held.append(incoming)
        if not is_held:
            self._refuse(incoming)

    def await_pause(self) -> None:
        """Waits until no calls have come for a while, but not for long."""
        end = time.monotonic() + _MOST_SECONDS
        seen = -1
        while len(self._held) != seen and time.monotonic() < end:
            seen = len(self._held)
            time.sleep(_PAUSE_SECONDS)

    def refuse(self) -> None:
        """Refuses the calls that were held, and from here on those that come."""
        with self._lock:
            self._is_holding = False
        for incoming in self._held:
            self._refuse(incoming)

    def _refuse(self, incoming: IncomingCall) -> None:
        self._refusals[incoming.behavior](incoming, Stopping())


def refuse_call(incoming: IncomingCall, error: ServiceError) -> None:
    """Ends a call that is not of the service itself with an error."""
    incoming.run_with(refuse, error)
