"""The public keys of issuers (JWKS, RFC 7517): read from a file or a URL, and kept."""

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

# The part of their lifetime after which keys are renewed in the background,
# and the lifetimes that they stay in use for if they cannot be renewed.
RENEW_AFTER = 0.8
STALE_LIFETIMES = 12

# Forged tokens may name many realms; their fetches must not hold every thread.
_fetching = threading.BoundedSemaphore(4)

Keys = dict[str, jwt.PyJWK]

_log = logging.getLogger(__name__)


class Policy(NamedTuple):
    """How long keys are kept, and how soon an unknown key id may cause a read, in seconds."""

    lifetime: float
    cooldown: float


class KeySet:
    """The keys at one location, by key id.

    They are renewed in the background towards the end of their lifetime, and
    before anything else when it is over. An unknown key id causes one renewal,
    and another only after the cool-down, so that forged ids cannot cause a
    storm.
    """

    def __init__(
        self, read: Callable[[], Keys], policy: Policy, background: ThreadPoolExecutor
    ) -> None:
        self._read = read
        self._policy = policy
        self._background = background
        self._lock = threading.Lock()
        self._keys: Keys = {}
        self._read_at = self._tried_at = self._renew_at = self.good_until = -float("inf")

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """Returns the key with an id, or None. Raises Unavailable if there are no keys to use.

        Afterwards `good_until` says, on the monotonic clock, when to ask again.
        """
        now = time.monotonic()
        if now >= self.good_until:
            self._renew(now)
        elif now >= self._renew_at:
            self._renew_at = self.good_until
            self._background.submit(self._renew, now)
        if key_id not in self._keys:
            self._renew(now, self._policy.cooldown)
        if now >= self._read_at + STALE_LIFETIMES * self._policy.lifetime:
            raise Unavailable("tokens cannot be verified now: the issuer's keys are out of reach")
        return self._keys.get(key_id)

    def holds(self, key: jwt.PyJWK) -> bool:
        """Tells whether a key is still one of these."""
        return self._keys.get(str(key.key_id)) is key

    def _renew(self, asked_at: float, cooldown: float = 0) -> None:
        """Reads the keys, unless that was done after, or within a cool-down before, it was asked.

        Whoever asks while they are being read waits for that.
        """
        with self._lock:
            if self._tried_at > asked_at - cooldown:
                return
            now = time.monotonic()
            try:
                self._keys = self._read()
            except (httpx.HTTPError, OSError, ValueError) as error:
                _log.warning("the keys of an issuer cannot be read: %s", type(error).__name__)
                self.good_until = self._renew_at = now + self._policy.cooldown
            else:
                self._read_at = now
                self._renew_at = now + RENEW_AFTER * self._policy.lifetime
                self.good_until = now + self._policy.lifetime
            finally:
                self._tried_at = time.monotonic()


def read(location: str) -> Keys:
    """Reads the keys that sign at a path or a URL.

    Raises FileNotFoundError if there is nothing, and httpx.HTTPError, OSError
    or ValueError if it cannot be read. Redirects are not followed: who may
    answer for an issuer is the operator's choice.
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


def read_realm(location: str) -> Keys:
    """Reads the keys of a realm as `read` does; one that does not exist has none."""
    try:
        return read(location)
    except FileNotFoundError:
        return {}


def parse(document: bytes) -> Keys:
    """Reads a JWKS document; leaves out keys that do not sign or cannot be used here.

    Raises ValueError if it is no JWKS.
    """
    listed = json.loads(document)
    if not isinstance(listed, dict) or not isinstance(listed.get("keys"), list):
        raise ValueError("not a JWKS document")  # noqa: TRY004 - what is wrong is the document
    keys: Keys = {}
    for entry in listed["keys"]:
        if isinstance(entry, dict) and entry.get("use", "sig") == "sig" and entry.get("kid"):
            try:
                keys[str(entry["kid"])] = jwt.PyJWK(entry)
            except jwt.PyJWTError as error:
                _log.info("a key of an issuer is left out: %s", type(error).__name__)
    return keys
