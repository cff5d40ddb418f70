"""The key sets of realms: which are refreshed, and what forged realms can do to them."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.tokens import Issuer, jwks
from tests.unit.identity import POLICY, AtOnce, Clock, realm_key_sets, stop_clocks
from twc_customer_server.auth import realms
from twc_customer_server.auth.fetchers import Fetchers, Limits
from twc_customer_server.auth.jwks import Keys, parse
from twc_customer_server.auth.key_sets import REFRESH_AFTER, KeySet, RefreshPolicy
from twc_customer_server.auth.realms import KeySets
from twc_customer_server.errors import KeysAwaited, Unavailable

SECONDS = 10
KEYS = parse(jwks(Issuer()))
RENEWAL = REFRESH_AFTER * POLICY.lifetime


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the key sets."""
    return stop_clocks(monkeypatch)


class Reads:
    """Reads of realms' keys, which are counted."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, realm: str) -> Keys:
        """Reads the keys of a realm."""
        self.names.append(realm)
        return KEYS


def prove(sets: KeySets, realm: str) -> KeySet:
    """Has a token of a realm be verified, after its keys were fetched; returns these."""
    try:
        keys, key = sets.find(realm, "key-1")
    except KeysAwaited as awaited:
        awaited.fetched.result(SECONDS)
        keys, key = sets.find(realm, "key-1")
    assert key
    sets.prove(realm, keys)
    return keys


def test_refresh_of_proven_realms(clock: Clock) -> None:
    """The keys of proven realms are refreshed before their lifetime ends, those of others not."""
    reads = Reads()
    sets = realm_key_sets(reads)
    prove(sets, "acme")
    sets.find("forged", "key-1")
    clock.now = RENEWAL - 1
    sets.refresh_due()
    assert reads.names == ["acme", "forged"]
    clock.now = RENEWAL
    sets.refresh_due()
    sets.refresh_due()
    assert reads.names == ["acme", "forged", "acme"]


def test_refresh_of_unused_realm(clock: Clock) -> None:
    """The keys of a realm that was not used for very long are not refreshed any more."""
    reads = Reads()
    sets = realm_key_sets(reads)
    prove(sets, "acme")
    clock.now = POLICY.stale - 1
    sets.refresh_due()
    assert len(reads.names) == 2
    clock.now += POLICY.lifetime
    sets.refresh_due()
    assert len(reads.names) == 2
    prove(sets, "acme").used_at = clock.now
    clock.now += RENEWAL
    sets.refresh_due()
    assert len(reads.names) == 4


def test_refresh_of_one_issuer(clock: Clock) -> None:
    """The keys of the one issuer are fetched before the first call, and always refreshed."""
    reads = Reads()
    sets = KeySets(reads, POLICY, proven=AtOnce())
    sets.add_one_issuer()
    for number in range(10):
        clock.now = number * POLICY.stale
        sets.refresh_due()
        assert len(reads.names) == number + 1


def test_refresh_without_calls() -> None:
    """From their start on, key sets are refreshed with nobody asking for them."""
    before = {*threading.enumerate()}
    reads = Reads()
    again = threading.Semaphore(0)

    def read(realm: str) -> Keys:
        again.release()
        return reads(realm)

    sets = KeySets(read, RefreshPolicy(lifetime=0.1, cooldown=0.1, stale=0.1))
    sets.add_one_issuer()
    sets.start()
    try:
        for _ in range(3):
            assert again.acquire(timeout=SECONDS)
    finally:
        sets.stop()
    assert not any(it.name == "key-refresh" for it in {*threading.enumerate()} - before)


class Flood:
    """Key sets of realms, of which those that are called forged hang until the test ends."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.reads = Reads()
        limits = Limits(sources=4, fetches_per_source=4)
        self.sets = KeySets(self._read, POLICY, proven=AtOnce(), unproven=Fetchers(2, limits))

    def come(self, source: str = "") -> list[type[Unavailable]]:
        """Asks for the keys of many forged realms; returns how each was refused."""
        refusals = []
        for number in range(100):
            with pytest.raises(Unavailable) as raised:
                self.sets.find(f"forged-{number}", "key-1", lambda: source)
            refusals.append(raised.type)
        return refusals

    def _read(self, realm: str) -> Keys:
        if realm.startswith("forged"):
            assert self.end.wait(SECONDS)
        return self.reads(realm)


@pytest.fixture
def flood(clock: Clock) -> Iterator[Flood]:
    """Forged realms that hang."""
    assert clock.now == 0
    flood = Flood()
    yield flood
    flood.end.set()


def test_flood_of_forged_realms(flood: Flood) -> None:
    """Forged realms are refused at once when too many are awaited."""
    refusals = flood.come()
    assert refusals.count(KeysAwaited) <= 6
    assert refusals[-1] is Unavailable


def test_new_realm_during_flood(flood: Flood, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood from one network keeps no new realm of another from being fetched."""
    monkeypatch.setattr(realms, "MAX_KEPT", 10)
    flood.come("192.0.2.1")
    with pytest.raises(KeysAwaited) as raised:
        flood.sets.find("new", "key-1", lambda: "203.0.113.1")
    flood.come("192.0.2.1")
    flood.end.set()
    raised.value.fetched.result(SECONDS)
    prove(flood.sets, "new")
    assert flood.reads.names.count("new") == 1


def test_proven_realm_during_flood(
    flood: Flood, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of forged realms delays no refresh of a proven one, and does not evict it."""
    monkeypatch.setattr(realms, "MAX_KEPT", 2)
    prove(flood.sets, "acme")
    flood.come()
    clock.now = RENEWAL
    flood.sets.refresh_due()
    assert flood.reads.names == ["acme", "acme"]
    prove(flood.sets, "acme")
