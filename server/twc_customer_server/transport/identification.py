"""Identifies callers whose token was not verified before."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.contract import READ_SECONDS
from twc_customer_server.errors import KeysAwaited, ServiceError
from twc_customer_server.transport.executor import NOBODY, Executor
from twc_customer_server.transport.incoming import IncomingCall, Metadata
from twc_customer_server.transport.limits import Limits, Usage
from twc_customer_server.transport.timer import Timer

# The time for which a call waits for the keys of its token's issuer: a read must be
# answered before its deadline, also that it cannot be served now.
KEYS_SECONDS = READ_SECONDS - 1

Then = Callable[[Caller | Exception], object]


class Identity(Protocol):
    """Finds out who calls."""

    def cached(self, metadata: Metadata) -> Caller | ServiceError | None:
        """Returns the caller, or why it is refused, if that takes no more than a look."""

    def authenticate(self, metadata: Metadata, peer: Callable[[], str]) -> Caller:
        """Returns the caller. Raises ServiceError, KeysAwaited if it may be known later."""


class _Unknown:
    """A call whose caller is to be identified by metadata, until when, and what to do then."""

    __slots__ = ("incoming", "metadata", "then", "until", "usage")

    def __init__(
        self, incoming: IncomingCall, metadata: Metadata, then: Then, usage: Usage
    ) -> None:
        self.incoming = incoming
        self.metadata = metadata
        self.then = then
        self.usage = usage
        self.until = time.monotonic() + KEYS_SECONDS


class Identifier:
    """Identifies callers on threads; those that wait for keys take none meanwhile."""

    def __init__(
        self, identity: Identity, limits: Limits, executor: Executor, timer: Timer
    ) -> None:
        self.cached = identity.cached
        self._identity = identity
        self._limits = limits
        self._executor = executor
        self._timer = timer
        self._lock = threading.Lock()
        # Calls that wait for keys.
        self._parked: set[_Unknown] = set()

    def identify(self, incoming: IncomingCall, metadata: Metadata, then: Then) -> None:
        """Has a thread call `then` with the caller, or with what was raised. Raises Overloaded."""
        usage, delay = self._limits.admit_unknown()
        submit = partial(self._submit, _Unknown(incoming, metadata, then, usage))
        forgo = partial(self._limits.forgo, usage)
        self._timer.call_when_due(delay, incoming, submit, forgo)

    def _submit(self, unknown: _Unknown) -> None:
        self._executor.submit(NOBODY, partial(self._identify, unknown))

    def _identify(self, unknown: _Unknown) -> None:
        if not unknown.incoming.is_active():
            # Nobody waits for the answer: verifying the token would only take time.
            self._limits.forgo(unknown.usage)
            return
        try:
            outcome: Caller | Exception = self._identity.authenticate(
                unknown.metadata, unknown.incoming.peer
            )
        except KeysAwaited as error:
            if time.monotonic() < unknown.until and unknown.incoming.is_active():
                self._park(unknown, error)
                return
            outcome = error
        except Exception as error:  # noqa: BLE001 - every error has a status
            outcome = error
        self._limits.release(unknown.usage)
        unknown.then(outcome)

    def _park(self, unknown: _Unknown, error: KeysAwaited) -> None:
        """Has a call wait without a thread until keys are fetched, or its time is over."""
        with self._lock:
            self._parked.add(unknown)
        self._timer.call_later(KEYS_SECONDS, partial(self._give_up, unknown))
        error.fetched.add_done_callback(lambda _: self._unpark(unknown))

    def _give_up(self, unknown: _Unknown) -> None:
        # The timer may be a little early: without this the call would wait once more.
        unknown.until = 0
        self._unpark(unknown)

    def _unpark(self, unknown: _Unknown) -> None:
        with self._lock:
            was_parked = unknown in self._parked
            self._parked.discard(unknown)
        if was_parked:
            self._submit(unknown)
