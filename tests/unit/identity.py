"""What the tests of identity share: a clock they set, keys they count, and verifiers of them."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from types import SimpleNamespace

import pytest

from tests.support.tokens import AUDIENCE, ISSUER, Issuer, jwks
from twc_customer_server.auth import authenticator, key_sets, realms
from twc_customer_server.auth.authenticator import Authenticator, TokenVerifier, TrustPolicy
from twc_customer_server.auth.fetchers import Fetch, Fetchers
from twc_customer_server.auth.jwks import Keys, parse
from twc_customer_server.auth.key_sets import RefreshPolicy
from twc_customer_server.auth.realms import KeySets

SKEW = 30.0
TRUST = TrustPolicy(ISSUER, AUDIENCE, ["RS256", "PS256", "ES256", "EdDSA"], "tenant", SKEW)
POLICY = RefreshPolicy(lifetime=300, cooldown=10, stale=3600)

# What the wall clock shows when a test's clock shows nothing.
START = 1_700_000_000


class Clock:
    """A clock that shows what a test sets, and a microsecond more at each look."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """The time that has passed, as the monotonic clock shows it."""
        with self._lock:
            self.looks += 1
            return self.now + self.looks * 1e-6

    def wall(self) -> float:
        """The time of day."""
        return START + self.now


def stop_clocks(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the clocks that identity looks at, PyJWT's among them."""
    clock = Clock()

    class Moment(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = UTC) -> "Moment":
            return cls.fromtimestamp(clock.wall(), tz)

    for module in (key_sets, realms):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(authenticator, "time", SimpleNamespace(monotonic=clock, time=clock.wall))
    monkeypatch.setattr("jwt.api_jwt.datetime", Moment)
    return clock


class Source:
    """A JWKS document that tests change, and count the reads of."""

    def __init__(self, *issuers: Issuer) -> None:
        self.document = jwks(*issuers)
        self.error: Exception | None = None
        self.reads = 0
        # What happens while the document is on its way.
        self.meanwhile: Callable[[], object] = lambda: None

    def publish(self, *issuers: Issuer) -> None:
        """Lists the keys of issuers, and no others."""
        self.document = jwks(*issuers)

    def read(self) -> Keys:
        """Reads the keys, or fails if the test wants that."""
        self.reads += 1
        if self.error:
            raise self.error
        keys = parse(self.document)
        self.meanwhile()
        return keys


class AtOnce(Fetchers):
    """Fetchers that run what is submitted before they return."""

    def __init__(self) -> None:
        super().__init__(1)

    def submit(self, fetch: Fetch, name: str, source: str) -> None:  # noqa: ARG002 - there is no queue
        """Runs a fetch."""
        fetch()


def key_sets_of(read: Callable[[], Keys]) -> KeySets:
    """The key set of one issuer, whose keys `read` gives."""
    sets = KeySets(lambda _: read(), POLICY, proven=AtOnce())
    sets.add_one_issuer()
    return sets


def realm_key_sets(read: Callable[[str], Keys]) -> KeySets:
    """The key sets of realms, whose keys `read` gives."""
    return KeySets(read, POLICY, proven=AtOnce(), unproven=AtOnce())


def verifier(read: Callable[[], Keys], trust: TrustPolicy = TRUST) -> TokenVerifier:
    """A verifier with keys that `read` gives."""
    return TokenVerifier(trust, key_sets_of(read))


def callers(read: Callable[[], Keys]) -> Authenticator:
    """An authenticator with keys that `read` gives."""
    return Authenticator(TRUST, key_sets_of(read))
