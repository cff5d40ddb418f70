"""Callers who are identified on a thread, and wait for keys without one."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.errors import KeysAwaited
from twc_customer_server.transport.identification import Identifier
from twc_customer_server.transport.limits import Limits, TenantLimits

CALLER = Caller("acme", 1.0)


class Parts:
    """An identity, executor, timer and call of a test: what is due is called by hand."""

    def __init__(self) -> None:
        self.fetched: Future[None] = Future()
        self.knows = False
        self.is_alive = True
        self.timed: list[Callable[[], object]] = []
        self.outcomes: list[Caller | Exception] = []
        parts: Any = self
        self.limits = Limits(TenantLimits(10, 0), {}, 100)
        Identifier(parts, self.limits, parts, parts).identify(parts, (), self.outcomes.append)

    def cached(self, _: object) -> None:
        """Knows nobody at once."""

    def authenticate(self, *_: object) -> Caller:
        """Knows the caller, or awaits keys."""
        if self.knows:
            return CALLER
        raise KeysAwaited(self.fetched, is_proven=False)

    def submit(self, _: str, task: Callable[[], object]) -> None:
        """Runs a task at once."""
        task()

    def call_when_due(self, _: float, __: object, due: Callable[[], object], ___: object) -> None:
        """Calls at once."""
        due()

    def call_later(self, _: float, function: Callable[[], object]) -> None:
        """Keeps what is to be called later."""
        self.timed.append(function)

    def is_active(self) -> bool:
        """Tells whether the client waits."""
        return self.is_alive

    def peer(self) -> str:
        """The call's address."""
        return "ipv4:192.0.2.1:1"


@pytest.mark.parametrize("knows", [False, True])
def test_keys_that_come(*, knows: bool) -> None:
    """A call goes on when the fetch has ended; if that was of no use it waits for the next."""
    parts = Parts()
    assert parts.outcomes == []
    parts.knows = knows
    awaited, parts.fetched = parts.fetched, Future()
    awaited.set_result(None)
    assert parts.outcomes == ([CALLER] if knows else [])


def test_keys_that_do_not_come() -> None:
    """A call whose time is over is told so, and does not wait again."""
    parts = Parts()
    [give_up] = parts.timed
    give_up()
    [outcome] = parts.outcomes
    assert isinstance(outcome, KeysAwaited)
    assert len(parts.timed) == 1


def test_client_that_is_gone() -> None:
    """A call whose client is gone while it waits is forgotten, and nobody is told."""
    parts = Parts()
    parts.is_alive = False
    parts.timed[0]()
    assert parts.outcomes == []
