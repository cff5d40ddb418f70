"""Progress of a benchmark: a bar on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_LINE_SECONDS = 5

# Takes how far the step is that is under way.
Tell = Callable[[str], None]


class Steps(Protocol):
    """Tells which step is under way."""

    def begin(self, what: str) -> None:
        """Tells that the next step begins."""

    def tell(self, far: str) -> None:
        """Tells how far the step is."""


@contextmanager
def shown(total: int) -> Iterator[Steps]:
    """Shows on standard error which of so many steps is under way."""
    if sys.stderr.isatty():
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )
        # What is measured is not to wait for the picture.
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, refresh_per_second=2) as bar:
            yield _Bar(bar, total)
    else:
        yield _Lines(total)


class _Bar:
    """Shows steps on a bar."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total)
        self._begun = 0
        self._what = ""

    def begin(self, what: str) -> None:
        """Moves it on."""
        self._bar.update(self._task, description=what, completed=self._begun)
        self._begun += 1
        self._what = what

    def tell(self, far: str) -> None:
        """Says it beside."""
        self._bar.update(self._task, description=f"{self._what}: {far}")


class _Lines:
    """Tells each step by a line, and how far it is by another one now and then."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._begun = 0
        self._since = self._told = time.monotonic()

    def begin(self, what: str) -> None:
        """Tells it at once."""
        self._begun += 1
        self._say(f"{self._begun} of {self._total}: {what}")

    def tell(self, far: str) -> None:
        """Tells it unless something was told just now."""
        if time.monotonic() - self._told >= _LINE_SECONDS:
            self._say(far)

    def _say(self, line: str) -> None:
        self._told = time.monotonic()
        print(f"[{self._told - self._since:6.1f} s] {line}", file=sys.stderr, flush=True)
