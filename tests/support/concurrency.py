"""Makes calls at the same time, each in a thread of its own."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tests.support.client import SECONDS

T = TypeVar("T")


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Makes calls, which all begin at the same time, and returns their results."""
    ready = threading.Barrier(len(calls))

    def call(number: int) -> T:
        ready.wait(SECONDS)
        return calls[number]()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call, range(len(calls))))


def in_background(calls: Sequence[Callable[[], T]]) -> list[Future[T]]:
    """Begins calls, and does not wait for them."""
    threads = ThreadPoolExecutor(len(calls))
    outcomes = [threads.submit(call) for call in calls]
    threads.shutdown(wait=False)
    return outcomes
