"""The results in words and tables: for the terminal, and as Markdown."""

import statistics
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from rich.console import Console
from rich.table import Table as RichTable

from bench import tables
from bench.contenders import SERVICE_GRPC, SERVICE_REST
from bench.ground import Ground
from bench.results import Results
from bench.tables import Table

_TEXT = Template(Path(__file__).with_suffix(".md").read_text("utf-8"))

# Of tables in a file.
_WIDTH = 120

# The part of the machine that something else may take.
_BUSY = 0.1


def show(results: Results) -> None:
    """Prints all tables, the targets last, and what was not measured."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    first, *others = _tables(results)
    for table in (*others, first):
        shown = RichTable(title=table.title, title_justify="left")
        for place, column in enumerate(table.columns):
            is_name = place == 0
            shown.add_column(column, justify="left" if is_name else "right", no_wrap=is_name)
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
    for line in _remarks(results):
        console.print(line, markup=False, highlight=False)


def markdown(results: Results, machine: Mapping[str, str], ground: Ground, seconds: float) -> str:
    """All of it as a document."""
    plan = ground.plan
    return _TEXT.substitute(
        date=datetime.now(UTC).date().isoformat(),
        minutes=f"{seconds / 60:.0f}",
        machine="\n".join(f"- {name}: {fact}" for name, fact in machine.items()),
        tables="\n\n".join(in_markdown(table) for table in _tables(results)),
        customers=f"{plan.customers:,}",
        protobuf=f"{statistics.mean(ground.lengths['gRPC']) / 1e3:.1f}",
        json=f"{statistics.mean(ground.lengths['REST']) / 1e3:.1f}",
        rounds=plan.rounds,
        rate=plan.rate,
        spread=_spread(results),
        remarks="".join(f"- {line}\n" for line in _remarks(results)),
    )


def _tables(results: Results) -> Iterator[Table]:
    every = [
        tables.targets(results),
        *tables.scenarios(results),
        tables.alone(results),
        *(tables.ratios(results, name) for name in (SERVICE_REST, SERVICE_GRPC)),
    ]
    yield from (table for table in every if table.rows)


def in_markdown(table: Table) -> str:
    """A table as Markdown, numbers to the right."""
    aligned = ["---", *["---:"] * (len(table.columns) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in (table.columns, aligned, *table.rows)]
    return "\n".join([f"## {table.title}", "", *lines])


def _remarks(results: Results) -> Iterator[str]:
    if results.busy > _BUSY:
        yield f"Something else took {results.busy:.0%} of the machine: the figures are not sound."
    for name, reason in results.missing.items():
        yield f"Not measured: {name}: {reason}."


def _spread(results: Results) -> str:
    """How far apart the rounds were."""
    if not any(results.spreads):
        return ""
    middle, most = statistics.median(results.spreads), max(results.spreads)
    return (
        f"From round to round the CPU per request differed by {middle:.0%} in the median of all "
        f"contenders and scenarios, and by {most:.0%} at the most."
    )
