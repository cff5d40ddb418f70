"""Has calls wait on their threads for keys that are being fetched, if the transport parks none."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from functools import partial

from twc_customer_server.auth.authenticator import Authenticator, Caller, Metadata
from twc_customer_server.contract import READ_SECONDS
from twc_customer_server.errors import KeysAwaited

# A read must be answered before its deadline, also that it cannot be served now.
_WAIT_SECONDS = READ_SECONDS - 1

# For a call that finds all places taken by others that wait.
_BRIEF_SECONDS = 0.2


class AwaitingAuthenticator:
    """Authenticates calls as `Authenticator` does, but waits for keys.

    A few calls wait until the fetch has ended, the others of known issuers for
    a moment, and those of unknown issuers not at all, so that most threads
    stay free for calls whose keys are at hand.
    """

    def __init__(self, authenticator: Authenticator, places: int) -> None:
        self._authenticator = authenticator
        self._places = threading.BoundedSemaphore(places)

    def authenticate(self, metadata: Metadata, peer: Callable[[], str] = str) -> Caller:
        """Returns the caller of a call. Raises what `Authenticator.authenticate` raises."""
        came_at = time.monotonic()
        authenticate = partial(self._authenticator.authenticate, metadata, peer, came_at)
        try:
            return authenticate()
        except KeysAwaited as awaited:
            first = awaited
        if self._places.acquire(blocking=False):
            try:
                return _retry(authenticate, first, came_at + _WAIT_SECONDS)
            finally:
                self._places.release()
        if not first.is_proven:
            raise first
        return _retry(authenticate, first, came_at + _BRIEF_SECONDS)


def _retry(authenticate: Callable[[], Caller], awaited: KeysAwaited, end: float) -> Caller:
    """Authenticates when keys have come, again and again until a time."""
    while True:
        wait([awaited.fetched], max(0, end - time.monotonic()))
        try:
            return authenticate()
        except KeysAwaited as again:
            if time.monotonic() >= end:
                raise
            awaited = again
