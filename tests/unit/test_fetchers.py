"""The threads that fetch keys: how many there are, and whose turn it is."""

import queue
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from tests.unit.identity import Clock
from twc_customer_server.auth import fetchers
from twc_customer_server.auth.fetchers import Fetchers, Limits, source_of
from twc_customer_server.contract import RETRY_SECONDS
from twc_customer_server.errors import Unavailable

SECONDS = 10


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the fetchers."""
    clock = Clock()
    monkeypatch.setattr(fetchers, "time", SimpleNamespace(monotonic=clock))
    return clock


class Busy:
    """Fetchers of one thread, which is held up until the test lets it go on."""

    def __init__(self, limits: Limits) -> None:
        self.fetchers = Fetchers(1, limits)
        self.done: list[str] = []
        self._begun, self._end, self._over = (threading.Event() for _ in range(3))
        self.fetchers.submit(self._hold, "first", "")
        assert self._begun.wait(SECONDS)

    def submit(self, name: str, source: str = "a") -> None:
        """Submits a fetch that notes its name when it runs."""
        self.fetchers.submit(lambda: self.done.append(name), name, source)

    def run(self) -> list[str]:
        """Lets the thread go on; returns the names of what waited in the order of its turns."""
        self.fetchers.submit(self._over.set, "last", "last")
        self._end.set()
        assert self._over.wait(SECONDS)
        return self.done

    def let_go(self) -> None:
        """Ends the thread."""
        self._end.set()

    def _hold(self) -> None:
        self._begun.set()
        assert self._end.wait(SECONDS)


@pytest.fixture
def busy() -> Iterator[Callable[..., Busy]]:
    """Makes fetchers whose only thread is busy, with any limits."""
    made: list[Busy] = []

    def make(**limits: float) -> Busy:
        made.append(Busy(Limits(**limits)))
        return made[-1]

    yield make
    for each in made:
        each.let_go()


def test_number_of_threads() -> None:
    """As many fetches run at the same time as there may be threads, and no more."""
    many, running, end = Fetchers(4), threading.Semaphore(0), threading.Event()

    def fetch() -> None:
        running.release()
        end.wait(SECONDS)

    for number in range(6):
        many.submit(fetch, str(number), "")
    for _ in range(4):
        assert running.acquire(timeout=SECONDS)
    assert not running.acquire(blocking=False)
    end.set()
    for _ in range(2):
        assert running.acquire(timeout=SECONDS)


def test_threads_without_work() -> None:
    """No thread is left when there is nothing to fetch."""
    one, threads = Fetchers(1), queue.SimpleQueue[threading.Thread]()
    for _ in range(2):
        one.submit(lambda: threads.put(threading.current_thread()), "", "")
        thread = threads.get(timeout=SECONDS)
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch for which no thread can be started is refused, and the next one runs."""
    one, done = Fetchers(1), queue.SimpleQueue[str]()

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(Unavailable):
            one.submit(lambda: done.put("refused"), "", "")
    one.submit(lambda: done.put("run"), "", "")
    assert done.get(timeout=SECONDS) == "run"


def test_failed_fetch(caplog: pytest.LogCaptureFixture) -> None:
    """A fetch that fails in an unforeseen way costs no other its thread."""
    one, done = Fetchers(1), threading.Event()
    one.submit(lambda: 1 / 0, "", "")
    one.submit(done.set, "", "")
    assert done.wait(SECONDS)
    assert caplog.messages == ["a fetch ended with ZeroDivisionError"]


def test_order_in_source(busy: Callable[..., Busy]) -> None:
    """What one source submits is fetched in that order."""
    one = busy()
    for name in "xyz":
        one.submit(name)
    assert one.run() == ["x", "y", "z"]


def test_turns_of_sources(busy: Callable[..., Busy]) -> None:
    """A source that submits one fetch waits for one of another's, however many that has."""
    one = busy()
    for number in range(10):
        one.submit(str(number), "flood")
    one.submit("own", "genuine")
    assert one.run().index("own") == 1


def test_too_many_fetches_of_source(busy: Callable[..., Busy]) -> None:
    """A source with many waiting fetches is refused more, and no other is."""
    one = busy(fetches_per_source=2)
    for name in "xy":
        one.submit(name, "flood")
    with pytest.raises(Unavailable, match="try again"):
        one.submit("z", "flood")
    with pytest.raises(Unavailable, match="try again"):
        one.fetchers.check_room("z", "flood")
    one.fetchers.check_room("own", "genuine")
    one.submit("own", "genuine")
    assert set(one.run()) == {"x", "y", "own"}


def test_too_many_sources(busy: Callable[..., Busy]) -> None:
    """Only so many sources may wait."""
    one = busy(sources=2)
    one.submit("x", "a")
    one.submit("y", "b")
    with pytest.raises(Unavailable, match="try again"):
        one.submit("z", "c")
    one.submit("z", "a")


def test_name_back_after_refusal(busy: Callable[..., Busy], clock: Clock) -> None:
    """A name that is back when clients are told to repeat gets ahead of a flood of new names."""
    one = busy(fetches_per_source=4)
    for number in range(4):
        one.submit(str(number))
    with pytest.raises(Unavailable):
        one.submit("genuine")
    clock.now = RETRY_SECONDS / 2
    with pytest.raises(Unavailable):
        one.submit("genuine")
    clock.now = RETRY_SECONDS + 0.01
    one.submit("genuine")
    with pytest.raises(Unavailable):
        one.submit("forged")
    assert one.run().index("genuine") == 1


def test_too_many_refused_names(
    busy: Callable[..., Busy], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of refused names only so many are remembered."""
    monkeypatch.setattr(fetchers, "_MAX_REFUSED", 2)
    one = busy(fetches_per_source=1)
    one.submit("x")
    for name in "abc":
        with pytest.raises(Unavailable):
            one.submit(name)
    clock.now = RETRY_SECONDS + 0.01
    with pytest.raises(Unavailable):
        one.fetchers.check_room("a", "a")
    one.fetchers.check_room("c", "a")


def test_frequent_warnings(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Failures that anyone can cause are logged now and then."""
    quiet = Fetchers(1, Limits(warning_seconds=10))
    for clock.now in (0, 1, 9, 11, 12):
        quiet.warn(f"at {clock.now}")
    assert caplog.messages == [
        f"the keys of an issuer cannot be fetched: at {moment}" for moment in (0, 11)
    ]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "source"),
    [
        ("ipv4:192.0.2.1:5000", "", "192.0.2.1"),
        ("ipv4:192.0.2.1:5000", "203.0.113.1", "192.0.2.1"),
        ("ipv6:[2001:db8:1:2:3::4]:5000", "", "2001:db8:1:2::/64"),
        ("ipv6:%5B2001:db8:1:2:3::4%5D:5000", "", "2001:db8:1:2::/64"),
        ("ipv6:[::ffff:192.0.2.1]:5000", "", "192.0.2.1"),
        ("unix:", "203.0.113.1", "203.0.113.1"),
        ("unix:/run/worker.sock", "10.0.0.1, 203.0.113.1", "203.0.113.1"),
        ("unix:", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("gateway:ipv4:192.0.2.1:5000", "10.0.0.1, 203.0.113.1", "203.0.113.1"),
        ("gateway:ipv6:%5B2001:db8::4%5D:5000", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("unix:", "", ""),
        ("unix:", "203.0.113.1, unknown", ""),
        ("", "203.0.113.1", ""),
        ("ipv4:nonsense", "", ""),
    ],
)
def test_source_of_call(peer: str, forwarded_for: str, source: str) -> None:
    """A call comes from its peer, or from whom the gateway says that it was called by."""
    assert source_of(peer, forwarded_for) == source
