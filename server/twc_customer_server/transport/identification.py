"""Identifies callers whose token was not verified before."""

import math
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.auth.fetchers import source_of
from twc_customer_server.concurrency.fair_queue import FairQueue
from twc_customer_server.contract import READ_SECONDS
from twc_customer_server.errors import KeysAwaited, Overloaded, ServiceError
from twc_customer_server.transport.interface import IncomingCall, Metadata
from twc_customer_server.transport.limits import Limits, Pace
from twc_customer_server.transport.short_tasks import ShortTasks
from twc_customer_server.transport.timer import Timer

# The time for which a call waits for the keys of its token's issuer: a read must be
# answered before its deadline, also that it cannot be served now.
KEYS_SECONDS = READ_SECONDS - 1

# Callers that are identified; forged tokens must not keep the interpreter busy.
_PER_SECOND = 1000
_BURST_SECONDS = 0.1

Then = Callable[[Caller | Exception], object]


class Identity(Protocol):
    """Finds out who calls."""

    def cached(self, metadata: Metadata) -> Caller | ServiceError | None:
        """Returns the caller, or why it is refused, if that takes no more than a look."""

    def authenticate(
        self, metadata: Metadata, peer: Callable[[], str], came_at: float = math.inf
    ) -> Caller:
        """Returns the caller of a call that came at some time.

        Raises ServiceError, KeysAwaited if the caller may be known later.
        """


class _Unknown:
    """A call whose caller is to be identified by metadata, from when until when, and what then.

    `network` is where it comes from, `tenant` that which it names.
    """

    __slots__ = ("came_at", "incoming", "metadata", "network", "tenant", "then", "until")

    def __init__(self, incoming: IncomingCall, metadata: Metadata, then: Then) -> None:
        self.incoming = incoming
        self.metadata = metadata
        self.then = then
        headers = dict(metadata)
        self.network = source_of(incoming.peer(), str(headers.get("x-forwarded-for", "")))
        self.tenant = headers.get("x-twc-tenant", "")
        self.came_at = time.monotonic()
        self.until = self.came_at + KEYS_SECONDS


class Identifier:
    """Identifies callers on a thread; those that wait for keys take none meanwhile.

    Calls wait for their time. The networks that they come from take turns,
    then the tenants that those name, so that whoever sends many delays no
    newcomer from elsewhere. Where a network has as many as it may have, the last
    of the tenant with the most gives way to a call that names one with fewer. Calls
    of a caller who is known by now need no time.
    """

    def __init__(
        self,
        identity: Identity,
        limits: Limits,
        tasks: ShortTasks,
        timer: Timer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cached = identity.cached
        self._identity = identity
        self._limits = limits
        self._tasks = tasks
        self._timer = timer
        self._clock = clock
        self._lock = threading.Lock()
        # Calls that wait for their turn, by network and tenant.
        self._queues: dict[str, FairQueue[object, _Unknown]] = {}
        # Times at which the next of them is identified, as many as there are calls.
        self._times = 0
        self._pace = Pace()
        # Calls that have not been identified, those among them that wait for keys.
        self._counted: set[_Unknown] = set()
        self._parked: set[_Unknown] = set()

    def identify(self, incoming: IncomingCall, metadata: Metadata, then: Then) -> None:
        """Has a thread call `then` with the caller, or with what was raised. Raises Overloaded."""
        unknown = _Unknown(incoming, metadata, then)
        self._admit(unknown)
        delay = None
        with self._lock:
            self._counted.add(unknown)
            queue = self._queues.setdefault(unknown.network, FairQueue())
            queue.add(unknown.tenant, unknown)
            if self._times < len(self._counted):
                self._times += 1
                delay = self._pace.delay(self._clock(), 1 / _PER_SECOND, _BURST_SECONDS)
        incoming.on_end(partial(self._forgo, unknown))
        if delay is not None:
            on_time = partial(self._tasks.submit, self._identify_next)
            if delay:
                self._timer.call_later(delay, on_time)
            else:
                on_time()

    def _admit(self, unknown: _Unknown) -> None:
        """Counts a call, in place of another if need be. Raises Overloaded."""
        try:
            self._limits.admit_unknown(unknown.network)
        except Overloaded as error:
            with self._lock:
                queue = self._queues.get(unknown.network)
                surplus = queue.take_surplus(unknown.tenant) if queue else None
            if surplus is None:
                raise
            self._tell(surplus, error)
            self._limits.admit_unknown(unknown.network)

    def _forgo(self, unknown: _Unknown) -> None:
        """Forgets a call that has ended, if it waits."""
        if self._release(unknown):
            with self._lock:
                queue = self._queues.get(unknown.network, FairQueue())
                queue.discard(unknown.tenant, unknown)
                if not queue:
                    self._queues.pop(unknown.network, None)

    def _release(self, unknown: _Unknown) -> bool:
        """Counts a call no longer; tells whether it was counted."""
        with self._lock:
            was_counted = unknown in self._counted
            self._counted.discard(unknown)
        if was_counted:
            self._limits.release_unknown(unknown.network)
        return was_counted

    def _identify_next(self) -> None:
        """Identifies the caller whose turn it is, and whoever is known before it."""
        with self._lock:
            self._times -= 1
        while unknown := self._take():
            known = self.cached(unknown.metadata)
            if not known:
                self._identify(unknown)
                return
            self._tell(unknown, known)

    def _take(self) -> _Unknown | None:
        """Removes and returns the call whose turn it is."""
        with self._lock:
            while self._queues:
                network = next(iter(self._queues))
                queue = self._queues.pop(network)
                taken = queue.take()
                if queue:
                    self._queues[network] = queue
                if taken:
                    return taken[1]
        return None

    def _identify(self, unknown: _Unknown) -> None:
        if not unknown.incoming.is_active():
            # Nobody waits for the answer: verifying the token would only take time.
            return
        try:
            caller = self._identity.authenticate(
                unknown.metadata, unknown.incoming.peer, unknown.came_at
            )
        except KeysAwaited as error:
            if time.monotonic() < unknown.until and unknown.incoming.is_active():
                self._park(unknown, error)
            else:
                self._tell(unknown, error)
        except Exception as error:  # noqa: BLE001 - every error has a status
            self._tell(unknown, error)
        else:
            self._tell(unknown, caller)

    def _tell(self, unknown: _Unknown, outcome: Caller | Exception) -> None:
        if self._release(unknown):
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
            self._tasks.submit(partial(self._identify, unknown))
