"""A short run of what `python -m tests.soak stop` does at length."""

from pathlib import Path

import pytest

from tests.soak import stops

# Machines that test have few cores, which clients, workers and Envoys share.
CALLERS = stops.Callers(16, 0.03)

# Each of two workers once.
ROUNDS = 2


@pytest.mark.parametrize("stop", [stops.stop_workers, stops.stop_service])
def test_stops(stop: stops.Stop, tmp_path: Path) -> None:
    """No call fails while workers are stopped one by one, or before the service has drained."""
    seen = stop(tmp_path / "service", ROUNDS, CALLERS)
    assert seen.faults == []
    assert seen.answered > ROUNDS * CALLERS.number
