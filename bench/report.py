"""Reports results as tables, on the terminal and in Markdown."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import NamedTuple

from rich.console import Console
from rich.table import Table as RichTable

from bench.contender import Contender
from bench.contenders import CONTENDERS, SERVICE_GRPC, SERVICE_REST
from bench.results import Results, ratio
from bench.scenarios import GET, PAGE, SCENARIOS, Scenario
from bench.targets import FLOOR, TARGETS, WAYS, Target
from bench.testbed import Testbed

_TEMPLATE = Template(Path(__file__).with_suffix(".md").read_text("utf-8"))

# The width of tables where there is no terminal.
_WIDTH = 120

# A share of the machine that other processes may use.
_MAX_BACKGROUND_LOAD = 0.1


class Table(NamedTuple):
    """A title, column headings, and rows, whose first cell is a name."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def print_report(results: Results) -> None:
    """Prints all tables, the targets last, and remarks."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    targets, *others = _tables(results)
    for table in (*others, targets):
        printed = RichTable(title=table.title, title_justify="left")
        for index, column in enumerate(table.columns):
            is_name = index == 0
            printed.add_column(column, justify="left" if is_name else "right", no_wrap=not is_name)
        for row in table.rows:
            printed.add_row(*row)
        console.print(printed)
    for remark in _remarks(results):
        console.print(remark, markup=False, highlight=False)


def markdown_report(
    results: Results, machine: Mapping[str, str], testbed: Testbed, seconds: float
) -> str:
    """Returns the whole report as a Markdown document."""
    plan = testbed.plan
    targets, *others = _tables(results)
    return _TEMPLATE.substitute(
        date=datetime.now(UTC).date().isoformat(),
        minutes=f"{seconds / 60:.0f}",
        machine="\n".join(f"- {name}: {fact}" for name, fact in machine.items()),
        targets=in_markdown(targets),
        tables="\n\n".join(in_markdown(table, level=3) for table in others),
        customers=f"{plan.customers:,}",
        protobuf=f"{statistics.mean(testbed.body_bytes['gRPC']) / 1e3:.1f}",
        json=f"{statistics.mean(testbed.body_bytes['REST']) / 1e3:.1f}",
        rounds=plan.rounds,
        rate=format_number(results.fixed_rate),
        seeds=plan.fixed_rate_seeds,
        spread=_spread(results),
        remarks="".join(f"- {remark}\n" for remark in _remarks(results)),
    )


def in_markdown(table: Table, level: int = 2) -> str:
    """Returns a table in Markdown, with numbers aligned to the right."""
    alignment = ["---", *["---:"] * (len(table.columns) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in (table.columns, alignment, *table.rows)]
    return "\n".join([f"{'#' * level} {table.title}", "", *lines])


def format_number(value: float, decimals: int = 0) -> str:
    """Returns a number with separators of thousands; "" for nan."""
    return "" if math.isnan(value) else f"{value:,.{decimals}f}"


def format_significant(value: float) -> str:
    """Returns a number with about three significant digits; "" for nan."""
    return format_number(value, 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0)  # noqa: PLR2004 - digits


def target_table(results: Results) -> Table:
    """Returns every target, and the ratios and verdicts of each way to serve; counts those met."""
    rows = [
        [
            target.name,
            f"{target.side} {format_significant(target.limit)}",
            *(_with_verdict(target, results, way) for way in WAYS),
            _reached(target, results, FLOOR),
        ]
        for target in TARGETS
    ]
    counts = []
    for way in WAYS:
        verdicts = [target.verdict(results, way) for target in TARGETS]
        met = sum(verdict.startswith("met") for verdict in verdicts)
        missed = sum(verdict.startswith("MISSED") for verdict in verdicts)
        counts.append(f"{met} of {met + missed} {way}")
    return Table(f"Targets met: {', '.join(counts)}", ("Ratio", "Target", *WAYS, FLOOR), rows)


def _with_verdict(target: Target, results: Results, way: str) -> str:
    reached = _reached(target, results, way)
    return reached and f"{reached}: {target.verdict(results, way)}"


def _reached(target: Target, results: Results, way: str) -> str:
    """Returns the ratios of a target that a way to serve reached; "" if there are none."""
    return ", ".join(
        f"{name} {format_significant(value)}".strip()
        for name, value in target.reached(results, way).items()
    )


def scenario_tables(results: Results) -> list[Table]:
    """Returns a table for each scenario, with a row for each contender that was measured."""
    return [_scenario_table(results, scenario) for scenario in SCENARIOS]


_COLUMNS = ("", "requests/s", "p99 ms", "CPU µs", "database µs", "MiB")
_RATE_COLUMNS = ("fixed-rate p50 ms", "fixed-rate p99 ms")


def _scenario_table(results: Results, scenario: Scenario) -> Table:
    measured = [each for each in CONTENDERS if (each.name, scenario.key) in results.scenario_stats]
    columns = (*_COLUMNS, *_RATE_COLUMNS) if scenario == GET else _COLUMNS
    rows = [_scenario_row(results, each, scenario)[: len(columns)] for each in measured]
    return Table(scenario.title, columns, rows)


def _scenario_row(results: Results, contender: Contender, scenario: Scenario) -> list[str]:
    stats = results.stats(contender.name, scenario.key)
    return [
        contender.name,
        format_number(stats.throughput),
        format_significant(stats.p99),
        format_number(stats.cpu),
        format_number(stats.database_cpu) if contender.needs_postgres else "",
        format_number(stats.memory),
        *map(format_significant, results.latencies_of(contender.name)),
    ]


def service_table(results: Results) -> Table:
    """Returns the metrics of the service alone."""
    rows = [
        [metric, format_significant(value)] for metric, value in results.service_metrics.items()
    ]
    return Table("The service alone", ("", ""), rows)


def ratio_table(results: Results, name: str) -> Table:
    """Returns a contender's statistics as multiples of those of each other contender."""
    shared = [
        each for each in SCENARIOS if each != PAGE and (name, each.key) in results.scenario_stats
    ]
    rows = []
    for other in CONTENDERS:
        cells = [_ratios(results, scenario, name, other.name) for scenario in shared]
        if other.name != name and any(cells):
            rows.append([other.name, *cells])
    return Table(
        f"{name} as a multiple of: requests/s · CPU", ["", *(it.title for it in shared)], rows
    )


def _ratios(results: Results, scenario: Scenario, name: str, base: str) -> str:
    own, other = results.stats(name, scenario.key), results.stats(base, scenario.key)
    if math.isnan(other.throughput):
        return ""
    pairs = ((own.throughput, other.throughput), (own.cpu, other.cpu))
    return " · ".join(format_significant(ratio(*pair)) for pair in pairs)


def _tables(results: Results) -> Iterator[Table]:
    tables = [
        target_table(results),
        *scenario_tables(results),
        service_table(results),
        *(ratio_table(results, name) for name in (SERVICE_REST, SERVICE_GRPC)),
    ]
    yield from (table for table in tables if table.rows)


def _remarks(results: Results) -> Iterator[str]:
    if results.background_load > _MAX_BACKGROUND_LOAD:
        yield (
            f"Other processes used {results.background_load:.0%} of the machine: "
            "the results are unreliable."
        )
    for name, reason in results.skipped.items():
        yield f"Not measured: {name}: {reason}."


def _spread(results: Results) -> str:
    """Returns a sentence on how much the rounds differed; "" if there was one."""
    if not any(results.cpu_spreads):
        return ""
    median, most = statistics.median(results.cpu_spreads), max(results.cpu_spreads)
    return (
        f"The CPU time per request varied between rounds by {median:.0%} in the median of all "
        f"contenders and scenarios, and by at most {most:.0%}."
    )
