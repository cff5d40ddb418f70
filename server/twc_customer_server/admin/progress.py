"""Shows the progress of long operations: a bar on a terminal, lines elsewhere."""

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

# Called with the number of rows processed since the last call.
Advance = Callable[[int], None]


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """Shows the progress of `total` rows on standard error."""
    if sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(title, total=total)
            yield lambda done: bar.advance(task, done)
    else:
        lines = _Lines(title, total)
        yield lines.advance
        lines.print_line()


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
    """Prints a line every few seconds."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._printed_at = time.monotonic()

    def advance(self, done: int) -> None:
        self._done += done
        if time.monotonic() - self._printed_at >= _LINE_SECONDS:
            self.print_line()

    def print_line(self) -> None:
        self._printed_at = time.monotonic()
        print(f"{self._title}: {self._done:,} of {self._total:,}", file=sys.stderr, flush=True)  # noqa: T201
