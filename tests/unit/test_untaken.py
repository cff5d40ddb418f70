"""How much clients may leave untaken of their answers, and for how long."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.test_limits import Clock
from twc_customer_server import contract
from twc_customer_server.transport import untaken
from twc_customer_server.transport.calls import Awaits, Call, Rpc
from twc_customer_server.transport.limits import Kind, Usage
from twc_customer_server.transport.untaken import Untaken

NO_HANDLER: Any = None
GET = Rpc(Awaits.MESSAGE, Kind.UNARY, responds_by_stream=False, handler=NO_HANDLER)
CLIENT_TAKES, CANCELLED = "taken", "cancelled"
MANY = untaken.TENANT_BYTES
IDLE = untaken.IDLE_SECONDS


class _Incoming:
    """A call whose client takes its answer when a test says so."""

    def __init__(self) -> None:
        self.end = ""
        self._callbacks: list[Callable[[], object]] = []

    def on_end(self, callback: Callable[[], object]) -> None:
        """Calls back when the call ends."""
        self._callbacks.append(callback)

    def cancel(self) -> None:
        """Ends the call."""
        self.end_by(CANCELLED)

    def end_by(self, end: str) -> None:
        """Ends the call in a way."""
        self.end = end
        for callback in self._callbacks:
            callback()


class Answers:
    """Answers of tenants, which nobody has taken yet."""

    def __init__(self) -> None:
        self.ran: list[Call] = []
        self.clock = Clock()
        self.untaken = Untaken(self.ran.append, self.clock)
        self._usages: dict[str, Usage] = {}

    def call(self, tenant: str) -> Call:
        """A call of a tenant."""
        incoming: Any = _Incoming()
        call = Call(incoming, GET)
        call.usage = self._usages.setdefault(tenant, Usage(tenant))
        return call

    def answer(self, tenant: str, size: int) -> Call:
        """A call of a tenant that was answered with so many bytes."""
        call = self.call(tenant)
        call.answer_bytes = size
        self.untaken.add(call)
        return call

    def may_run(self, tenant: str) -> bool:
        """Tells whether a call of a tenant may run."""
        return self.untaken.may_run(self.call(tenant))

    def ends(self, *calls: Call, after: float = 0) -> list[str]:
        """How calls have ended after some seconds."""
        self.clock.now += after
        self.untaken.tick()
        incoming: Any = [call.incoming for call in calls]
        return [each.end for each in incoming]


@pytest.fixture
def answers() -> Answers:
    """No answers."""
    return Answers()


def take(call: Call) -> None:
    """Has the client of a call take its answer."""
    incoming: Any = call.incoming
    incoming.end_by(CLIENT_TAKES)


def test_answer_that_nobody_takes(answers: Answers) -> None:
    """An answer is to be taken in the time that streams have, however small it is."""
    small = answers.answer("a", 0)
    assert answers.ends(small, after=contract.STREAM_IDLE_SECONDS - 1) == [""]
    assert answers.ends(small, after=1) == [CANCELLED]


def test_tenant_with_much(answers: Answers) -> None:
    """The calls of a tenant that has not taken much wait until it has; those of others run."""
    large = [answers.answer("a", MANY // 2) for _ in range(2)]
    waiting = [answers.call("a") for _ in range(2)]
    assert [answers.untaken.may_run(call) for call in waiting] == [False, False]
    assert answers.may_run("b")
    assert answers.ran == []
    take(large[0])
    assert answers.ran == waiting
    assert answers.may_run("a")


def test_number_of_answers(answers: Answers) -> None:
    """Answers count though they are empty, as each call takes memory."""
    for _ in range(MANY // untaken.CALL_BYTES):
        assert answers.may_run("a")
        answers.answer("a", 0)
    assert not answers.may_run("a")


def test_wanted_answers(answers: Answers) -> None:
    """While calls of a tenant wait its oldest answers end soon, as many as suffice."""
    old = [answers.answer("a", MANY // 4) for _ in range(5)]
    assert answers.ends(*old, after=IDLE) == [""] * 5
    waiting = answers.call("a")
    assert not answers.untaken.may_run(waiting)
    new = answers.answer("a", MANY // 4)
    assert answers.ends(*old, new) == [CANCELLED] * 4 + ["", ""]
    assert answers.ran == [waiting]


def test_call_that_waits_no_longer(answers: Answers) -> None:
    """A call whose client has gone does not run."""
    large = answers.answer("a", MANY)
    waiting = answers.call("a")
    assert not answers.untaken.may_run(waiting)
    assert answers.untaken.forget(waiting)
    assert not answers.untaken.forget(waiting)
    take(large)
    assert answers.ran == []


def test_much_of_all(answers: Answers) -> None:
    """Where all tenants together have not taken much, calls of those with little run still."""
    number = untaken.ALL_BYTES // MANY * 2
    large = [answers.answer(f"{tenant}", MANY // 2) for tenant in range(number)]
    small = answers.answer("small", 100)
    assert answers.may_run("small")
    waiting = answers.call("0")
    assert not answers.untaken.may_run(waiting)
    assert answers.ends(*large, small, after=IDLE - 1) == [""] * (number + 1)
    ended = answers.ends(*large, small, after=1)
    assert 0 < ended.count(CANCELLED) < number
    assert ended[-1] == ""
    assert answers.ran == [waiting]
