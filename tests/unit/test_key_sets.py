"""The keys of an issuer: how long they count, when they are fetched, and who waits for that."""

import threading
from concurrent.futures import Future
from typing import Any

import jwt
import pytest

from tests.support.tokens import Issuer
from tests.unit.identity import POLICY, AtOnce, Clock, Source, stop_clocks
from twc_customer_server.auth.fetchers import Fetch, Fetchers
from twc_customer_server.auth.jwks import JwksError
from twc_customer_server.auth.key_sets import (
    MAX_UNPROVEN_CALLS,
    MOST_RETRY_SECONDS,
    REFRESH_AFTER,
    KeySet,
    RefreshPolicy,
)
from twc_customer_server.errors import KeysAwaited, Unavailable

OLD = Issuer(key_id="old")
NEW = Issuer(key_id="new")
SECONDS = 10

RENEWAL = REFRESH_AFTER * POLICY.lifetime
# The longest time of a test between two looks at a clock that stands still.
MOMENT = 0.01

ERRORS = {
    "no network": ConnectionRefusedError("no route"),
    "no time left": TimeoutError(),
    "no file": FileNotFoundError("jwks.json"),
    "no JWKS": JwksError("not a JWKS document"),
    "anything else": ZeroDivisionError(),
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the key sets."""
    return stop_clocks(monkeypatch)


class Background(Fetchers):
    """Fetchers that run what is submitted when the test wants."""

    def __init__(self) -> None:
        super().__init__(1)
        self.waiting: list[Fetch] = []
        self.is_full = False

    def submit(self, fetch: Fetch, name: str, source: str) -> None:  # noqa: ARG002 - there is no queue
        """Keeps a fetch until the test runs it."""
        if self.is_full:
            raise Unavailable("full")
        self.waiting.append(fetch)

    def run(self) -> None:
        """Runs what waits."""
        while self.waiting:
            self.waiting.pop(0)()


class Kept:
    """A key set of the key `old`, and all around it."""

    def __init__(self, *, is_proven: bool = True, policy: RefreshPolicy = POLICY) -> None:
        self.source = Source(OLD)
        self.background = Background()
        self.keys = KeySet("", self.source.read, policy, self.background, is_proven=is_proven)

    def has(self, key_id: str) -> bool:
        """Whether there is a key with an id, which the issuer need not be asked for."""
        return self.keys.find(key_id) is not None

    def awaited(self, key_id: str) -> Future[None]:
        """Asks for a key that must be waited for; returns what is done when it is there."""
        with pytest.raises(KeysAwaited) as raised:
            self.keys.find(key_id)
        return raised.value.fetched

    def refresh(self) -> None:
        """Refreshes the keys if that is due, and waits for it."""
        self.keys.refresh_if_due()
        self.background.run()


@pytest.fixture
def new(clock: Clock) -> Kept:
    """A key set that was never fetched; its clock stands at zero."""
    assert clock.now == 0
    return Kept()


@pytest.fixture
def kept(new: Kept) -> Kept:
    """A key set that was fetched at zero."""
    new.refresh()
    assert new.has("old")
    return new


def public(key: jwt.PyJWK | None) -> Any:
    """What makes one key equal another."""
    assert key
    return key.key.public_bytes_raw()


def test_first_call(new: Kept) -> None:
    """The first call begins a fetch and is told so; after it the key is there."""
    fetched = new.awaited("old")
    assert (new.source.reads, fetched.done()) == (0, False)
    new.background.run()
    assert (new.source.reads, fetched.done()) == (1, True)
    assert public(new.keys.find("old")) == OLD.key.public_key().public_bytes_raw()


def test_whether_keys_count(new: Kept, clock: Clock) -> None:
    """Keys count from their fetch on until they are stale, if they cannot be fetched again."""
    assert not new.keys.are_good
    new.refresh()
    assert new.keys.are_good
    new.source.error = OSError()
    clock.now = POLICY.lifetime - 1
    new.refresh()
    clock.now = POLICY.stale - 1
    assert new.keys.are_good
    clock.now = POLICY.stale + 1
    assert not new.keys.are_good


def test_refresh_at_once(kept: Kept) -> None:
    """Keys that somebody knows to have changed are fetched before that is due, once."""
    kept.keys.refresh()
    kept.keys.refresh()
    kept.background.run()
    assert kept.source.reads == 2


def test_calls_during_first_fetch(new: Kept) -> None:
    """Calls that want keys while these are fetched share that fetch."""
    awaited = [new.awaited("old"), new.awaited("old"), new.awaited("forged")]
    assert set(awaited) == {awaited[0]}
    new.background.run()
    assert (new.has("old"), new.has("forged"), new.source.reads) == (True, False, 1)


def test_keys_in_lifetime(kept: Kept, clock: Clock) -> None:
    """Keys are not fetched again before the end of their lifetime comes near."""
    clock.now = RENEWAL - MOMENT
    kept.keys.refresh_if_due()
    assert all(kept.has("old") for _ in range(100))
    assert (kept.source.reads, kept.background.waiting) == (1, [])


def test_background_refresh(kept: Kept, clock: Clock) -> None:
    """Near the end of their lifetime keys are refreshed once, while those at hand are given."""
    kept.source.publish(NEW)
    clock.now = RENEWAL
    for _ in range(100):
        kept.keys.refresh_if_due()
        assert kept.has("old")
    assert (kept.source.reads, len(kept.background.waiting)) == (1, 1)
    kept.background.run()
    assert (kept.has("old"), kept.has("new"), kept.source.reads) == (False, True, 2)


def test_lifetime_after_refresh(kept: Kept, clock: Clock) -> None:
    """Keys that were refreshed count for a lifetime from then on."""
    clock.now = RENEWAL
    kept.refresh()
    clock.now = RENEWAL + RENEWAL - MOMENT
    kept.refresh()
    assert kept.source.reads == 2
    clock.now = RENEWAL + POLICY.lifetime - MOMENT
    assert kept.has("old")
    clock.now = RENEWAL + POLICY.lifetime
    kept.awaited("old")


def test_end_of_lifetime(kept: Kept, clock: Clock) -> None:
    """Keys that nobody refreshed in time do not count: a removed key may be among them."""
    kept.source.publish(NEW)
    clock.now = POLICY.lifetime
    fetched = kept.awaited("old")
    assert kept.awaited("new") is fetched
    kept.background.run()
    assert (kept.has("old"), kept.has("new")) == (False, True)


def test_slow_refresh(kept: Kept, clock: Clock) -> None:
    """Keys count beyond their lifetime while a refresh is under way that began in time."""
    kept.source.publish(NEW)
    clock.now = RENEWAL
    kept.keys.refresh_if_due()
    clock.now = 2 * POLICY.lifetime
    assert kept.has("old")
    kept.background.run()
    assert (kept.has("old"), kept.has("new")) == (False, True)
    clock.now += POLICY.lifetime
    kept.awaited("new")


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_issuer_away(kept: Kept, clock: Clock, error: Exception) -> None:
    """Keys that cannot be refreshed count until they are stale, and no call waits meanwhile."""
    kept.source.error = error
    clock.now = RENEWAL
    while clock.now < POLICY.stale - MOMENT:
        kept.keys.refresh_if_due()
        assert kept.has("old")
        kept.background.run()
        clock.now += POLICY.cooldown / 2
    clock.now = POLICY.stale - MOMENT
    assert kept.has("old")
    clock.now = POLICY.stale
    kept.awaited("old")
    kept.background.run()
    with pytest.raises(Unavailable, match="cannot be fetched"):
        kept.has("old")


def test_attempts_while_away(kept: Kept, clock: Clock) -> None:
    """While an issuer is away one attempt is made each cool-down."""
    kept.source.error = OSError()
    clock.now = RENEWAL
    kept.refresh()
    assert kept.source.reads == 2
    clock.now += POLICY.cooldown - MOMENT
    kept.refresh()
    assert kept.source.reads == 2
    clock.now += 2 * MOMENT
    kept.refresh()
    assert kept.source.reads == 3


def test_removed_key_when_issuer_is_back(kept: Kept, clock: Clock) -> None:
    """Keys that were removed while the issuer was away end with the first fetch afterwards."""
    kept.source.error = OSError()
    clock.now = RENEWAL
    kept.refresh()
    kept.source.error = None
    kept.source.publish(NEW)
    clock.now = 2 * POLICY.lifetime
    assert kept.has("old")
    kept.refresh()
    assert (kept.has("old"), kept.has("new")) == (False, True)


def test_recovery_of_stale_keys(kept: Kept, clock: Clock) -> None:
    """Keys that were too stale to count are there again as soon as they can be fetched."""
    kept.source.error = OSError()
    clock.now = RENEWAL
    kept.refresh()
    clock.now = POLICY.stale + MOMENT
    kept.refresh()
    with pytest.raises(Unavailable):
        kept.has("old")
    kept.source.error = None
    clock.now += POLICY.cooldown + MOMENT
    kept.refresh()
    assert kept.has("old")


def test_issuer_away_after_pause(kept: Kept, clock: Clock) -> None:
    """Keys whose lifetime ended unnoticed count again when the attempt to fetch them failed."""
    kept.source.error = OSError()
    clock.now = POLICY.lifetime
    kept.awaited("old")
    kept.background.run()
    assert kept.has("old")


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_keys_never_fetched(new: Kept, clock: Clock, error: Exception) -> None:
    """Without any keys the answer is not that there is none, but that nobody knows."""
    new.source.error = error
    fetched = new.awaited("old")
    new.background.run()
    assert fetched.done()
    for moment in (MOMENT, POLICY.cooldown - MOMENT):
        clock.now = moment
        with pytest.raises(Unavailable, match="cannot be fetched") as raised:
            new.has("old")
        assert type(raised.value) is Unavailable
    assert (new.source.reads, new.background.waiting) == (1, [])


def test_recovery(new: Kept, clock: Clock) -> None:
    """Keys that could not be fetched are there a cool-down after they can."""
    new.source.error = OSError("no route")
    new.awaited("old")
    new.background.run()
    new.source.error = None
    clock.now = POLICY.cooldown + MOMENT
    new.awaited("old")
    new.background.run()
    assert new.has("old")


@pytest.mark.parametrize("is_refreshed", [True, False], ids=["in the background", "by a call"])
def test_recovery_with_a_long_cooldown(clock: Clock, is_refreshed: bool) -> None:  # noqa: FBT001
    """Keys that could not be fetched are tried again soon, however long the cool-down is."""
    kept = Kept(policy=POLICY._replace(cooldown=3600))
    kept.source.error = OSError("no route")
    kept.refresh()
    kept.source.error = None
    clock.now = MOST_RETRY_SECONDS - MOMENT
    kept.refresh()
    with pytest.raises(Unavailable):
        kept.has("old")
    assert kept.source.reads == 1
    clock.now = MOST_RETRY_SECONDS + MOMENT
    if is_refreshed:
        kept.refresh()
    else:
        kept.awaited("old")
        kept.background.run()
    assert kept.has("old")
    clock.now += 2 * MOST_RETRY_SECONDS
    assert not kept.has("forged")


def test_unknown_key(kept: Kept, clock: Clock) -> None:
    """An unknown key id causes one fetch, and no more until the cool-down is over."""
    clock.now = 20
    for number in range(100):
        kept.awaited(f"forged-{number}")
    kept.background.run()
    assert not any(kept.has(f"forged-{number}") for number in range(100))
    clock.now = 20 + POLICY.cooldown - MOMENT
    assert not kept.has("forged")
    assert (kept.source.reads, kept.background.waiting) == (2, [])
    clock.now = 20 + POLICY.cooldown + MOMENT
    kept.awaited("forged")
    kept.background.run()
    assert kept.source.reads == 3


def test_unknown_key_after_recent_fetch(kept: Kept, clock: Clock) -> None:
    """An unknown key id causes no fetch while any other was a cool-down ago."""
    clock.now = POLICY.cooldown - MOMENT
    assert not kept.has("forged")
    assert (kept.source.reads, kept.background.waiting) == (1, [])


@pytest.mark.parametrize("seconds", [MOMENT, POLICY.cooldown], ids=["quick", "slow"])
def test_key_published_during_fetch(kept: Kept, clock: Clock, seconds: float) -> None:
    """A key that is published while a fetch takes its time is found a cool-down after that began.

    The cool-down bounds how often the issuer is asked, and its answer may be as old as that.
    """

    def publish() -> None:
        clock.now += seconds
        kept.source.publish(OLD, NEW)

    clock.now = RENEWAL
    kept.source.meanwhile = publish
    kept.refresh()
    kept.source.meanwhile = lambda: None
    clock.now = RENEWAL + POLICY.cooldown + MOMENT
    kept.awaited("new")
    kept.background.run()
    assert kept.has("new")


@pytest.mark.parametrize("age", [0, MOMENT], ids=["at once", "before"])
def test_unknown_key_of_call_that_waited(kept: Kept, clock: Clock, age: float) -> None:
    """A call for which the issuer was asked does not have it asked again."""
    clock.now = 20
    came_at = clock.now - age
    kept.awaited("forged")
    kept.background.run()
    clock.now += POLICY.cooldown + MOMENT
    assert kept.keys.find("forged", came_at=came_at) is None
    assert (kept.source.reads, kept.background.waiting) == (2, [])


def test_unknown_key_of_later_call(kept: Kept, clock: Clock) -> None:
    """A call that came after the issuer was asked has it asked again: the key may be new."""
    clock.now = 20
    kept.awaited("new")
    kept.background.run()
    came_at = clock.now + MOMENT
    kept.source.publish(NEW)
    clock.now += POLICY.cooldown + MOMENT
    with pytest.raises(KeysAwaited):
        kept.keys.find("new", came_at=came_at)
    kept.background.run()
    assert kept.keys.find("new", came_at=came_at)


def test_unknown_key_while_away(kept: Kept, clock: Clock) -> None:
    """Of a key that the issuer may have published while it was away nobody says there is none."""
    kept.source.error = OSError()
    clock.now = 20
    kept.awaited("new")
    kept.background.run()
    with pytest.raises(Unavailable, match="cannot be fetched"):
        kept.has("new")
    assert kept.has("old")


def test_new_key(kept: Kept, clock: Clock) -> None:
    """A key that was published since the last fetch is found as soon as it is used."""
    clock.now = 20
    kept.source.publish(OLD, NEW)
    fetched = kept.awaited("new")
    assert kept.has("old")
    kept.background.run()
    assert fetched.done()
    assert (kept.has("new"), kept.has("old"), kept.source.reads) == (True, True, 2)


def test_lifetime_after_unknown_key(kept: Kept, clock: Clock) -> None:
    """The keys that are fetched for an unknown id count for a lifetime, and no old key does."""
    clock.now = 20
    kept.source.publish(NEW)
    kept.awaited("new")
    kept.background.run()
    assert [kept.has("new"), kept.has("old")] == [True, False]
    clock.now = 20 + RENEWAL - MOMENT
    kept.refresh()
    assert (kept.has("new"), kept.source.reads) == (True, 2)


def test_key_that_counts(kept: Kept, clock: Clock) -> None:
    """A key counts as long as its issuer lists it, and no longer than the key set does."""
    clock.now = RENEWAL
    assert (kept.has("old"), kept.keys.are_good) == (True, True)
    kept.source.publish(NEW)
    kept.refresh()
    assert kept.has("new")
    assert kept.keys.held.keys.keys() == {"new"}
    clock.now += POLICY.lifetime
    assert not kept.keys.are_good


def test_refused_fetch(new: Kept) -> None:
    """A call whose fetch is refused is told at once, and the next may have it."""
    new.background.is_full = True
    with pytest.raises(Unavailable, match="full") as raised:
        new.keys.find("old")
    assert type(raised.value) is Unavailable
    new.background.is_full = False
    new.awaited("old")
    new.background.run()
    assert new.has("old")


def test_too_many_calls_of_unproven_realm(clock: Clock) -> None:
    """Only so many calls await the first keys of a realm that may not exist."""
    assert clock.now == 0
    unproven = Kept(is_proven=False)
    for _ in range(MAX_UNPROVEN_CALLS):
        unproven.awaited("old")
    with pytest.raises(Unavailable, match="too many calls") as raised:
        unproven.has("old")
    assert type(raised.value) is Unavailable
    unproven.background.run()
    assert unproven.has("old")


def test_many_calls_of_proven_issuer(new: Kept) -> None:
    """Any number of calls await the keys of an issuer that exists."""
    assert len({new.awaited("old") for _ in range(MAX_UNPROVEN_CALLS + 1)}) == 1


def test_calls_during_hanging_fetch(clock: Clock) -> None:
    """Whatever is asked for while a fetch hangs is answered at once."""
    begun, end = threading.Event(), threading.Event()
    source = Source(OLD)
    key_set = KeySet("", source.read, POLICY, Fetchers(1), is_proven=True)
    key_set.fetch_now()

    def hang() -> None:
        begun.set()
        assert end.wait(SECONDS)

    source.meanwhile = hang
    clock.now = RENEWAL
    key_set.refresh_if_due()
    assert begun.wait(SECONDS)
    try:
        assert key_set.find("old")
        key_set.refresh_if_due()
        with pytest.raises(KeysAwaited) as raised:
            key_set.find("new")
    finally:
        end.set()
    raised.value.fetched.result(SECONDS)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("https://user:password@id.example"), "OSError"),
        (JwksError("HTTP status 503"), "HTTP status 503"),
    ],
    ids=["of a library", "of a document"],
)
def test_warning_of_failed_fetch(
    new: Kept, error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """That keys cannot be fetched is logged, and no location with it."""
    new.source.error = error
    new.refresh()
    assert [(it.levelname, it.getMessage()) for it in caplog.records] == [
        ("WARNING", f"the keys of an issuer cannot be fetched: {said}")
    ]


def test_immediate_fetch(clock: Clock) -> None:
    """Where a fetch is over at once nobody is told to wait."""
    assert clock.now == 0
    key_set = KeySet("", Source(OLD).read, POLICY, AtOnce(), is_proven=True)
    assert key_set.find("old")
    assert key_set.find("new") is None
