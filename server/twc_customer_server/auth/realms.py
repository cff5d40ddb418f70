"""The key sets of all issuers: those of realms that are proven to exist apart from the others."""

import math
import threading
import time
from collections.abc import Callable
from functools import partial

import jwt

from twc_customer_server.auth.fetchers import Fetchers, Limits
from twc_customer_server.auth.jwks import Keys
from twc_customer_server.auth.key_sets import KeySet, RefreshPolicy
from twc_customer_server.concurrency.periodic import Periodic

# The one issuer, if tenants have no realms.
NO_REALM = ""

# Key sets of each kind that are kept.
MAX_KEPT = 10_000

_PROVEN_THREADS = 8
_PROVEN_LIMITS = Limits(warning_seconds=1)

_UNPROVEN_THREADS = 4
_UNPROVEN_LIMITS = Limits(sources=64, fetches_per_source=16, warning_seconds=10)

# The longest time between two looks at which keys are to be refreshed, in
# seconds and in lifetimes.
_REFRESH_SECONDS = 1
_REFRESH_LIFETIMES = 0.05


class KeySets:
    """The key sets of realms, or of the one issuer, which refreshes them from `start` to `stop`.

    A realm is proven by the first valid token. Until then its keys are fetched
    by threads of their own and kept apart, so that forged issuers delay and
    evict only each other.
    """

    def __init__(
        self,
        fetch_keys: Callable[[str], Keys],
        policy: RefreshPolicy,
        *,
        proven: Fetchers | None = None,
        unproven: Fetchers | None = None,
    ) -> None:
        """`fetch_keys` fetches the keys of a realm, or of NO_REALM."""
        self._fetch_keys = fetch_keys
        self._policy = policy
        self._fetchers = proven or Fetchers(_PROVEN_THREADS, _PROVEN_LIMITS)
        self._unproven_fetchers = unproven or Fetchers(_UNPROVEN_THREADS, _UNPROVEN_LIMITS)
        self._proven: dict[str, KeySet] = {}
        self._unproven: dict[str, KeySet] = {}
        self._lock = threading.Lock()
        seconds = min(_REFRESH_SECONDS, _REFRESH_LIFETIMES * policy.lifetime)
        self._refreshing = Periodic("key-refresh", seconds, self.refresh_due)

    def start(self) -> None:
        """Fetches the keys of the one issuer, and refreshes all that are in use, from now on."""
        self._refreshing.start()

    def stop(self) -> None:
        """Ends the refreshing."""
        self._refreshing.stop()

    def add_one_issuer(self) -> KeySet:
        """Adds the key set of the one issuer, which is trusted to exist."""
        return self._add(NO_REALM, self._proven, self._fetchers)

    def find(
        self,
        realm: str,
        key_id: str,
        source: Callable[[], str] = str,
        came_at: float = math.inf,
    ) -> tuple[KeySet, jwt.PyJWK | None]:
        """Returns a realm's key set, and its key with an id if it has one.

        `source` returns the network that the call comes from, and `came_at` is when it came.
        Raises what `KeySet.find` raises.
        """
        keys = self._proven.get(realm)
        if keys is not None:
            return keys, keys.find(key_id, "", came_at)
        network = source()
        keys = self._unproven.get(realm)
        if keys is None:
            # A realm whose fetch would be refused must not evict one that is kept.
            self._unproven_fetchers.check_room(realm, network)
            keys = self._add(realm, self._unproven, self._unproven_fetchers)
        return keys, keys.find(key_id, network, came_at)

    def prove(self, realm: str, keys: KeySet) -> None:
        """Notes that a key of a realm has verified a token."""
        if realm in self._proven:
            return
        with self._lock:
            if realm not in self._proven:
                keys.prove(self._fetchers)
                self._unproven.pop(realm, None)
                _put(self._proven, realm, keys)

    def refresh_due(self) -> None:
        """Begins to refresh the keys whose lifetime nears its end.

        Realms that were not used until their keys would be stale are left out.
        """
        for keys in self._in_use():
            keys.refresh_if_due()

    def refresh(self) -> None:
        """Begins to refresh all keys that are in use."""
        for keys in self._in_use():
            keys.refresh()

    def oldest_age(self) -> float | None:
        """Returns the age in seconds of the oldest keys that are refreshed, None without any."""
        return max((keys.age for keys in self._in_use()), default=None)

    def are_ready(self) -> bool:
        """Tells whether the keys of the one issuer count; those of realms are each tenant's own."""
        keys = self._proven.get(NO_REALM)
        return keys is None or keys.are_good

    def _in_use(self) -> list[KeySet]:
        unused_since = time.monotonic() - self._policy.stale
        with self._lock:
            proven = list(self._proven.items())
        return [keys for realm, keys in proven if realm == NO_REALM or keys.used_at > unused_since]

    def _add(self, realm: str, kept: dict[str, KeySet], fetchers: Fetchers) -> KeySet:
        with self._lock:
            if realm not in kept:
                fetch_keys = partial(self._fetch_keys, realm)
                is_proven = kept is self._proven
                keys = KeySet(realm, fetch_keys, self._policy, fetchers, is_proven=is_proven)
                _put(kept, realm, keys)
            return kept[realm]


def _put(kept: dict[str, KeySet], realm: str, keys: KeySet) -> None:
    """Keeps a key set; evicts the oldest if there are too many."""
    if len(kept) >= MAX_KEPT:
        del kept[next(iter(kept))]
    kept[realm] = keys
