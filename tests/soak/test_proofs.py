"""Each proof holds in a short run; `make soak` runs them as long as it is told to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak import clocks, histories, kills, load, races
from tests.soak.clocks import JUMPS
from tests.soak.databases import OwnDatabase
from tests.soak.place import Place
from tests.soak.report import Plan, Report

# Those that kill come last. The first victims are those who do most to the data.
SHORT: dict[str, tuple[Callable[[Place, Plan], Report], Plan]] = {
    "races": (races.run, Plan(calls=48)),
    "load": (load.run, Plan(minutes=0.02)),
    "histories": (histories.run, Plan(calls=200)),
    "kills": (kills.run, Plan(rounds=2)),
}


@pytest.mark.parametrize(("run", "plan"), SHORT.values(), ids=SHORT)
def test_proof(place: Place, run: Callable[[Place, Plan], Report], plan: Plan) -> None:
    """A short run of a proof finds nothing that is not as promised."""
    report = run(place, plan)

    assert report.faults == []
    assert all(len(row) == len(report.columns) for row in report.rows)


@pytest.mark.parametrize("jump", ["90 s ahead", "a day behind"])
def test_clock(database: OwnDatabase, tmp_path: Path, jump: str) -> None:
    """What must not depend on the clock does not when it is set, and set right again."""
    assert clocks.jump(database.settings, tmp_path, jump, JUMPS[jump]) == []
