"""Threads that wait for the same look for it in turn."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from twc_customer_server.concurrency.shared_polls import SharedPolls

SECONDS = 60


class Subject:
    """Something that threads wait for; counts the looks, and those at the same time."""

    def __init__(self) -> None:
        self.is_there = False
        self.looks = self.most = 0
        self._looking = 0
        self.looked = threading.Event()

    def look(self) -> bool:
        """Looks for it."""
        self._looking += 1
        self.most = max(self.most, self._looking)
        self.looks += 1
        self.looked.set()
        time.sleep(0.001)
        self._looking -= 1
        return self.is_there


@pytest.fixture
def polls() -> Iterator[SharedPolls]:
    """Looks with a short time in between."""
    polls = SharedPolls(0.01)
    yield polls
    polls.stop()


def started(*waits: Callable[[], None]) -> list[threading.Thread]:
    """Threads that wait."""
    threads = [threading.Thread(target=wait) for wait in waits]
    for thread in threads:
        thread.start()
    return threads


def joined(threads: list[threading.Thread]) -> bool:
    """Waits for the ends of threads; tells whether all have ended."""
    for thread in threads:
        thread.join(SECONDS)
    return not any(thread.is_alive() for thread in threads)


def test_one_looks_for_all(polls: SharedPolls) -> None:
    """One thread at a time looks, and all of them find what is there."""
    subject = Subject()
    wait = lambda: polls.wait("acme", subject.look, SECONDS, lambda: True)  # noqa: E731
    threads = started(*[wait] * 8)
    subject.looked.wait(SECONDS)
    subject.is_there = True
    assert joined(threads)
    assert subject.most == 1
    assert subject.looks >= 8


def test_other_subject(polls: SharedPolls) -> None:
    """A look that hangs holds up nobody who waits for something else."""
    free = threading.Event()
    hanging = started(lambda: polls.wait("hung", lambda: free.wait(SECONDS), SECONDS, lambda: True))
    found = started(lambda: polls.wait("acme", lambda: True, SECONDS, lambda: True))
    assert joined(found)
    free.set()
    assert joined(hanging)


def test_time_of_a_wait(polls: SharedPolls) -> None:
    """A wait ends after its time, also one whose turn has not come."""
    subject = Subject()
    long = started(lambda: polls.wait("acme", subject.look, SECONDS, lambda: True))
    subject.looked.wait(SECONDS)
    short = started(lambda: polls.wait("acme", subject.look, 0.05, lambda: True))
    assert joined(short)
    subject.is_there = True
    assert joined(long)


def test_wait_of_nobody(polls: SharedPolls) -> None:
    """A wait ends when its client has gone."""
    gone = threading.Event()
    subject = Subject()
    threads = started(lambda: polls.wait("acme", subject.look, SECONDS, lambda: not gone.is_set()))
    subject.looked.wait(SECONDS)
    gone.set()
    assert joined(threads)


def test_stop(polls: SharedPolls) -> None:
    """A stop ends every wait."""
    subject = Subject()
    wait = lambda: polls.wait("acme", subject.look, SECONDS, lambda: True)  # noqa: E731
    threads = started(*[wait] * 3)
    subject.looked.wait(SECONDS)
    polls.stop()
    assert joined(threads)
    assert polls.is_stopped


def test_failed_look(polls: SharedPolls) -> None:
    """A look that fails ends its own wait, and leaves the turn to others."""
    with pytest.raises(ZeroDivisionError):
        polls.wait("acme", lambda: bool(1 // 0), SECONDS, lambda: True)
    assert joined(started(lambda: polls.wait("acme", lambda: True, SECONDS, lambda: True)))


def test_who_waits_again_is_last(polls: SharedPolls) -> None:
    """A thread that found something and waits on leaves the next look to those who wait."""
    is_there, found = threading.Event(), threading.Event()

    def wait_twice() -> None:
        polls.wait("acme", is_there.is_set, SECONDS, lambda: True)
        polls.wait("acme", found.is_set, SECONDS, lambda: True)

    def look() -> bool:
        if is_there.is_set():
            found.set()
        return found.is_set()

    for _ in range(50):
        is_there.clear()
        found.clear()
        threads = started(wait_twice, lambda: polls.wait("acme", look, SECONDS, lambda: True))
        is_there.set()
        assert found.wait(SECONDS / 2)
        assert joined(threads)
