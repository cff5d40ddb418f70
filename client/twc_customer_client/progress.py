"""Progress of an import or export: a bar on a terminal, a line now and then elsewhere.

The server's counts things of a known number. Here the number of customers is
not known before the end: what tells how much is left is the place in the file.
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

# Takes the number of customers that are done, and of bytes.
Tell = Callable[[int, int], None]


@contextmanager
def shown(what: str, size: int | None) -> Iterator[Tell]:
    """Shows on standard error how far something is, of `size` bytes if that is known."""
    began = time.monotonic()
    if Console(stderr=True).is_terminal:
        with _bar(size) as bar:
            task = bar.add_task(what, total=size, customers=0, rate=0.0)
            yield lambda customers, place: bar.update(
                task, completed=place, customers=customers, rate=_rate(customers, began)
            )
    else:
        yield _Lines(what, size, began).tell


class _Customers(ProgressColumn):
    """The number of customers, and how many a second."""

    def render(self, task: Task) -> Text:
        return Text(_counted(task.fields["customers"], task.fields["rate"]))


class _Lines:
    """Tells progress by lines, the first of them after a while."""

    def __init__(self, what: str, size: int | None, began: float) -> None:
        self._what = what
        self._size = size
        self._began = self._told = began

    def tell(self, customers: int, place: int) -> None:
        """Tells it, unless it was told just now."""
        now = time.monotonic()
        if now - self._told < _LINE_SECONDS:
            return
        self._told = now
        share = f", {place / self._size:.0%}" if self._size else ""
        rate = _rate(customers, self._began)
        click.echo(f"{self._what}: {_counted(customers, rate)}{share}", err=True)


def _bar(size: int | None) -> Progress:
    left = TimeElapsedColumn() if size is None else TimeRemainingColumn()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _Customers(),
        left,
        console=Console(stderr=True),
    )


def _rate(customers: int, began: float) -> float:
    return customers / max(time.monotonic() - began, 0.001)


def _counted(customers: int, rate: float) -> str:
    return f"{customers:,} customers, {rate:,.0f}/s"
