"""Calls that begin later: each begins, or is given up, once."""

from collections.abc import Callable

from twc_customer_server.transport.delayed import call_when_due


class FakeTimer:
    """Keeps what is to be called later."""

    def __init__(self) -> None:
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
    timer, call, taken = FakeTimer(), FakeCall(), []
    call_when_due(
        timer,  # type: ignore[arg-type]  # a timer that does not run
        seconds,
        call,  # type: ignore[arg-type]  # a call without a client
        lambda: taken.append("due"),
        lambda: taken.append("ended"),
    )
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
