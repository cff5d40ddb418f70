"""What counts as a broken bound of a trial."""

from typing import Any

import pytest

from tests.security.attacker import Attacker, Who
from tests.security.attacks import Attack
from tests.security.bounds import FULL, Trial, broken
from tests.security.outcomes import OPEN, UNANSWERED, Outcomes
from tests.security.victim import READ, Sample

SECONDS = 10.0


def _attack(_: Attacker) -> None: ...


def _calls(seconds: float, status: str = "200", kind: str = READ) -> list[Sample]:
    return [Sample(kind, "0", due / 10, seconds, status) for due in range(100)]


def _trial(attack: dict[str, Any] | None = None, **seen: Any) -> Trial:
    """A trial in which nothing was broken, but for what was seen."""
    calm: dict[str, Any] = {
        "attack": Attack("attack", "Does nothing.", _attack, **attack or {}),
        "who": Who.NONE,
        "outcomes": Outcomes(),
        "time": (0.0, SECONDS),
        "before": _calls(0.02),
        "during": _calls(0.02),
        "after": _calls(0.02),
        "calm": {"worker": 90.0},
        "peaks": {"worker": 90.0},
        "kept": {"worker": 90.0},
        "log": b"",
        "ended": [],
        "is_recovered": True,
    }
    return Trial(**calm | seen)


def _answered(label: str, size: int = 0) -> Outcomes:
    outcomes = Outcomes()
    outcomes.add(label, size)
    return outcomes


def test_calm_trial() -> None:
    """Where nothing is wrong no bound is broken."""
    assert broken(_trial(), FULL) == []


@pytest.mark.parametrize(
    "seen",
    [
        {"during": _calls(0.02, "503")},
        {"during": _calls(0.02, "TimeoutError", "health")},
        {"during": _calls(0.07)},
        {"during": [Sample(READ, "0", 1.0, SECONDS, "200")] * 3, "before": []},
        {"outcomes": _answered("401", 100_000)},
        {"outcomes": _answered("200")},
        {"outcomes": _answered("grpc 0")},
        {"outcomes": _answered("500")},
        {"outcomes": _answered(UNANSWERED)},
        {"peaks": {"envoy 2": 1000.0}},
        {"peaks": {"supervisor": 100.0}},
        {"kept": {"worker": 300.0}},
        {"log": b"{}\nCANARY"},
        {"log": b'{"FORGED": 1}\n'},
        {"log": b"x" * 10_000},
        {"ended": ["envoy"]},
        {"is_recovered": False},
    ],
)
def test_broken_bound(seen: dict[str, Any]) -> None:
    """Each of these is one thing wrong, and said once."""
    assert len(broken(_trial(**seen), FULL)) == 1


@pytest.mark.parametrize(
    ("attack", "seen"),
    [
        ({"slower": 4.0}, {"during": _calls(0.07)}),
        (
            {"place_seconds": 3.0},
            {name: _calls(t, kind="upload") for name, t in (("before", 0.02), ("during", 2.0))},
        ),
        ({"answer_bytes": None}, {"outcomes": _answered("401", 100_000)}),
        ({"is_public": True}, {"outcomes": _answered("200")}),
        ({"allowed": ("500",)}, {"outcomes": _answered("500")}),
        ({}, {"outcomes": _answered("200"), "who": Who.OWN}),
        ({}, {"outcomes": _answered(OPEN)}),
    ],
)
def test_expected(attack: dict[str, Any], seen: dict[str, Any]) -> None:
    """What an attack says may be is not wrong."""
    assert broken(_trial(attack, **seen), FULL) == []


def test_memory_of_an_attack() -> None:
    """What an attack says of memory counts in place of what is usual, also where it is less."""
    trial = _trial({"peak_mebibytes": 200.0}, peaks={"envoy": 300.0, "supervisor": 70.0})
    assert broken(trial, FULL) == ["envoy had 300 MiB"]


def test_call_that_does_not_end() -> None:
    """A call that had to end and is open is wrong."""
    trial = _trial({"ends_within": 5.0}, outcomes=_answered(OPEN))
    assert broken(trial, FULL) == ["1 calls did not end within 5 s"]
