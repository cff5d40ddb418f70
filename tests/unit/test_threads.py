"""The threads that RPCs run in."""

import threading

import pytest

from twc_customer_server.transport.executor import Executor

SECONDS = 10


def test_order_of_work() -> None:
    """What is given is run in its order, with its arguments."""
    threads = Executor(1)
    done: list[int] = []
    over = threading.Event()
    for number in range(100):
        threads.submit(done.append, number)
    threads.submit(over.set)
    assert over.wait(SECONDS)
    assert done == [*range(100)]
    threads.stop()


def test_number_of_threads() -> None:
    """As many are run at the same time as there are threads."""
    threads, met = Executor(4), threading.Barrier(5)
    for _ in range(4):
        threads.submit(met.wait)
    met.wait(SECONDS)
    threads.stop()


def test_callbacks() -> None:
    """A callback is called once, after the work, whether that was over when it was added or not."""
    threads, called = Executor(2), threading.Semaphore(0)
    may_end, ended = threading.Event(), threading.Event()
    work = threads.submit(may_end.wait)
    work.add_done_callback(lambda given: called.release() if given is work else None)
    work.add_done_callback(lambda _: ended.set())
    assert not called.acquire(blocking=False)
    may_end.set()
    assert ended.wait(SECONDS)
    assert called.acquire(timeout=SECONDS)
    work.add_done_callback(lambda _: called.release())
    assert called.acquire(blocking=False)
    assert not called.acquire(blocking=False)
    threads.stop()


def test_failing_work(caplog: pytest.LogCaptureFixture) -> None:
    """Work that fails is over like any other, its kind is logged, and its thread goes on."""
    threads, over = Executor(1), threading.Event()
    threads.submit(int, "Ada").add_done_callback(lambda _: over.set())
    assert over.wait(SECONDS)
    over.clear()
    threads.submit(over.set)
    assert over.wait(SECONDS)
    assert caplog.messages == ["a call ended with ValueError"]
    threads.stop()


def test_work_before_stop() -> None:
    """What was given before a stop is still run."""
    threads, done = Executor(1), threading.Event()
    may_end = threading.Event()
    threads.submit(may_end.wait)
    threads.submit(done.set)
    threads.stop()
    may_end.set()
    assert done.wait(SECONDS)
