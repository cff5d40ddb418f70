"""Functions that are called later."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from twc_customer_server.transport.timer import Timer

SECONDS = 10


@pytest.fixture
def timer() -> Iterator[Timer]:
    """A timer that runs."""
    timer = Timer()
    timer.start()
    yield timer
    timer.stop()


def test_order(timer: Timer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due first is called first, whatever was asked for first."""
    called: list[int] = []
    over = threading.Event()
    asked_at = time.monotonic()
    with monkeypatch.context() as asking:
        asking.setattr(time, "monotonic", lambda: asked_at)
        timer.call_later(0.2, over.set)
        timer.call_later(0.15, lambda: called.append(2))
        timer.call_later(0.1, lambda: called.append(1))
    assert over.wait(SECONDS)
    assert called == [1, 2]


def test_call_that_is_due_now(timer: Timer) -> None:
    """What is due now is called although the timer waits for something later."""
    timer.call_later(60, lambda: None)
    over = threading.Event()
    timer.call_later(0, over.set)
    assert over.wait(SECONDS)


def test_repetition(timer: Timer, caplog: pytest.LogCaptureFixture) -> None:
    """What is called again and again is so also after it failed, of which the log has the kind."""
    calls = threading.Semaphore(0)

    def fail() -> None:
        calls.release()
        raise ValueError("secret")

    timer.call_every(0.01, fail)
    assert all(calls.acquire(timeout=SECONDS) for _ in range(3))
    assert set(caplog.messages) == {"a timer's call ended with ValueError"}


def test_stop() -> None:
    """After its end the timer calls nothing, and its thread is gone."""
    before = set(threading.enumerate())
    timer = Timer()
    timer.start()
    [thread] = set(threading.enumerate()) - before
    timer.call_later(60, lambda: None)
    timer.stop()
    thread.join(SECONDS)
    assert not thread.is_alive()


class FakeTimer(Timer):
    """Keeps what is to be called later."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[Callable[[], object]] = []

    def call_later(self, _: float, function: Callable[[], object]) -> None:
        """Keeps a function."""
        self.due.append(function)


class FakeCall:
    """A call that ends when it is told to."""

    def __init__(self) -> None:
        self.ended: list[Callable[[], object]] = []

    def on_end(self, callback: Callable[[], object]) -> None:
        """Keeps a function."""
        self.ended.append(callback)


def delayed(seconds: float) -> tuple[FakeTimer, FakeCall, list[str]]:
    """Delays a call; returns what it waits for, and the steps that were taken."""
    timer, call, taken = FakeTimer(), FakeCall(), list[str]()
    timer.call_when_due(seconds, call, lambda: taken.append("due"), lambda: taken.append("ended"))
    return timer, call, taken


def test_no_delay() -> None:
    """Without a delay a call begins at once."""
    timer, call, taken = delayed(0)
    assert taken == ["due"]
    assert not timer.due
    assert not call.ended


def test_call_that_is_due() -> None:
    """A call begins when it is due, and its end later changes nothing."""
    timer, call, taken = delayed(1)
    assert taken == []
    timer.due[0]()
    call.ended[0]()
    assert taken == ["due"]


def test_call_that_has_ended() -> None:
    """A call that ends before it is due is given up at once, and does not begin."""
    timer, call, taken = delayed(1)
    call.ended[0]()
    assert taken == ["ended"]
    timer.due[0]()
    assert taken == ["ended"]
