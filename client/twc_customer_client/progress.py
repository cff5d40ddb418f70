"""Shows the progress of an import or export: a bar on a terminal, else a line now and then.

The number of customers is not known before the end: the share that is done is
that of the file's bytes.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_LINE_SECONDS = 5.0

# Takes the numbers of customers and of bytes that are done.
Update = Callable[[int, int], None]


@contextmanager
def show_progress(action: str, size: int | None) -> Iterator[Update]:
    """Shows on standard error how far an action is, of `size` bytes if that is known."""
    start = time.monotonic()
    if Console(stderr=True).is_terminal:
        with _create_bar(size) as bar:
            task = bar.add_task(action, total=size, customers=0, rate=0.0)
            yield lambda customers, end: bar.update(
                task, completed=end, customers=customers, rate=_rate(customers, start)
            )
    else:
        yield _Lines(action, size, start).update


class _CustomersColumn(ProgressColumn):
    """Shows the number of customers, and how many per second."""

    def render(self, task: Task) -> Text:
        return Text(_format_count(task.fields["customers"], task.fields["rate"]))


class _Lines:
    """Prints a line of progress every few seconds."""

    def __init__(self, action: str, size: int | None, start: float) -> None:
        self._action = action
        self._size = size
        self._start = self._last_line = start

    def update(self, customers: int, end: int) -> None:
        """Prints the progress, if the last line is old enough."""
        now = time.monotonic()
        if now - self._last_line < _LINE_SECONDS:
            return
        self._last_line = now
        share = f", {end / self._size:.0%}" if self._size else ""
        count = _format_count(customers, _rate(customers, self._start))
        click.echo(f"{self._action}: {count}{share}", err=True)


def _create_bar(size: int | None) -> Progress:
    time_column = TimeElapsedColumn() if size is None else TimeRemainingColumn()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _CustomersColumn(),
        time_column,
        console=Console(stderr=True),
    )


def _rate(customers: int, start: float) -> float:
    return customers / max(time.monotonic() - start, 0.001)


def _format_count(customers: int, rate: float) -> str:
    return f"{customers:,} customers, {rate:,.0f}/s"
