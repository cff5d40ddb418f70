"""The results as tables, for a terminal and for a document."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from bench.contender import Contender
from bench.contenders import CONTENDERS
from bench.figures import Figures, ratio
from bench.results import Results
from bench.scenarios import SCENARIOS, Scenario
from bench.targets import TARGETS


class Table(NamedTuple):
    """A title, the names of columns, and rows, whose first cell is a name."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def number(value: float, decimals: int = 0) -> str:
    """A number as people read it; nothing where there is none."""
    return "" if math.isnan(value) else f"{value:,.{decimals}f}"


def figure(value: float) -> str:
    """A number with about three digits that count."""
    return number(value, 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0)  # noqa: PLR2004 - digits


def targets(results: Results) -> Table:
    """Every target, what was reached, and whether that meets it."""
    rows = []
    for target in TARGETS:
        value = target.value(results)
        reached = figure(value) + target.unit if not math.isnan(value) else ""
        wanted = f"{target.side} {figure(target.limit)}{target.unit}"
        rows.append([target.name, wanted, reached, target.verdict(value)])
    return Table("Targets", ("", "Target", "Reached", ""), rows)


def scenarios(results: Results) -> list[Table]:
    """A table for each scenario."""
    return [_scenario(results, scenario) for scenario in SCENARIOS]


def _scenario(results: Results, scenario: Scenario) -> Table:
    measured = [each for each in CONTENDERS if (each.name, scenario.key) in results.figures]
    rows = [_row(each, results.of(each.name, scenario.key)) for each in measured]
    return Table(scenario.title, _COLUMNS, rows)


_COLUMNS = (
    *("", "requests/s", "p99 ms", "CPU µs", "database µs"),
    *("paced p50 ms", "paced p99 ms", "MiB"),
)


def _row(contender: Contender, figures: Figures) -> list[str]:
    return [
        contender.name,
        number(figures.rate),
        figure(figures.loaded_p99),
        number(figures.cpu),
        number(figures.database_cpu) if contender.has_database_process else "",
        figure(figures.p50),
        figure(figures.p99),
        number(figures.memory),
    ]


def ratios(results: Results, name: str) -> Table:
    """A contender's figures as multiples of those of each other one."""
    shared = [each for each in SCENARIOS if each.is_paced and (name, each.key) in results.figures]
    rows = []
    for other in CONTENDERS:
        cells = [_multiples(results, scenario, name, other.name) for scenario in shared]
        if other.name != name and any(cells):
            rows.append([other.name, *cells])
    title = f"{name} as a multiple of: requests/s · CPU · p99"
    return Table(title, ["", *(each.title for each in shared)], rows)


def _multiples(results: Results, scenario: Scenario, name: str, base: str) -> str:
    own, other = results.of(name, scenario.key), results.of(base, scenario.key)
    if math.isnan(other.rate):
        return ""
    pairs = ((own.rate, other.rate), (own.cpu, other.cpu), (own.p99, other.p99))
    return " · ".join(figure(ratio(*pair)) for pair in pairs)


def alone(results: Results) -> Table:
    """What was measured of the service alone."""
    rows = [[measured, figure(value)] for measured, value in results.alone.items()]
    return Table("The service alone", ("", ""), rows)
