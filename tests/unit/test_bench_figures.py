"""The figures that the benchmark makes of its measurements."""

import math

import pytest

from bench.figures import Figures, medians, percentile, ratio, spread


@pytest.mark.parametrize(
    ("percent", "wanted"), [(50, 50), (99, 99), (99.5, 100), (100, 100), (0, 1)]
)
def test_percentile(percent: float, wanted: float) -> None:
    """A percentile is the least value that so many percent do not exceed."""
    assert percentile(range(1, 101), percent) == wanted


def test_percentile_of_nothing() -> None:
    """There is no percentile of nothing."""
    assert math.isnan(percentile([], 99))


def test_medians() -> None:
    """Each figure has a median of its own."""
    rounds = [
        Figures(1, 6, 30, 5, 7, 7, 7),
        Figures(3, 6, 10, 5, 9, 9, 9),
        Figures(2, 6, 20, 5, 8, 8, 8),
    ]

    assert medians(rounds) == Figures(2, 6, 20, 5, 8, 8, 8)


def test_ratio() -> None:
    """A value is so many times a base, and of nothing not any number of times."""
    assert ratio(3, 2) == 1.5
    assert math.isnan(ratio(3, 0))
    assert math.isnan(ratio(3, math.nan))


def test_spread() -> None:
    """Values are so far apart as parts of their median."""
    assert spread([90, 100, 120]) == 0.3
    assert spread([100]) == 0
