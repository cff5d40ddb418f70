"""Decides which large bodies are read now: few of a tenant, and few bytes of all."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, NamedTuple, TypeVar

from twc_customer_server import contract

# Large bodies of a tenant that are read at a time, and those that wait for one of them to end.
MOST = 4
MOST_WAITING = 12

# A body may have this part of the bytes that all others leave, so that some are always left for
# smaller ones, ...
PART_LEFT = 4
# ... of which these are not counted.
SMALL_BYTES = 64 << 10

Key = TypeVar("Key", bound=Hashable)


class Body(NamedTuple):
    """A body of a tenant, and the bytes that it says to have, or may have."""

    tenant: str
    size: int


class BodyShares(Generic[Key]):
    """Has places for bodies, by tenant and by bytes; what has none waits. Not thread-safe.

    The next place is for the tenant with the fewest, of several for the one that got its
    last one longest ago. Those whose next body has too many bytes are passed over, so that
    some are left for smaller ones.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        # The bytes of all, which the gateway tells.
        self.most_bytes = 0
        self._clock = clock
        self._read: dict[Key, Body] = {}
        self._numbers: Counter[str] = Counter()
        self._bytes = 0
        # The number of the last place of each tenant that has one, or waits for one.
        self._turns: dict[str, int] = {}
        self._places = 0
        # By tenant, with the time at which each began to wait.
        self._waiting: defaultdict[str, dict[Key, tuple[Body, float]]] = defaultdict(dict)

    def take(self, key: Key, body: Body) -> bool:
        """Tells whether a body is read now."""
        if not self._may_read(body):
            return False
        self._read[key] = body
        self._numbers[body.tenant] += 1
        self._bytes += body.size
        self._places += 1
        self._turns[body.tenant] = self._places
        return True

    def wait(self, key: Key, body: Body) -> bool:
        """Tells whether a body waits that is not read now; otherwise it is one too many."""
        waiting = self._waiting.get(body.tenant, {})
        if len(waiting) >= MOST_WAITING:
            return False
        self._waiting[body.tenant][key] = body, self._clock()
        return True

    def leave(self, key: Key, tenant: str) -> list[Key]:
        """Forgets a body of a tenant that has ended; returns those that are read from now on."""
        body = self._read.pop(key, None)
        if body:
            self._bytes -= body.size
            self._numbers[tenant] -= 1
            if not self._numbers[tenant]:
                del self._numbers[tenant]
        self._forget(key, tenant)
        return self._take_following() if body else []

    def _take_following(self) -> list[Key]:
        """Takes bodies that wait, tenant by tenant in turn, while there is one for which it can."""
        following = []
        turns = [self._turn(tenant) for tenant in self._waiting]
        heapify(turns)
        while turns:
            _, _, tenant = heappop(turns)
            key, (body, _) = next(iter(self._waiting[tenant].items()))
            if self.take(key, body):
                self._forget(key, tenant)
                following.append(key)
                if tenant in self._waiting:
                    heappush(turns, self._turn(tenant))
        return following

    def _turn(self, tenant: str) -> tuple[int, int, str]:
        return self._numbers[tenant], self._turns.get(tenant, 0), tenant

    def take_late(self) -> list[Key]:
        """Removes and returns the bodies that have waited for too long."""
        latest = self._clock() - contract.LARGE_BODY_WAIT_SECONDS
        late = [
            (key, tenant)
            for tenant, waiting in self._waiting.items()
            for key, (_, since) in waiting.items()
            if since <= latest
        ]
        for key, tenant in late:
            self._forget(key, tenant)
        return [key for key, _ in late]

    def _may_read(self, body: Body) -> bool:
        if self._numbers[body.tenant] >= MOST:
            return False
        left = self.most_bytes - self._bytes
        return body.size <= max(SMALL_BYTES, left / PART_LEFT)

    def _forget(self, key: Key, tenant: str) -> None:
        waiting = self._waiting.get(tenant, {})
        waiting.pop(key, None)
        if not waiting:
            self._waiting.pop(tenant, None)
            if tenant not in self._numbers:
                self._turns.pop(tenant, None)
