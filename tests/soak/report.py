"""What a proof is told, and what it says in the end."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.support.program import say

# So many faults of a kind say it all.
_MOST_FAULTS = 20


class Plan(NamedTuple):
    """How much a proof does."""

    rounds: int = 1
    # In each round, where a proof says so.
    calls: int = 1000
    minutes: float = 60
    seed: int = 0


class Report(NamedTuple):
    """The figures of a proof, as a table, and what was not as it is promised."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    faults: Sequence[str]
    # What the table does not say.
    note: str = ""


def show(title: str, report: Report) -> None:
    """Prints a report: the table in Markdown, then the faults."""
    lines = [f"\n{title}\n", *_table([report.columns, ["---"] * len(report.columns), *report.rows])]
    lines += [f"\n{report.note}"] if report.note else []
    lines += [f"FAULT: {fault}" for fault in report.faults[:_MOST_FAULTS]]
    if len(report.faults) > _MOST_FAULTS:
        lines.append(f"and {len(report.faults) - _MOST_FAULTS} faults more")
    say("\n".join([*lines, "" if report.faults else "\nheld"]))


def seconds(times: Sequence[float]) -> str:
    """Returns the median and the longest of some times."""
    ordered = sorted(times)
    return f"{ordered[len(ordered) // 2]:.2f}, {ordered[-1]:.2f}" if ordered else "-"


def _table(rows: Iterable[Sequence[object]]) -> Iterable[str]:
    return (f"| {' | '.join(str(cell) for cell in cells)} |" for cells in rows)
