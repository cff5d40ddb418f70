"""Keeps calls that hang in the database from taking all threads and connections (a bulkhead)."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Self

import psycopg
from psycopg_pool import PoolTimeout

from twc_customer_server.concurrency.periodic import Periodic
from twc_customer_server.telemetry.families import HANGING_CALLS
from twc_customer_server.telemetry.metrics import OwnMetrics

# Time that a call may have a connection until it hangs, unless it is an upload.
HANGING_SECONDS = 1.0

# Time between looks for calls that hang, and for the database to take a cancellation.
_LOOK_SECONDS = 0.1
_CANCEL_SECONDS = 1

# The part of the connections that suspects may have while more than half of all are in use.
_SUSPECTS_PART = 4

# The part of the time in which a call hangs while others are cut: of many tenants that hang each
# would keep others waiting once. A call that is answered within this part was answered quickly.
_LIMITING_PART = 0.25

# While no other call is answered, a call hangs after so many times its time, and only if the
# database has answered probes for some of it: it may be slow as a whole, when nobody gained by a
# cut, or have answered nothing until just now, when it is about to answer the calls, too.
_PATIENCE = 3
_PROBED_SECONDS = 1.0

# Probes are made each second while no call is answered: without one for longer than this the
# database has answered nothing meanwhile.
_PROBE_GAP_SECONDS = 2.0

# So many of the tenants whose calls are cut first are named in the log.
_NAMED = 5

# Suspects are remembered for so long after they hung last, and so many of them.
_SUSPECT_SECONDS = 60
_MOST_SUSPECTS = 10_000

_log = logging.getLogger(__name__)


class Work(NamedTuple):
    """Names what can hang by itself: the reads, the writes or the uploads of a tenant.

    A call of it hangs that has had a connection for so many seconds. The tenant is empty
    if it is of none alone.
    """

    tenant: str
    is_write: bool = False
    seconds: float = HANGING_SECONDS

    @classmethod
    def of(cls, parameters: Mapping[str, object], *, is_write: bool = False) -> Self:
        """Returns the work of a statement that runs alone, by its parameters."""
        return cls(str(parameters.get("tenant", "")), is_write)


class Hangs(PoolTimeout):
    """Work gets no connection, since its last call hung and others of such have their part."""


class Use:
    """A call that uses a connection, or will soon, since when it has had it, and the lead then.

    The lead is how many more calls were answered quickly than after the time of one that hangs.
    """

    __slots__ = ("connection", "is_cut", "lead", "since", "work")

    connection: psycopg.Connection[Any]

    def __init__(self, work: Work) -> None:
        self.work = work
        self.lead = 0
        self.since = math.inf
        self.is_cut = False


class Bulkhead:
    """Watches the uses of connections, from `start` to `stop`.

    A call hangs that has taken its time while the database answered others. Work of which
    a call hangs is suspected of hanging until the database answers one. While more than half
    of all connections are in use, suspects have a quarter of them at most: others of theirs
    are refused at once, and those of their statements that hang are cancelled, the oldest
    first. One tenant alone is left to the limit of its threads: its calls may wait for each
    other.
    """

    def __init__(
        self, size: int, metrics: OwnMetrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`size` is the number of calls that can use connections at a time."""
        self._cut = metrics.series(HANGING_CALLS, "cut")
        self._refused = metrics.series(HANGING_CALLS, "refused")
        self._clock = clock
        self._size = size
        self._most = max(1, size // _SUSPECTS_PART)
        self._lock = threading.Lock()
        self._uses: set[Use] = set()
        # By the time at which they hung last, and in that order.
        self._suspects: dict[Work, float] = {}
        self._has_refused = self._is_limiting = False
        # Of all calls so far.
        self._lead = 0
        # When the database answered the first and the last of the latest probes without a gap.
        self._probed_since = self._probed_at = -math.inf
        self._looks = Periodic("bulkhead", _LOOK_SECONDS, self.look)
        self.start, self.stop = self._looks.start, self._looks.stop

    def begin(self, work: Work) -> Use:
        """Notes that a call will use a connection. Raises Hangs if it may not."""
        use = Use(work)
        with self._lock:
            # The first condition spares most calls the second one, which costs more.
            is_suspect = self._suspects and work in self._suspects
            if is_suspect and self._is_crowded(1) and self._held(work) >= self._most:
                self._has_refused = True
                self._refused.add()
                raise Hangs("the database does not answer calls of this kind and tenant")
            self._uses.add(use)
        return use

    def take(self, use: Use, connection: psycopg.Connection[Any]) -> None:
        """Notes that a call has its connection from now on."""
        use.connection, use.since, use.lead = connection, self._clock(), self._lead

    def end(self, use: Use, *, is_answered: bool) -> None:
        """Notes that a call uses no connection any more, and whether the database answered it.

        Closes the connection if it was cut: it is not for other calls.
        """
        part = (self._clock() - use.since) / use.work.seconds
        with self._lock:
            self._uses.discard(use)
            if is_answered:
                # In between it may be this machine that is busy.
                self._lead += (part < _LIMITING_PART) - (part > 1)
                if self._suspects:
                    self._suspects.pop(use.work, None)
        if use.is_cut:
            # The cancellation, which may still be on its way, must hit no other call.
            use.connection.close()

    def note_probe(self) -> None:
        """Notes that the database has answered a probe, on a connection that no call uses."""
        now = self._clock()
        if now - self._probed_at > _PROBE_GAP_SECONDS:
            self._probed_since = now
        self._probed_at = now

    def look(self) -> None:
        """Suspects the calls that hang, and cancels those that are too many."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            hanging = [use for use in self._uses if self._hangs(use, now)]
            hanging.sort(key=lambda use: use.since)
            for use in hanging:
                self._suspect(use.work, now)
            cut = self._to_cut(hanging, now)
            for use in cut:
                use.is_cut = True
            self._has_refused = False
        self._tell(cut)
        self._cut.add(len(cut))
        for use in cut:
            threading.Thread(target=_cancel, args=(use.connection,), daemon=True).start()

    def _hangs(self, use: Use, now: float) -> bool:
        """Tells whether a call takes long while others since its beginning were mostly quick."""
        limit = use.work.seconds * (_LIMITING_PART if self._is_limiting else 1)
        held = now - use.since
        if held <= limit or self._lead < use.lead:
            return False
        # When none was answered, all connections may be taken by calls that hang.
        probed = self._probed_at - max(self._probed_since, use.since)
        is_probed = probed >= _PROBED_SECONDS and held > limit * _PATIENCE
        return self._lead > use.lead or self._is_limiting or is_probed

    def _suspect(self, work: Work, now: float) -> None:
        if work.tenant:
            self._suspects.pop(work, None)
            self._suspects[work] = now

    def _forget(self, now: float) -> None:
        """Forgets the suspects that hung long ago, and the oldest of too many."""
        while self._suspects:
            oldest = next(iter(self._suspects))
            is_late = self._suspects[oldest] < now - _SUSPECT_SECONDS
            if not (is_late or len(self._suspects) > _MOST_SUSPECTS):
                return
            del self._suspects[oldest]

    def _to_cut(self, hanging: list[Use], now: float) -> list[Use]:
        """Returns the calls whose statements to cancel, of those that hang, the oldest first.

        If other suspects were refused, all that have taken their whole time make room, so that
        one which the database could answer by now gets its turn.
        """
        if not self._is_crowded():
            return []
        is_of_several = len({use.work.tenant for use in hanging}) > 1
        excess = max(0, len(hanging) - self._most) if is_of_several else 0
        cut = hanging[:excess]
        if self._has_refused:
            cut += [use for use in hanging[excess:] if now - use.since > use.work.seconds]
        return [use for use in cut if not use.is_cut]

    def _is_crowded(self, more: int = 0) -> bool:
        return 2 * (len(self._uses) + more) > self._size

    def _held(self, work: Work) -> int:
        """Returns the number of connections that suspects of other tenants have."""
        held = (use.work for use in self._uses if use.work in self._suspects)
        return sum(it.tenant != work.tenant for it in held)

    def _tell(self, cut: list[Use]) -> None:
        """Logs when calls begin to be cut off, and when none is suspected any more."""
        if cut and not self._is_limiting:
            self._is_limiting = True
            tenants = sorted({use.work.tenant for use in cut if use.work.tenant})
            _log.error(
                "the database does not answer calls of some tenants (%s), which are limited to "
                "%d connections: look for locks, or for a machine of a cluster, that hang",
                ", ".join(tenants[:_NAMED] + ["…"] * (len(tenants) > _NAMED)),
                self._most,
            )
        elif self._is_limiting and not self._suspects:
            self._is_limiting = False
            _log.warning("the database answers calls of all tenants again")


def _cancel(connection: psycopg.Connection[Any]) -> None:
    """Asks the database to end a statement, which then fails, or has its effect, for certain."""
    with suppress(psycopg.Error):
        connection.cancel_safe(timeout=_CANCEL_SECONDS)
