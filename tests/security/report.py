"""Prints what attacks did: a line for each as it ends, and a table of all."""

from pathlib import Path

from tests.security.bounds import Trial, of_kind, percentile
from tests.security.trials import Result
from tests.security.victim import READ, Sample
from tools.documents import replace_part

DOCUMENT = Path(__file__).parents[2] / "docs" / "attacks.md"

COLUMNS = (
    "Attack",
    "Credentials",
    "Victim's p50, p99 before",
    "during",
    "after (ms)",
    "Status given to the attacker",
    "Peak RSS (MiB)",
    "Broken",
)
_MOST_STATUSES = 4


def row(result: Result) -> list[str]:
    """Returns the cells of a result."""
    trial = result.trial
    return [
        trial.attack.name,
        str(trial.who),
        *(_times(each) for each in (trial.before, trial.during, trial.after)),
        _statuses(trial),
        ", ".join(f"{name} {mebibytes:.0f}" for name, mebibytes in trial.peaks.items()),
        "; ".join(result.broken),
    ]


def line(number: int, count: int, result: Result) -> str:
    """Returns the line that says how an attack went."""
    name, who, before, during, after, statuses, memory, wrong = row(result)
    verdict = f"BROKEN: {wrong}" if wrong else "held"
    return (
        f"[{number}/{count}] {name} ({who}): {before} -> {during} -> {after} ms; "
        f"{statuses}; {memory}; {verdict}"
    )


def table(results: list[Result]) -> str:
    """Returns all results as a table in Markdown."""
    rows = [list(COLUMNS), ["---"] * len(COLUMNS), *map(row, results)]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |" for cells in rows
    )


def write(results: list[Result], about: str, document: Path = DOCUMENT) -> None:
    """Replaces the table of all attacks in the documentation, and what it says of their run."""
    replace_part(document, "attacks", f"{about}\n\n{table(results)}\n")


def _times(samples: list[Sample]) -> str:
    reads = of_kind(samples, READ)
    times = [percentile(reads, part) for part in (0.5, 0.99)]
    return ", ".join("-" if it is None else f"{it * 1000:.0f}" for it in times)


def _statuses(trial: Trial) -> str:
    common = trial.outcomes.statuses.most_common()
    shown = [f"{label} x {count}" for label, count in common[:_MOST_STATUSES]]
    rest = len(common) - _MOST_STATUSES
    return ", ".join([*shown, *([f"{rest} others"] if rest > 0 else [])]) or "none"
