"""Limits what each tenant, and all together, use at a time."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

from twc_customer_server.errors import Overloaded
from twc_customer_server.telemetry.families import ADMITTED_CALLS, REFUSALS
from twc_customer_server.telemetry.metrics import OwnMetrics

# Requests of a tenant that come faster than its rate wait for their time: those that
# would be due later than this are refused, and those of a shorter time begin at once.
MAX_DELAY_SECONDS = 1
_BURST_SECONDS = 0.1

# Refusals are paced, too: a client that repeats them at once would use as much.
_REFUSALS_PER_SECOND = 500
_MAX_REFUSAL_SECONDS = 4
# Refusals of all that wait for their time; the gateway holds so many beside admitted calls.
MAX_REFUSALS = 2000

# The part of all calls that are those of callers whose token was not verified before, who
# cannot be told apart.
_UNKNOWN_PART = 4

# Tenants that use nothing are forgotten when there are this many.
_MANY_TENANTS = 10_000

OVERLOADED = "the server runs and queues as many calls as it can; try again after a while"
_TENANT_CALLS = (
    "too many calls at the same time, of which a tenant may have {:,}; try again when one has ended"
)
_TENANT_RATE = (
    "too many requests, of which a tenant may make {:,g} a second; try again after a while"
)
NEWCOMERS = "too many calls with new tokens at the same time; try again after a while"


class Kind(Enum):
    """Tells what a call takes beside a place among all calls; the value is that of its metrics."""

    UNARY = "unary"
    BULK = "bulk"
    WAITING = "waiting"


class TenantLimits(NamedTuple):
    """Limits of each tenant; a rate of 0 requests per second is no limit."""

    calls: int
    requests_per_second: float


class KindLimit(NamedTuple):
    """The calls of a kind, as errors name it, that a tenant may have at a time.

    For those of all tenants there are `Places`.
    """

    name: str
    tenant: int


class Pace:
    """Spaces events evenly, but for a burst after a pause (a leaky bucket)."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due = -float("inf")

    def delay(self, now: float, interval: float, burst: float) -> float:
        """Returns the seconds until an event of now is due."""
        due = max(self._due, now - burst)
        self._due = due + interval
        return max(0, due - now)

    def delay_up_to(self, most: float, now: float, interval: float, burst: float) -> float | None:
        """Returns what `delay` does, or None if that is more than `most`: it does not happen."""
        return None if self._due - now > most else self.delay(now, interval, burst)

    def give_back(self, interval: float) -> None:
        """Takes back an event that did not happen after all."""
        self._due -= interval

    def is_idle(self, now: float) -> bool:
        """Tells whether nothing of the past delays an event of now."""
        return self._due <= now - _BURST_SECONDS


class Usage:
    """Counts what one tenant uses now."""

    __slots__ = (
        "__weakref__",
        "calls",
        "of_kind",
        "refusals",
        "requests",
        "slots",
        "tenant",
        "untaken",
    )

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        # Of these the last are bytes of answers that its clients have not taken.
        self.calls = self.slots = self.untaken = 0
        self.of_kind: Counter[Kind] = Counter()
        self.requests = Pace()
        self.refusals = Pace()


class Admitted(NamedTuple):
    """A call that may begin after some seconds, and the usage to release when it has ended."""

    usage: Usage
    delay: float


class Limits:
    """Counts the calls and streams of all tenants; admits those that are within the limits.

    Callers that are not known yet are limited together, and by the network that they come from.
    """

    def __init__(
        self,
        tenant: TenantLimits,
        of_kinds: Mapping[Kind, KindLimit],
        calls: int,
        clock: Callable[[], float] = time.monotonic,
        metrics: OwnMetrics | None = None,
    ) -> None:
        """At most `calls` are admitted at a time.

        Counts in metrics of its own if none are given.
        """
        self._metrics = metrics or OwnMetrics()
        self._tenant = tenant
        self._most_calls = calls
        self._most_unknown = max(1, calls // _UNKNOWN_PART)
        self._of_kinds = of_kinds
        self._clock = clock
        self._lock = threading.Lock()
        self._usages: dict[str, Usage] = {}
        # Calls whose callers are not known yet, by network, and the refusals of such.
        self._unknown: Counter[str] = Counter()
        self._nobody = Usage("")
        self._of_kind: Counter[Kind] = Counter()
        self._calls = self._refusals = 0

    def admit(self, tenant: str, kind: Kind) -> Admitted:
        """Counts a call of a tenant. Raises Overloaded."""
        most, rate = self._tenant
        with self._lock:
            usage = self._usages.get(tenant) or self._usage(tenant)
            if kind is not Kind.UNARY:
                self._check(usage, kind)
            if self._calls >= self._most_calls:
                raise self._overloaded("calls", OVERLOADED)
            if usage.calls >= most:
                raise self._overloaded("tenant_calls", _TENANT_CALLS.format(most))
            delay: float | None = 0
            if rate:
                delay = usage.requests.delay_up_to(
                    MAX_DELAY_SECONDS, self._clock(), 1 / rate, _BURST_SECONDS
                )
            if delay is None:
                raise self._overloaded("tenant_rate", _TENANT_RATE.format(rate))
            self._calls += 1
            usage.calls += 1
            if kind is not Kind.UNARY:
                self._of_kind[kind] += 1
                usage.of_kind[kind] += 1
            return Admitted(usage, delay)

    def admit_unknown(self, network: str) -> None:
        """Counts a call whose caller is not known yet, and comes from a network. Raises Overloaded.

        A network may have as many as are left for others, so that some always are.
        """
        with self._lock:
            if self._calls >= self._most_calls:
                raise self._overloaded("calls", OVERLOADED)
            if self._unknown[network] >= self._most_unknown - self._unknown.total():
                raise self._overloaded("new_token_calls", NEWCOMERS)
            self._calls += 1
            self._unknown[network] += 1

    def release_unknown(self, network: str) -> None:
        """Counts that a caller is known, or that its call has ended."""
        with self._lock:
            self._calls -= 1
            self._unknown[network] -= 1
            if not self._unknown[network]:
                del self._unknown[network]

    def release(self, usage: Usage, kind: Kind = Kind.UNARY) -> None:
        """Counts that a call which was admitted has ended."""
        with self._lock:
            self._calls -= 1
            usage.calls -= 1
            if kind is not Kind.UNARY:
                self._of_kind[kind] -= 1
                usage.of_kind[kind] -= 1

    def forgo(self, usage: Usage, kind: Kind = Kind.UNARY) -> None:
        """Counts that a call which was admitted has ended before it was due."""
        with self._lock:
            usage.requests.give_back(1 / self._tenant.requests_per_second)
        self.release(usage, kind)

    def refuse(self, tenant: str) -> float | None:
        """Counts a refusal; returns the seconds until it is due, or None if too many wait.

        One that is due is to be followed by `refused`, or by `forgo_refusal`.
        """
        interval = 1 / _REFUSALS_PER_SECOND
        with self._lock:
            delay = None
            if self._refusals < MAX_REFUSALS:
                delay = self._owner(tenant).refusals.delay_up_to(
                    _MAX_REFUSAL_SECONDS, self._clock(), interval, _BURST_SECONDS
                )
            if delay is None:
                self.count_refusal("refusals")
            else:
                self._refusals += 1
            return delay

    def refused(self) -> None:
        """Counts that a call was refused."""
        with self._lock:
            self._refusals -= 1

    def forgo_refusal(self, tenant: str) -> None:
        """Counts that a call has ended before it was refused."""
        with self._lock:
            self._refusals -= 1
            self._owner(tenant).refusals.give_back(1 / _REFUSALS_PER_SECOND)

    def count_refusal(self, limit: str) -> None:
        """Counts a refusal beyond a limit, of `REFUSALS`, in the metrics."""
        self._metrics.series(REFUSALS, limit).add()

    def sample(self) -> None:
        """Sets the metrics of admitted calls; to be called again and again."""
        with self._lock:
            calls = {kind: self._of_kind[kind] for kind in Kind}
            calls[Kind.UNARY] = self._calls - calls[Kind.BULK] - calls[Kind.WAITING]
        for kind, number in calls.items():
            self._metrics.series(ADMITTED_CALLS, kind.value).set(number)

    def _owner(self, tenant: str) -> Usage:
        return self._usage(tenant) if tenant else self._nobody

    def _usage(self, tenant: str) -> Usage:
        usage = self._usages.get(tenant)
        if usage is None:
            if len(self._usages) >= _MANY_TENANTS:
                self._forget_idle()
            usage = self._usages[tenant] = Usage(tenant)
        return usage

    def _check(self, usage: Usage, kind: Kind) -> None:
        """Raises Overloaded if a tenant has what it may have of a kind."""
        name, most = self._of_kinds[kind]
        if usage.of_kind[kind] >= most:
            raise self._overloaded(
                f"tenant_{kind.value}",
                f"too many {name} at the same time, of which a tenant may have "
                f"{most:,}; try again when one has ended",
            )

    def _overloaded(self, limit: str, message: str) -> Overloaded:
        self.count_refusal(limit)
        return Overloaded(message)

    def _forget_idle(self) -> None:
        now = self._clock()
        self._usages = {
            usage.tenant: usage
            for usage in self._usages.values()
            if usage.calls
            or usage.untaken
            or not (usage.requests.is_idle(now) and usage.refusals.is_idle(now))
        }
