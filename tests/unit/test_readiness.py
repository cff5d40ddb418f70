"""Whether a server is ready is known from looks in the past, and told at once."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.identity import Clock
from twc_customer_server import readiness
from twc_customer_server.readiness import AWAY_SECONDS, Readiness


class Answering:
    """A database that answers probes, or not, and keys that are there, or not."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.answered_at = 0.0
        self.answers = self.has_keys = True
        self.probes = 0
        self.readiness = Readiness(cast("Any", self), lambda: self.has_keys)

    def probe(self) -> None:
        """Notes that it has answered, if it does."""
        self.probes += 1
        if self.answers:
            self.answered_at = self._clock()

    def look(self) -> None:
        """Looks as the background does."""
        self.readiness._probe()  # noqa: SLF001


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of readiness."""
    clock = Clock()
    monkeypatch.setattr(readiness, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def answering(clock: Clock) -> Answering:
    """What is ready at first."""
    return Answering(clock)


def test_database_away(answering: Answering, clock: Clock) -> None:
    """A server is not ready from some seconds after the last answer to the next one."""
    answering.answers = False
    clock.now = AWAY_SECONDS - 0.1
    answering.look()
    assert answering.readiness.is_ready()
    clock.now = AWAY_SECONDS + 0.1
    answering.look()
    assert not answering.readiness.is_ready()
    answering.answers = True
    answering.look()
    assert answering.readiness.is_ready()


def test_answers_to_calls(answering: Answering, clock: Clock) -> None:
    """A database that answers calls is not probed."""
    for second in range(3):
        clock.now = float(second)
        answering.answered_at = second - 0.5
        answering.look()
    assert answering.probes == 0
    clock.now = 5
    answering.look()
    assert answering.probes == 1


def test_no_keys(answering: Answering) -> None:
    """A server without keys is not ready."""
    answering.has_keys = False
    assert not answering.readiness.is_ready()
    answering.has_keys = True
    assert answering.readiness.is_ready()


def test_log(answering: Answering, caplog: Any) -> None:
    """Each change is logged once, with what is lacking."""
    caplog.set_level(logging.WARNING)
    for has_keys in (True, False, False, True, True):
        answering.has_keys = has_keys
        answering.readiness.is_ready()
    assert caplog.messages == [
        "not ready: there are no keys to verify tokens with",
        "ready again",
    ]
