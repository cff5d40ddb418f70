"""Growth is told from noise, and from what a service takes as it warms up."""

import pytest

from tests.soak.samples import Series

TIMES = [float(second) for second in range(100)]
SERIES: dict[str, tuple[list[float], float]] = {
    "constant": ([5.0] * 100, 0),
    "growing": ([50 + second for second in TIMES], 49),
    "growing at first": ([min(second, 20) for second in TIMES], 0),
    "up and down": ([second % 2 for second in TIMES], 0),
}


@pytest.mark.parametrize(("values", "growth"), SERIES.values(), ids=SERIES)
def test_growth(values: list[float], growth: float) -> None:
    """The growth of the warm part is that of a line through it."""
    assert Series(TIMES, values).warm.growth == pytest.approx(growth, abs=0.1)


def test_few_samples() -> None:
    """One sample does not grow."""
    assert Series([1.0], [5.0]).warm.growth == 0
