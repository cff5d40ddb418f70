"""Numbers made of measurements: percentiles, medians over rounds, ratios."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Figures(NamedTuple):
    """What a scenario came to: nan where it was not measured."""

    # Requests per second, as many as it can, and milliseconds meanwhile.
    rate: float
    loaded_p99: float
    # Microseconds of user and system time per request, of all processes that serve.
    cpu: float
    # The same of a database that is a process of its own.
    database_cpu: float
    # Milliseconds at the fixed rate.
    p50: float
    p99: float
    # MiB of memory (RSS) of all processes that serve.
    memory: float


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The least value that so many percent of the values, in order, do not exceed."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def medians(rounds: Iterable[Figures]) -> Figures:
    """The median of each figure over the rounds."""
    return Figures(*map(statistics.median, zip(*rounds, strict=True)))


def ratio(value: float, base: float) -> float:
    """How many times a base a value is; nan if there is none."""
    return value / base if base else math.nan


def spread(rounds: Sequence[float]) -> float:
    """How far apart values are, as a part of their median."""
    return ratio(max(rounds) - min(rounds), statistics.median(rounds))
