"""Fetches and caches the public keys of issuers (JWKS, RFC 7517), from a file or a URL."""

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import httpx
import jwt

from twc_customer_server.errors import Unavailable

FETCH_SECONDS = 5
QUEUE_SECONDS = 1

# The fraction of their lifetime after which keys are refreshed in the background,
# and the lifetimes for which stale keys serve if they cannot be refreshed.
REFRESH_AFTER = 0.8
STALE_LIFETIMES = 12

# Forged tokens may name many realms; their fetches must not occupy every thread.
_fetching = threading.BoundedSemaphore(4)

Keys = dict[str, jwt.PyJWK]

_log = logging.getLogger(__name__)


class RefreshPolicy(NamedTuple):
    """The lifetime of keys, and the time between refetches for unknown key ids, in seconds."""

    lifetime: float
    cooldown: float


class KeySet:
    """The keys at one location, by key id.

    They are refreshed in the background towards the end of their lifetime,
    and synchronously when it is over. An unknown key id triggers one refetch,
    and another only after the cool-down, so that forged ids cannot cause a
    storm.
    """

    def __init__(
        self, fetch_keys: Callable[[], Keys], policy: RefreshPolicy, background: ThreadPoolExecutor
    ) -> None:
        self._fetch = fetch_keys
        self._policy = policy
        self._background = background
        self._lock = threading.Lock()
        self._keys: Keys = {}
        self._fetched_at = self._tried_at = self._refresh_at = self.good_until = -float("inf")

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """Returns the key with an id, or None. Raises Unavailable if no usable keys are at hand.

        `good_until` is then the time of the monotonic clock until which the
        answer is valid.
        """
        now = time.monotonic()
        if now >= self.good_until:
            self._refresh(now)
        elif now >= self._refresh_at:
            self._refresh_at = self.good_until
            self._background.submit(self._refresh, now)
        if key_id not in self._keys:
            self._refresh(now, self._policy.cooldown)
        if now >= self._fetched_at + STALE_LIFETIMES * self._policy.lifetime:
            raise Unavailable("tokens cannot be verified now: the issuer's keys cannot be fetched")
        return self._keys.get(key_id)

    def holds(self, key: jwt.PyJWK) -> bool:
        """Tells whether a key is still one of these."""
        return self._keys.get(str(key.key_id)) is key

    def _refresh(self, asked_at: float, cooldown: float = 0) -> None:
        """Fetches the keys, unless they were fetched since the cool-down before `asked_at`.

        Concurrent callers wait for the one fetch.
        """
        with self._lock:
            if self._tried_at > asked_at - cooldown:
                return
            now = time.monotonic()
            try:
                self._keys = self._fetch()
            except (httpx.HTTPError, OSError, ValueError) as error:
                _log.warning("the keys of an issuer cannot be fetched: %s", type(error).__name__)
                self.good_until = self._refresh_at = now + self._policy.cooldown
            else:
                self._fetched_at = now
                self._refresh_at = now + REFRESH_AFTER * self._policy.lifetime
                self.good_until = now + self._policy.lifetime
            finally:
                self._tried_at = time.monotonic()


def fetch(location: str) -> Keys:
    """Fetches the signing keys at a path or a URL.

    Raises FileNotFoundError if there is no document, and httpx.HTTPError,
    OSError or ValueError if it cannot be read. Redirects are not followed,
    since the operator chooses the host that is trusted.
    """
    if not location.startswith(("https://", "http://")):
        return parse(Path(location).read_bytes())
    if not _fetching.acquire(timeout=QUEUE_SECONDS):
        raise OSError("too many fetches at a time")
    try:
        answer = httpx.get(location, timeout=FETCH_SECONDS)
    finally:
        _fetching.release()
    if answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise FileNotFoundError(location)
    return parse(answer.raise_for_status().content)


def fetch_realm(location: str) -> Keys:
    """Fetches the keys of a realm as `fetch` does; a realm that does not exist has none."""
    try:
        return fetch(location)
    except FileNotFoundError:
        return {}


def parse(document: bytes) -> Keys:
    """Parses a JWKS document; skips keys that do not sign or are not supported.

    Raises ValueError if it is not a JWKS.
    """
    listed = json.loads(document)
    if not isinstance(listed, dict) or not isinstance(listed.get("keys"), list):
        raise ValueError("not a JWKS document")  # noqa: TRY004 - the document is wrong, not an argument
    keys: Keys = {}
    for entry in listed["keys"]:
        if isinstance(entry, dict) and entry.get("use", "sig") == "sig" and entry.get("kid"):
            try:
                keys[str(entry["kid"])] = jwt.PyJWK(entry)
            except jwt.PyJWTError as error:
                _log.info("a key of an issuer is skipped: %s", type(error).__name__)
    return keys
