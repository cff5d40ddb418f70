"""Shows the progress of a benchmark: a bar on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich import progress
from rich.console import Console

_LINE_SECONDS = 5


class Progress(Protocol):
    """Shows which step of a benchmark is running."""

    def start_step(self, name: str) -> None:
        """Shows that the next step begins."""

    def report(self, detail: str) -> None:
        """Shows how far the step is."""


@contextmanager
def shown_progress(steps: int) -> Iterator[Progress]:
    """Shows progress on standard error for a `with` block."""
    if not sys.stderr.isatty():
        yield _Lines(steps)
        return
    columns = (
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.description}", markup=False),
    )
    # A low refresh rate leaves the CPU to what is measured.
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, transient=True, refresh_per_second=2) as bar:
        yield _Bar(bar, steps)


class _Bar:
    """A progress bar."""

    def __init__(self, bar: progress.Progress, steps: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=steps)
        self._started = 0
        self._step = ""

    def start_step(self, name: str) -> None:
        """Advances the bar."""
        self._bar.update(self._task, description=name, completed=self._started)
        self._started += 1
        self._step = name

    def report(self, detail: str) -> None:
        """Shows the detail beside the step's name."""
        self._bar.update(self._task, description=f"{self._step}: {detail}")


class _Lines:
    """A line for each step, and one for a detail if none was printed for seconds."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._started = 0
        self._began = self._printed = time.monotonic()

    def start_step(self, name: str) -> None:
        """Prints the step's number and name."""
        self._started += 1
        self._print(f"{self._started} of {self._steps}: {name}")

    def report(self, detail: str) -> None:
        """Prints the detail, unless a line was printed just before."""
        if time.monotonic() - self._printed >= _LINE_SECONDS:
            self._print(detail)

    def _print(self, line: str) -> None:
        self._printed = time.monotonic()
        print(f"[{self._printed - self._began:6.1f} s] {line}", file=sys.stderr, flush=True)
