"""Functions that are called later."""

import threading
from collections.abc import Iterator

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


def test_order(timer: Timer) -> None:
    """What is due first is called first, whatever was asked for first."""
    called: list[int] = []
    over = threading.Event()
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
