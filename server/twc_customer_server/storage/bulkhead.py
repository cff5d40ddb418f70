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

# Time that a call may have a connection until it hangs, unless it is an upload.
HANGING_SECONDS = 1.0

# Time between looks for calls that hang, and for the database to take a cancellation.
_LOOK_SECONDS = 0.1
_CANCEL_SECONDS = 1

# The part of the connections that suspects may have while more than half of all are in use.
_SUSPECTS_PART = 4

# The part of the time in which a call hangs while others are cut: of many tenants that hang each
# would keep others waiting once.
_LIMITING_PART = 0.25

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
    """A call that uses a connection, or will soon, and since when it has had it."""

    __slots__ = ("connection", "is_cut", "since", "work")

    connection: psycopg.Connection[Any]

    def __init__(self, work: Work) -> None:
        self.work = work
        self.since = math.inf
        self.is_cut = False


class Bulkhead:
    """Watches the uses of connections, from `start` to `stop`.

    Work of which a call hangs is suspected of hanging until the database answers
    one. While more than half of all connections are in use, suspects have a
    quarter of them at most: others of theirs are refused at once, and those of their
    statements that hang are cancelled, the oldest first. One tenant alone is left to the limit
    of its threads: its calls may wait for each other.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`size` is the number of calls that can use connections at a time."""
        self._clock = clock
        self._size = size
        self._most = max(1, size // _SUSPECTS_PART)
        self._lock = threading.Lock()
        self._uses: set[Use] = set()
        # By the time at which they hung last, and in that order.
        self._suspects: dict[Work, float] = {}
        self._has_refused = self._is_limiting = False
        self._looks = Periodic("bulkhead", _LOOK_SECONDS, self.look)
        self.start, self.stop = self._looks.start, self._looks.stop

    def begin(self, work: Work) -> Use:
        """Notes that a call will use a connection. Raises Hangs if it may not."""
        use = Use(work)
        with self._lock:
            if work in self._suspects and self._is_crowded(1) and self._held(work) >= self._most:
                self._has_refused = True
                raise Hangs("the database does not answer calls of this kind and tenant")
            self._uses.add(use)
        return use

    def end(self, use: Use, *, is_answered: bool) -> None:
        """Notes that a call uses no connection any more, and whether the database answered it.

        Closes the connection if it was cut: it is not for other calls.
        """
        with self._lock:
            self._uses.discard(use)
            if is_answered and self._suspects:
                self._suspects.pop(use.work, None)
        if use.is_cut:
            # The cancellation, which may still be on its way, must hit no other call.
            use.connection.close()

    def look(self) -> None:
        """Suspects the calls that hang, and cancels those that are too many."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            part = _LIMITING_PART if self._is_limiting else 1
            hanging = [use for use in self._uses if now - use.since > use.work.seconds * part]
            hanging.sort(key=lambda use: use.since)
            for use in hanging:
                self._suspect(use.work, now)
            cut = self._to_cut(hanging)
            for use in cut:
                use.is_cut = True
            self._has_refused = False
        self._tell(is_limiting=bool(cut))
        for use in cut:
            threading.Thread(target=_cancel, args=(use.connection,), daemon=True).start()

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

    def _to_cut(self, hanging: list[Use]) -> list[Use]:
        """Returns the calls whose statements to cancel, of those that hang, the oldest first.

        All of them make room if other suspects were refused, so that one which the
        database could answer by now gets its turn.
        """
        if not self._is_crowded():
            return []
        if self._has_refused:
            excess = len(hanging)
        elif len({use.work.tenant for use in hanging}) > 1:
            excess = max(0, len(hanging) - self._most)
        else:
            excess = 0
        return [use for use in hanging[:excess] if not use.is_cut]

    def _is_crowded(self, more: int = 0) -> bool:
        return 2 * (len(self._uses) + more) > self._size

    def _held(self, work: Work) -> int:
        """Returns the number of connections that suspects of other tenants have."""
        held = (use.work for use in self._uses if use.work in self._suspects)
        return sum(it.tenant != work.tenant for it in held)

    def _tell(self, *, is_limiting: bool) -> None:
        """Logs when calls begin to be cut off, and when none is suspected any more."""
        if is_limiting and not self._is_limiting:
            self._is_limiting = True
            _log.error(
                "the database does not answer calls of some tenants, which are limited to "
                "%d connections: look for locks, or for a machine of a cluster, that hang",
                self._most,
            )
        elif self._is_limiting and not self._suspects:
            self._is_limiting = False
            _log.warning("the database answers calls of all tenants again")


def _cancel(connection: psycopg.Connection[Any]) -> None:
    """Asks the database to end a statement, which then fails, or has its effect, for certain."""
    with suppress(psycopg.Error):
        connection.cancel_safe(timeout=_CANCEL_SECONDS)
