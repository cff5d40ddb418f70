"""Threads that fetch keys in the background, and the order in which they do."""

import ipaddress
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote

from twc_customer_server.concurrency.fair_queue import FairQueue
from twc_customer_server.contract import RETRY_SECONDS
from twc_customer_server.errors import Unavailable

# Networks of this size are given to single sites.
_IPV6_SITE_BITS = 64

# Names that were refused and are remembered.
_MAX_REFUSED = 10_000

Fetch = Callable[[], object]

_log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """How much may wait for a thread, and the time between warnings of failures."""

    sources: float = math.inf
    fetches_per_source: float = math.inf
    warning_seconds: float = 0


_UNLIMITED = Limits()


class _Turn(NamedTuple):
    """Whose turn it is: a source's, apart for names that were refused before."""

    source: str
    is_back: bool


class Fetchers:
    """Runs fetches on a few threads, which end when nothing waits.

    Sources take turns, so that one that submits many fetches delays another's
    by a single one. So do, within a source, names that are back after a
    refusal, when clients are told to try again, with those that are new: a
    client that repeats its call gets ahead of a flood of names that are
    invented for one call each.
    """

    def __init__(self, threads: int, limits: Limits = _UNLIMITED) -> None:
        self._threads = threads
        self._limits = limits
        self._waiting: FairQueue[_Turn, Fetch] = FairQueue()
        self._refused: dict[str, float] = {}
        self._running = 0
        self._warned_at = -math.inf
        self._lock = threading.Lock()

    def check_room(self, name: str, source: str) -> None:
        """Raises Unavailable if a fetch would be refused."""
        with self._lock:
            self._turn(name, source)

    def submit(self, fetch: Fetch, name: str, source: str) -> None:
        """Runs a fetch when it is its source's turn. Raises Unavailable if too many wait."""
        with self._lock:
            turn = self._turn(name, source)
            if self._running < self._threads:
                try:
                    # With the lock held, so that no other fetch counts on a thread that fails.
                    threading.Thread(target=self._run, name="keys", daemon=True).start()
                except RuntimeError as error:
                    raise Unavailable("keys cannot be fetched now; try again") from error
                self._running += 1
            self._waiting.add(turn, fetch)
            self._refused.pop(name, None)

    def warn(self, reason: str) -> None:
        """Logs that keys cannot be fetched, unless a warning was logged a moment ago."""
        now = time.monotonic()
        if now >= self._warned_at + self._limits.warning_seconds:
            self._warned_at = now
            _log.warning("the keys of an issuer cannot be fetched: %s", reason)

    def _turn(self, name: str, source: str) -> _Turn:
        """Returns the turn at which a fetch will run. Raises Unavailable."""
        now = time.monotonic()
        turn = _Turn(source, now >= self._refused.get(name, math.inf) + RETRY_SECONDS)
        waiting = self._waiting.count(turn)
        if waiting < self._limits.fetches_per_source and (
            waiting or len(self._waiting) < self._limits.sources
        ):
            return turn
        if name not in self._refused:
            if len(self._refused) >= _MAX_REFUSED:
                del self._refused[next(iter(self._refused))]
            self._refused[name] = now
        raise Unavailable("the keys of too many issuers are awaited; try again")

    def _run(self) -> None:
        while fetch := self._next():
            try:
                fetch()
            except Exception as error:  # noqa: BLE001 - the thread has to do what waits
                _log.error("a fetch ended with %s", type(error).__name__)

    def _next(self) -> Fetch | None:
        """Returns the fetch whose turn it is, or ends the thread."""
        with self._lock:
            taken = self._waiting.take()
            if taken is None:
                self._running -= 1
                return None
            return taken[1]


def source_of(peer: str, forwarded_for: str) -> str:
    """Returns the network that a call comes from, `""` if that is unknown.

    The gateway calls by a Unix socket, or at an address of its own, and appends the address
    of its client to `X-Forwarded-For`.
    """
    kind, _, place = unquote(peer).partition(":")
    is_of_gateway = kind in ("unix", "gateway")
    text = forwarded_for.rpartition(",")[2].strip() if is_of_gateway else place.rpartition(":")[0]
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return ""
    if not isinstance(address, ipaddress.IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address.packed, _IPV6_SITE_BITS), strict=False))
