"""Which calls wait on their threads for keys that are being fetched, and for how long."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.unit.identity import TRUST, Source, key_sets_of
from twc_customer_server.auth.authenticator import Authenticator, Caller, Metadata
from twc_customer_server.errors import KeysAwaited
from twc_customer_server.middleware import awaiting
from twc_customer_server.middleware.awaiting import AwaitingAuthenticator

SECONDS = 10
CALLER = Caller("acme", 0)


class Fetching(Authenticator):
    """An authenticator whose keys come when the test wants."""

    def __init__(self, *, is_proven: bool = True) -> None:
        super().__init__(TRUST, key_sets_of(Source().read))
        self.fetched: Future[None] = Future()
        self.asked = threading.Semaphore(0)
        self._is_proven = is_proven

    def authenticate(
        self, _metadata: Metadata, _peer: Callable[[], str] = str, _came_at: float = 0
    ) -> Caller:
        """Returns the caller if the keys have come."""
        self.asked.release()
        if self.fetched.done():
            return CALLER
        raise KeysAwaited(self.fetched, is_proven=self._is_proven)


def authenticate(authenticator: AwaitingAuthenticator) -> Caller:
    """Authenticates a call."""
    return authenticator.authenticate((), str)


def test_waiting_call() -> None:
    """A call waits for the keys."""
    fetching = Fetching()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(authenticate, AwaitingAuthenticator(fetching, 1))
        assert fetching.asked.acquire(timeout=SECONDS)
        fetching.fetched.set_result(None)
        assert call.result(SECONDS) == CALLER


def test_wait_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that would wait for too long is told to come back."""
    monkeypatch.setattr(awaiting, "_WAIT_SECONDS", 0.1)
    waiting = AwaitingAuthenticator(Fetching(), 1)
    for _ in range(2):
        with pytest.raises(KeysAwaited):
            authenticate(waiting)


@pytest.mark.parametrize("is_proven", [True, False], ids=["proven", "unproven"])
def test_wait_without_place(monkeypatch: pytest.MonkeyPatch, *, is_proven: bool) -> None:
    """If others wait already a call waits briefly, and not at all for an unproven issuer."""
    monkeypatch.setattr(awaiting, "_BRIEF_SECONDS", 0.3)
    fetching = Fetching(is_proven=is_proven)
    waiting = AwaitingAuthenticator(fetching, 1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(authenticate, waiting)
        assert fetching.asked.acquire(timeout=SECONDS)
        began = time.monotonic()
        with pytest.raises(KeysAwaited):
            authenticate(waiting)
        assert (time.monotonic() - began >= 0.3) is is_proven
        assert not first.done()
        fetching.fetched.set_result(None)
        assert first.result(SECONDS) == CALLER
