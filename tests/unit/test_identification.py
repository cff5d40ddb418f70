"""Callers who are identified on a thread, in turn, and wait for keys without one."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tests.unit.test_limits import Clock
from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.errors import KeysAwaited, Overloaded, Unauthenticated
from twc_customer_server.transport.identification import Identifier
from twc_customer_server.transport.limits import Limits, TenantLimits

CALLER = Caller("acme", 1.0)


class Incoming:
    """A call from an address, with a token, and what became of it."""

    def __init__(
        self, credential: str = "good", address: str = "192.0.2.1", tenant: str = "acme"
    ) -> None:
        self.metadata = [("authorization", f"Bearer {credential}"), ("x-twc-tenant", tenant)]
        self.address = address
        self.outcome: Caller | Exception | None = None
        self.end: Callable[[], object] = list
        self.is_alive = True

    def is_active(self) -> bool:
        """Tells whether the client waits."""
        return self.is_alive

    def on_end(self, callback: Callable[[], object]) -> None:
        """Keeps what is to be called at the end."""
        self.end = callback

    def give_up(self) -> None:
        """Ends the call, as its client does."""
        self.is_alive = False
        self.end()

    def peer(self) -> str:
        """The call's address."""
        return f"ipv4:{self.address}:1"


class Parts:
    """An identity, executor and timer of a test: what is due is called by hand."""

    def __init__(self) -> None:
        self.fetched: Future[None] = Future()
        self.awaits = False
        self.timed: list[Callable[[], object]] = []
        # Tokens, as they were looked at.
        self.seen: list[str] = []
        self.known: set[str] = set()
        self.clock = Clock()
        self.limits = Limits(TenantLimits(10, 0), {}, 4000)
        parts: Any = self
        self._identifier = Identifier(parts, self.limits, parts, parts, self.clock)

    def identify(self, *calls: Incoming) -> None:
        """Has calls identified."""
        for call in calls:
            incoming: Any = call

            def then(outcome: Caller | Exception, call: Incoming = call) -> None:
                call.outcome = outcome

            self._identifier.identify(incoming, call.metadata, then)

    def cached(self, metadata: Any) -> Caller | None:
        """Knows those whose token was good before."""
        return CALLER if metadata[0][1] in self.known else None

    def authenticate(self, metadata: Any, *_: object) -> Caller:
        """Knows those with a good token, or awaits keys."""
        token = metadata[0][1].removeprefix("Bearer ")
        self.seen.append(token)
        if self.awaits:
            raise KeysAwaited(self.fetched, is_proven=False)
        if not token.startswith("good"):
            raise Unauthenticated("")
        self.known.add(metadata[0][1])
        return CALLER

    def submit(self, task: Callable[[], object]) -> None:
        """Runs a task at once."""
        task()

    def call_later(self, _: float, function: Callable[[], object]) -> None:
        """Keeps what is to be called later."""
        self.timed.append(function)

    def pass_time(self) -> None:
        """Has the next caller identified that waits for its time."""
        self.timed.pop(0)()


@pytest.fixture
def parts() -> Parts:
    """Parts that nothing was asked of."""
    return Parts()


def awaiting(parts: Parts) -> Incoming:
    """A call that waits for keys."""
    parts.awaits = True
    call = Incoming()
    parts.identify(call)
    return call


@pytest.mark.parametrize("knows", [False, True])
def test_keys_that_come(parts: Parts, *, knows: bool) -> None:
    """A call goes on when the fetch has ended; if that was of no use it waits for the next."""
    call = awaiting(parts)
    assert call.outcome is None
    parts.awaits = not knows
    awaited, parts.fetched = parts.fetched, Future()
    awaited.set_result(None)
    assert call.outcome == (CALLER if knows else None)


def test_keys_that_do_not_come(parts: Parts) -> None:
    """A call whose time is over is told so, and does not wait again."""
    call = awaiting(parts)
    [give_up] = parts.timed
    give_up()
    assert isinstance(call.outcome, KeysAwaited)
    assert len(parts.timed) == 1


def test_client_that_is_gone(parts: Parts) -> None:
    """A call whose client is gone while it waits is forgotten, and nobody is told."""
    call = awaiting(parts)
    call.give_up()
    parts.timed[0]()
    assert call.outcome is None


# As many as are identified at once.
MANY = 101


def flood(parts: Parts, number: int, kind: str = "bad") -> list[Incoming]:
    """So many calls from one address with a token each, of which the first are identified."""
    calls = [Incoming(f"{kind} {each}") for each in range(number)]
    parts.identify(*calls)
    return calls


def test_turns_of_networks(parts: Parts) -> None:
    """Whoever sends many tokens delays no newcomer from elsewhere by more than one of them."""
    flood(parts, 2 * MANY)
    newcomer = Incoming(address="192.0.2.2")
    parts.identify(newcomer)
    assert newcomer.outcome is None
    parts.pass_time()
    parts.pass_time()
    assert newcomer.outcome == CALLER


def test_turns_of_tenants(parts: Parts) -> None:
    """However many calls name one tenant, a newcomer of another is the next but one."""
    flood(parts, 2 * MANY)
    newcomer = Incoming(tenant="other")
    parts.identify(newcomer)
    parts.pass_time()
    parts.pass_time()
    assert newcomer.outcome == CALLER


def test_calls_of_one_token(parts: Parts) -> None:
    """When a token is found to be good its calls wait no longer."""
    flood(parts, MANY)
    calls = [Incoming() for _ in range(MANY)]
    parts.identify(*calls)
    while parts.timed:
        parts.pass_time()
    assert [call.outcome for call in calls] == [CALLER] * MANY
    assert parts.seen.count("good") == 1


def test_pace(parts: Parts) -> None:
    """Beyond a burst callers are identified one by one as time passes, and all of them are."""
    calls = flood(parts, 2 * MANY, "good")
    looked_at = len(parts.seen)
    assert MANY - 1 <= looked_at <= MANY
    while parts.timed:
        parts.clock.now += 0.001
        parts.pass_time()
        looked_at += 1
        assert len(parts.seen) == min(looked_at, len(calls))
    assert [call.outcome for call in calls] == [CALLER] * len(calls)


def test_clients_that_give_up(parts: Parts) -> None:
    """Calls that have ended while they waited leave their places, and are not looked at."""
    for _ in range(10):
        calls = flood(parts, 400)
        for call in calls:
            call.give_up()
    newcomer = Incoming()
    parts.identify(newcomer)
    seen = len(parts.seen)
    parts.pass_time()
    assert newcomer.outcome == CALLER
    assert len(parts.seen) == seen + 1


def test_network_that_is_full(parts: Parts) -> None:
    """In a network with all its calls the last of the tenant with the most gives way to others."""
    # Those that are identified at once, and half of a quarter of all calls.
    calls = flood(parts, MANY + 500)
    with pytest.raises(Overloaded):
        flood(parts, 1)
    newcomer = Incoming(tenant="other")
    parts.identify(newcomer)
    gave_way = [call for call in calls if isinstance(call.outcome, Overloaded)]
    assert gave_way == calls[-1:]
    parts.pass_time()
    parts.pass_time()
    assert newcomer.outcome == CALLER
