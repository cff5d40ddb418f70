"""Others are served under the most telling attacks, briefly run; `make attack` runs all."""

import pytest

from tests.security.attacker import Who
from tests.security.attacks import Attack
from tests.security.bounds import COARSE
from tests.security.target import Targets
from tests.security.trials import Plan, chosen, run_one

PLAN = Plan(seconds=1.0, volume=0.25, calm_seconds=0.3, is_quick=True, bounds=COARSE)


@pytest.mark.parametrize(
    ("attack", "who"), [pytest.param(*each, id=each[0].name) for each in chosen("", is_quick=True)]
)
def test_attack(attack: Attack, who: Who, targets: Targets) -> None:
    """Under an attack every call of others succeeds, and no process grows, ends or gives way."""
    assert run_one(targets, attack, who, PLAN).broken == []
