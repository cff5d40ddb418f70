"""Shows the progress of a command that takes long: a bar on a terminal, else a line now and then.

The number of customers is not known before the end: the share that is done is
that of the file's bytes.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

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

from twc_customer_client.waiting import Waiting

_FIRST_LINE_SECONDS = 2.0
_LINE_SECONDS = 5.0

# Takes the numbers of customers and of bytes that are done.
Update = Callable[[int, int], None]


@contextmanager
def show_progress(
    action: str, size: int | None, waiting: Waiting, *, prints: bool = False
) -> Iterator[Update]:
    """Shows on standard error how far an action is, of `size` bytes if that is known.

    Until the first update it waits for the service. An action that `prints`
    shows by itself how far it is if standard output is a terminal.
    """
    shown = ExitStack()
    updates: list[Update] = []

    def update(customers: int, end: int) -> None:
        if not updates:
            shown.close()
            is_seen = prints and sys.stdout.isatty()
            updates.append(
                _show_nothing
                if is_seen
                else shown.enter_context(_show_numbers(action, size, start))
            )
        updates[0](customers, end)

    start = time.monotonic()
    with shown:
        shown.enter_context(waiting.shown())
        yield update


@contextmanager
def _show_numbers(action: str, size: int | None, start: float) -> Iterator[Update]:
    if Console(stderr=True).is_terminal:
        with _create_bar(size) as bar:
            task = bar.add_task(action, total=size, customers=0, rate=0.0)
            yield lambda customers, end: bar.update(
                task, completed=end, customers=customers, rate=_rate(customers, start)
            )
    else:
        yield _Lines(action, size, start).update


def _show_nothing(_customers: int, _end: int) -> None:
    """Leaves it to the terminal."""


class _CustomersColumn(ProgressColumn):
    """Shows the number of customers, and how many per second."""

    def render(self, task: Task) -> Text:
        return Text(_format_count(task.fields["customers"], task.fields["rate"]))


class _Lines:
    """Prints a line of progress every few seconds."""

    def __init__(self, action: str, size: int | None, start: float) -> None:
        self._action = action
        self._size = size
        self._start = start
        self._next_line = start + _FIRST_LINE_SECONDS

    def update(self, customers: int, end: int) -> None:
        """Prints the progress, if the last line is old enough."""
        now = time.monotonic()
        if now < self._next_line:
            return
        self._next_line = now + _LINE_SECONDS
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
