"""Begins calls later, unless their clients give up before."""

from collections.abc import Callable

from twc_customer_server.transport.incoming import IncomingCall
from twc_customer_server.transport.timer import Timer

Step = Callable[[], object]


class _Delayed:
    """What to do when a call is due, or when it has ended before; done once."""

    __slots__ = ("_steps",)

    def __init__(self, due: Step, ended: Step) -> None:
        self._steps = [(due, ended)]

    def on_due(self) -> None:
        self._do(0)

    def on_end(self) -> None:
        self._do(1)

    def _do(self, number: int) -> None:
        try:
            steps = self._steps.pop()
        except IndexError:
            return
        steps[number]()


def call_when_due(
    timer: Timer, delay: float, incoming: IncomingCall, due: Step, ended: Step
) -> None:
    """Calls `due` after a delay in seconds, or `ended` as soon as the call has ended.

    A call that has ended leaves nothing behind but an entry of the timer:
    clients that give up at once may make thousands of them.
    """
    if not delay:
        due()
        return
    delayed = _Delayed(due, ended)
    timer.call_later(delay, delayed.on_due)
    incoming.on_end(delayed.on_end)
