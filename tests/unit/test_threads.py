"""The threads that calls run on, and the turns that tenants have."""

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from twc_customer_server.concurrency.executor import Executor, run_waiting
from twc_customer_server.concurrency.periodic import Periodic
from twc_customer_server.transport.short_tasks import (
    MOST_REST_SECONDS,
    REST_TIMES,
    ShortTasks,
)

SECONDS = 10


class Threads:
    """An executor whose threads a test holds and frees."""

    def __init__(self, number: int, spare_threads: int = 0) -> None:
        self.executor = Executor(number, spare_threads=spare_threads)
        self._ends: list[threading.Event] = []
        self._began = threading.Semaphore(0)
        self.done: list[str] = []

    def hold(
        self, tenant: str, *, is_bulk: bool = False, after: threading.Event | None = None
    ) -> threading.Event:
        """Submits a task that runs until `free`, or until what is returned is set.

        It first waits until `after` is set, if that is given.
        """
        end = threading.Event()
        self._ends.append(end)

        def task() -> None:
            if after:
                run_waiting(partial(after.wait, 6 * SECONDS))
            self._began.release()
            end.wait(6 * SECONDS)

        self.executor.submit(tenant, task, is_bulk=is_bulk)
        return end

    def note(self, tenant: str, name: str = "", *, is_bulk: bool = False) -> threading.Event:
        """Submits a task that notes its name, by default that of the tenant; returns its end."""
        ended = threading.Event()

        def task() -> None:
            self.done.append(name or tenant)
            ended.set()

        self.executor.submit(tenant, task, is_bulk=is_bulk)
        return ended

    def wait_held(self, number: int) -> None:
        """Waits until so many more tasks are held."""
        for _ in range(number):
            assert self._began.acquire(timeout=SECONDS)

    def holds_more(self) -> bool:
        """Tells whether another task is held than those that were waited for."""
        return self._began.acquire(blocking=False)

    def free(self) -> None:
        """Ends all tasks that are held."""
        for end in self._ends:
            end.set()


@pytest.fixture
def one() -> Iterator[Threads]:
    """An executor of one thread, which is held."""
    threads = Threads(1)
    threads.hold("first")
    threads.wait_held(1)
    yield threads
    threads.free()
    threads.executor.stop()


@pytest.fixture
def spare() -> Iterator[Threads]:
    """An executor of one place, and a spare thread."""
    threads = Threads(1, spare_threads=1)
    yield threads
    threads.free()
    threads.executor.stop()


@pytest.fixture
def four() -> Iterator[Threads]:
    """An executor of four threads."""
    threads = Threads(4)
    yield threads
    threads.free()
    threads.executor.stop()


def test_order_of_one_tenant(one: Threads) -> None:
    """The tasks of a tenant run in their order."""
    ends = [one.note("acme", str(number)) for number in range(100)]
    one.free()
    assert ends[-1].wait(SECONDS)
    assert one.done == [str(number) for number in range(100)]


def test_turns_of_tenants(one: Threads) -> None:
    """A tenant's only task runs before the second of another one that has many."""
    for _ in range(3):
        many = one.note("many")
    one.note("few")
    one.free()
    assert many.wait(SECONDS)
    assert one.done == ["many", "few", "many", "many"]


def test_turn_of_bulk(one: Threads) -> None:
    """The bulk work of a tenant has a turn of its own, so that it does not delay its reads."""
    for _ in range(3):
        bulk = one.note("acme", "bulk", is_bulk=True)
    one.note("acme", "read")
    one.free()
    assert bulk.wait(SECONDS)
    assert one.done == ["bulk", "read", "bulk", "bulk"]


def test_number_of_threads(four: Threads) -> None:
    """As many tasks run at the same time as there are threads."""
    for tenant in ("a", "b", "c", "d"):
        four.hold(tenant)
    four.wait_held(4)


def test_threads_of_a_tenant(four: Threads) -> None:
    """A tenant never has all threads: another finds one, and the others of its own wait."""
    for _ in range(10):
        four.hold("acme")
    four.wait_held(2)
    assert four.note("other").wait(SECONDS)
    assert not four.holds_more()
    four.free()
    four.wait_held(8)


def test_threads_of_bulk(four: Threads) -> None:
    """Bulk work has half of the threads, whosever it is; what waits runs when another ends."""
    for tenant in ("a", "b", "c", "d"):
        four.hold(tenant, is_bulk=True)
    four.wait_held(2)
    assert four.note("c").wait(SECONDS)
    assert four.note("a").wait(SECONDS)
    assert not four.holds_more()
    four.free()
    four.wait_held(2)


def test_bulk_and_reads_of_a_tenant(four: Threads) -> None:
    """The end of bulk work frees a thread for its tenant, and one for the bulk of another."""
    end = four.hold("acme", is_bulk=True)
    four.hold("other", is_bulk=True)
    four.hold("acme")
    four.wait_held(3)
    four.hold("acme")
    four.hold("third", is_bulk=True)
    assert four.note("fourth").wait(SECONDS)
    assert not four.holds_more()
    end.set()
    four.wait_held(2)


def test_one_thread_for_two_tenants(one: Threads) -> None:
    """With a single thread every tenant still has its turn."""
    ends = [one.note(tenant, is_bulk=is_bulk) for tenant in ("a", "b") for is_bulk in (False, True)]
    one.free()
    assert all(end.wait(SECONDS) for end in ends)


def test_waiting_tasks(spare: Threads) -> None:
    """While a task waits another has its place; it goes on at once when it has waited."""
    waited = threading.Event()
    spare.hold("acme", after=waited)
    assert spare.note("acme").wait(SECONDS)
    spare.hold("acme")
    spare.wait_held(1)
    waited.set()
    spare.wait_held(1)


def test_places_after_waiting(spare: Threads) -> None:
    """A task that has waited makes no place of its own: the next begins when both have ended."""
    waited = threading.Event()
    ends = [spare.hold("acme", after=waited), spare.hold("acme")]
    spare.wait_held(1)
    waited.set()
    spare.wait_held(1)
    last = spare.note("acme")
    ends[0].set()
    assert not last.wait(0.1)
    ends[1].set()
    assert last.wait(SECONDS)


def test_more_waiting_tasks_than_spare_threads(spare: Threads) -> None:
    """A task keeps its place while it waits if no thread is spare, and gives it to the next."""
    waits = [threading.Event(), threading.Event()]
    for wait in waits:
        spare.hold("acme", after=wait)
    last = spare.note("acme")
    assert not last.wait(0.1)
    waits[1].set()
    spare.wait_held(1)
    spare.free()
    assert last.wait(SECONDS)
    waits[0].set()
    spare.wait_held(1)


def test_waiting_bulk(spare: Threads) -> None:
    """Bulk work keeps its place while it waits."""
    waited = threading.Event()
    spare.hold("acme", is_bulk=True, after=waited)
    last = spare.note("acme")
    assert not last.wait(0.1)
    waited.set()
    spare.free()
    assert last.wait(SECONDS)


def test_waiting_when_stopped(spare: Threads) -> None:
    """What was given before a stop is still run if it waits after the stop."""
    waited, begun = threading.Event(), threading.Event()
    spare.hold("acme", after=begun)
    spare.hold("acme", after=waited)
    last = spare.note("acme")
    spare.executor.stop()
    for event in (begun, waited):
        event.set()
    spare.free()
    assert last.wait(SECONDS)


def test_waiting_elsewhere() -> None:
    """A thread that is none of an executor just waits."""
    assert run_waiting(lambda: "waited") == "waited"


def test_failing_work(caplog: pytest.LogCaptureFixture) -> None:
    """Work that fails is over like any other, its kind is logged, and its thread goes on."""
    threads, over = Executor(1), threading.Event()
    threads.submit("acme", lambda: int("Ada"))
    threads.submit("acme", over.set)
    assert over.wait(SECONDS)
    assert caplog.messages == ["a call ended with ValueError"]
    threads.stop()


def test_work_before_stop(one: Threads) -> None:
    """What was given before a stop is still run."""
    done = one.note("acme")
    one.executor.stop()
    one.free()
    assert done.wait(SECONDS)


@pytest.fixture
def short_tasks() -> Iterator[ShortTasks]:
    """The thread of short work."""
    tasks = ShortTasks()
    yield tasks
    tasks.stop()


def test_rest(short_tasks: ShortTasks) -> None:
    """Short work leaves others the most of the time, however much there is of it."""
    begins: list[float] = []
    ends: list[float] = []
    over = threading.Event()

    def work() -> None:
        begins.append(time.monotonic())
        while time.monotonic() < begins[-1] + 0.005:
            pass
        ends.append(time.monotonic())

    for _ in range(10):
        short_tasks.submit(work)
    short_tasks.submit(over.set)
    assert over.wait(SECONDS)
    for begin, end, following in zip(begins, ends, begins[1:], strict=False):
        assert following - end >= min(REST_TIMES * (end - begin), MOST_REST_SECONDS)


def test_failing_short_work(short_tasks: ShortTasks, caplog: pytest.LogCaptureFixture) -> None:
    """Short work that fails is logged by its kind, and the next is done, also before a stop."""
    over = threading.Event()
    short_tasks.submit(lambda: int("Ada"))
    short_tasks.submit(over.set)
    short_tasks.stop()
    assert over.wait(SECONDS)
    assert caplog.messages == ["a task ended with ValueError"]


def test_failed_period(caplog: pytest.LogCaptureFixture) -> None:
    """What is called again and again is called again after it has failed."""
    calls: list[int] = []
    again = threading.Event()

    def fail() -> None:
        calls.append(0)
        if len(calls) == 2:
            again.set()
        raise ZeroDivisionError

    periodic = Periodic("look", 0.001, fail)
    periodic.start()
    assert again.wait(SECONDS)
    periodic.stop()
    assert caplog.messages[0] == "look failed with ZeroDivisionError"
