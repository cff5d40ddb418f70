"""Progress of work that takes a while: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

_LINE_SECONDS = 5

# Takes the number of things that were done since the last time.
Advance = Callable[[int], None]


@contextmanager
def shown(what: str, total: int) -> Iterator[Advance]:
    """Shows on standard error how much of a number of things is done."""
    if sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.advance(task, done)
    else:
        lines = _Lines(what, total)
        yield lines.advance
        lines.tell()


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True))


class _Lines:
    """Tells progress by lines, the first of them after a while."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._told = time.monotonic()

    def advance(self, done: int) -> None:
        self._done += done
        if time.monotonic() - self._told >= _LINE_SECONDS:
            self.tell()

    def tell(self) -> None:
        self._told = time.monotonic()
        print(f"{self._what}: {self._done:,} of {self._total:,}", file=sys.stderr, flush=True)  # noqa: T201
