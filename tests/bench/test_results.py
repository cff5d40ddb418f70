"""Tests of the statistics of the benchmark."""

import math

import pytest

from bench.results import ScenarioStats, medians, percentile, ratio, spread


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50), (99, 99), (99.5, 100), (100, 100), (0, 1)]
)
def test_percentile(percent: float, expected: float) -> None:
    """A percentile is the least value that so many percent of the values do not exceed."""
    assert percentile(range(1, 101), percent) == expected


def test_percentile_of_nothing() -> None:
    """The percentile of no values is nan."""
    assert math.isnan(percentile([], 99))


def test_medians() -> None:
    """Each statistic has a median of its own."""
    rounds = [
        ScenarioStats(1, 6, 30, 5, 7),
        ScenarioStats(3, 6, 10, 5, 9),
        ScenarioStats(2, 6, 20, 5, 8),
    ]

    assert medians(rounds) == ScenarioStats(2, 6, 20, 5, 8)


def test_ratio() -> None:
    """A ratio is value over base, and nan if the base is 0 or nan."""
    assert ratio(3, 2) == 1.5
    assert math.isnan(ratio(3, 0))
    assert math.isnan(ratio(3, math.nan))


def test_spread() -> None:
    """The spread is the range of values relative to their median."""
    assert spread([90, 100, 120]) == 0.3
    assert spread([100]) == 0
