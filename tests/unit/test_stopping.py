"""How long the calls that come as a server stops are held, and how they are refused."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from twc_customer_server.errors import ServiceError, Stopping
from twc_customer_server.transport import stopping
from twc_customer_server.transport.interface import GATEWAY_PEER
from twc_customer_server.transport.stopping import LateCalls

# The longest time for which calls are held, and the shortest.
MOST, LEAST = 0.5, 0.03
NATIVE, OTHER = "ipv4:127.0.0.1:1", "ipv4:127.0.0.1:2"


def behavior(_: object, __: object) -> None:
    """Is called by a client."""


class Incoming:
    """A call that a client has made, until it ends."""

    behavior = staticmethod(behavior)

    def __init__(self, peer: str) -> None:
        self.refused: ServiceError | None = None
        self._peer = peer
        self._callbacks: list[Callable[[], object]] = []

    def peer(self) -> str:
        """The client."""
        return self._peer

    def on_end(self, callback: Callable[[], object]) -> None:
        """Calls back at the end."""
        self._callbacks.append(callback)

    def end(self) -> None:
        """Ends the call."""
        for each in self._callbacks:
            each()

    def refuse(self, error: ServiceError) -> None:
        """Ends the call with an error."""
        self.refused = error
        self.end()


class Stop:
    """The stop of a server: calls come at times that a test sets, by a clock that only waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.late = LateCalls({behavior: lambda incoming, error: incoming.refuse(error)})  # type: ignore[attr-defined]
        self._coming: list[tuple[float, Incoming]] = []
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr(stopping, "time", clock)

    def see(self, *peers: str) -> list[Any]:
        """Has clients call at a time while the server still serves; returns their calls."""
        calls: list[Any] = [Incoming(peer) for peer in peers]
        for call in calls:
            self.late.see(call)
        return calls

    def call_at(self, seconds: float, peer: str) -> Incoming:
        """Has a client call so long after calls are held from."""
        self._coming.append((seconds, Incoming(peer)))
        return self._coming[-1][1]

    def held_for(self) -> float:
        """Holds calls, and returns how long that took."""
        self.late.await_pause()
        return self.now

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        for each in [it for it in self._coming if it[0] <= self.now]:
            self._coming.remove(each)
            call: Any = each[1]
            self.late.accept(call)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """The stop of a server."""
    return Stop(monkeypatch)


def end(calls: list[Any]) -> None:
    """Has calls end."""
    for each in calls:
        each.end()


@pytest.mark.parametrize("seconds", [0, 0.02, 0.04, 0.2, 0.4])
def test_client_that_is_kept_from_calling(stop: Stop, seconds: float) -> None:
    """The next call of a client that calls again and again is held, though it comes late."""
    end(stop.see(NATIVE))
    call = stop.call_at(seconds, NATIVE)
    assert seconds < stop.held_for() < MOST
    assert call.refused is None
    stop.late.refuse()
    assert isinstance(call.refused, Stopping)


def test_client_of_several_threads(stop: Stop) -> None:
    """A client is waited for until it has as many calls open as it had at a time."""
    end(stop.see(NATIVE, NATIVE))
    calls = [stop.call_at(0.1, NATIVE), stop.call_at(0.3, NATIVE)]
    assert 0.3 < stop.held_for() < MOST
    stop.late.refuse()
    assert [type(it.refused) for it in calls] == [Stopping] * 2


def test_client_that_waits_already(stop: Stop) -> None:
    """A client whose call still runs makes no other, and is not waited for."""
    assert stop.see(NATIVE)
    assert stop.held_for() < 2 * LEAST + 0.01


@pytest.mark.parametrize("peers", [[], ["unix:"], [f"{GATEWAY_PEER}ipv4:127.0.0.1:1"]])
def test_no_client(stop: Stop, peers: list[str]) -> None:
    """Without native clients calls are held for moments: gateways know from health."""
    end(stop.see(*peers))
    assert stop.held_for() < 2 * LEAST + 0.01


def test_client_that_has_left(stop: Stop) -> None:
    """A client that makes no other call keeps the server from its stop for half a second."""
    end(stop.see(NATIVE, OTHER))
    stop.call_at(0.1, OTHER)
    assert MOST <= stop.held_for() < MOST + 2 * LEAST


def test_call_after_refusals(stop: Stop) -> None:
    """A call that comes when others were refused is refused at once."""
    stop.late.refuse()
    call: Any = Incoming(NATIVE)
    stop.late.accept(call)
    assert isinstance(call.refused, Stopping)
