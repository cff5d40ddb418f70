"""The keys of one issuer: at hand for callers, and fetched in the background."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

import jwt

from twc_customer_server.auth.fetchers import Fetchers
from twc_customer_server.auth.jwks import JwksError, Keys
from twc_customer_server.errors import KeysAwaited, Unavailable

# The fraction of their lifetime after which keys are refreshed.
REFRESH_AFTER = 0.8

# A fetch that failed is tried again after this time, however long the cool-down: an issuer that
# was away for a moment must not cost an hour.
MOST_RETRY_SECONDS = 10

# Calls that may await the first keys of a realm that nobody has proven to exist.
MAX_UNPROVEN_CALLS = 32

_NEVER = -math.inf


class RefreshPolicy(NamedTuple):
    """How long keys count, in seconds.

    `lifetime` is for keys that were fetched, `stale` for those that cannot be
    fetched again. `cooldown` is the time between fetches that unknown key ids
    cause, and between attempts that fail, if that is not over MOST_RETRY_SECONDS.
    """

    lifetime: float
    cooldown: float
    stale: float

    @property
    def retry(self) -> float:
        """The time until a fetch that failed is tried again."""
        return min(self.cooldown, MOST_RETRY_SECONDS)


class Held(NamedTuple):
    """Keys, when their fetch began and ended, and until when they count, by the monotonic clock."""

    keys: Keys
    asked_at: float
    fetched_at: float
    good_until: float


class KeySet:
    """The keys of one issuer, by key id.

    No method waits for a fetch. Keys count for their lifetime, and are to be
    refreshed before it ends; they count on while a refresh that began in time
    is under way, and, if it fails, until they are stale.
    """

    def __init__(
        self,
        name: str,
        fetch_keys: Callable[[], Keys],
        policy: RefreshPolicy,
        fetchers: Fetchers,
        *,
        is_proven: bool,
    ) -> None:
        self._name = name
        self._fetch_keys = fetch_keys
        self._policy = policy
        self._fetchers = fetchers
        self._is_proven = is_proven
        # Held for moments only, never during a fetch.
        self._lock = threading.Lock()
        # Those at hand, which others replace when they are fetched.
        self.held = Held({}, _NEVER, _NEVER, _NEVER)
        self._fetched: Future[None] | None = None
        self._has_failed = False
        self._tried_at = self._refresh_at = _NEVER
        self._calls = 0
        # When a key of these last verified a token.
        self.used_at = self._made_at = time.monotonic()

    def find(self, key_id: str, source: str = "", came_at: float = math.inf) -> jwt.PyJWK | None:
        """Returns the key with an id, or None if the issuer has none such.

        If the key is not at hand, a fetch begins, but for unknown ids only one
        each cool-down, so that forged ones cannot cause a storm, and none if
        the issuer was asked since `came_at`, when the call came by the
        monotonic clock. `source` is the network that it comes from. Raises
        KeysAwaited while a fetch is under way that may bring the key, and
        Unavailable if the keys could not be fetched, or too much waits.
        """
        key = self._at_hand(key_id)
        if key is None and not (self.are_good and self.held.asked_at >= came_at):
            fetched = self._fetched or self._fetch_if_due(source)
            if fetched and not fetched.done():
                self._count_call()
                raise KeysAwaited(fetched, is_proven=self._is_proven)
            key = self._at_hand(key_id)
            if key is None and self._has_failed:
                raise Unavailable("tokens cannot be verified now: the keys cannot be fetched")
        return key

    @property
    def age(self) -> float:
        """The seconds since the keys were fetched, or since they were first asked for."""
        return time.monotonic() - max(self.held.fetched_at, self._made_at)

    @property
    def are_good(self) -> bool:
        """Whether the keys still count."""
        return time.monotonic() < self.held.good_until

    def prove(self, fetchers: Fetchers) -> None:
        """Makes the keys those of an issuer that is known to exist, with its own fetchers."""
        self._is_proven, self._fetchers = True, fetchers

    def refresh_if_due(self) -> None:
        """Begins a fetch if the lifetime of the keys nears its end, or if the last one failed."""
        if self._fetched is None and time.monotonic() >= self._refresh_at:
            self._fetch("")

    def refresh(self) -> None:
        """Begins a fetch, unless one is under way."""
        self._fetch("")

    def fetch_now(self) -> None:
        """Fetches the keys on the caller's thread, and raises what makes that fail."""
        asked_at = time.monotonic()
        keys = self._fetch_keys()
        now = time.monotonic()
        with self._lock:
            self.held = Held(keys, asked_at, now, now + self._policy.lifetime)
            self._refresh_at = now + REFRESH_AFTER * self._policy.lifetime
            # The cool-down counts from the question: a key may have been published since.
            self._tried_at, self._has_failed = asked_at, False

    def _at_hand(self, key_id: str) -> jwt.PyJWK | None:
        held = self.held
        return held.keys.get(key_id) if time.monotonic() < held.good_until else None

    def _fetch_if_due(self, source: str) -> Future[None] | None:
        """Begins a fetch if no keys count any more, or the cool-down is over."""
        now = time.monotonic()
        have_ended = not self._has_failed and now >= self.held.good_until
        pause = self._policy.retry if self._has_failed else self._policy.cooldown
        if have_ended or now >= self._tried_at + pause:
            return self._fetch(source)
        return None

    def _fetch(self, source: str) -> Future[None]:
        """Begins a fetch, unless one is under way; returns what is done when it ends."""
        with self._lock:
            if self._fetched is not None:
                return self._fetched
            fetched = self._fetched = Future()
            # So that a caller that waits for it cannot cancel it.
            fetched.set_running_or_notify_cancel()
            self._calls = 0
            if time.monotonic() < self.held.good_until:
                self._keep_until_stale()
        try:
            self._fetchers.submit(partial(self._run, fetched), self._name, source)
        except Unavailable:
            self._end(fetched)
            raise
        return fetched

    def _run(self, fetched: Future[None]) -> None:
        try:
            self.fetch_now()
        except Exception as error:  # noqa: BLE001 - calls wait for its end, however it comes
            self._fail(str(error) if isinstance(error, JwksError) else type(error).__name__)
        self._end(fetched)

    def _fail(self, reason: str) -> None:
        self._fetchers.warn(reason)
        with self._lock:
            self._keep_until_stale()
            self._tried_at, self._has_failed = time.monotonic(), True
            self._refresh_at = self._tried_at + self._policy.retry

    def _end(self, fetched: Future[None]) -> None:
        self._fetched = None
        fetched.set_result(None)

    def _keep_until_stale(self) -> None:
        self.held = self.held._replace(good_until=self.held.fetched_at + self._policy.stale)

    def _count_call(self) -> None:
        """Raises Unavailable if too many calls await the keys of an unproven realm."""
        with self._lock:
            self._calls += 1
            is_too_many = self._calls > MAX_UNPROVEN_CALLS and not self._is_proven
        if is_too_many:
            raise Unavailable("too many calls await the keys of this issuer; try again")
