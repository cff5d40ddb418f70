"""Shows the progress of long operations: a bar on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Work that ends sooner shows no bar.
_BAR_SECONDS = 2
_LINE_SECONDS = 5

# Called with the number of rows or pages processed since the last call.
Advance = Callable[[int], None]


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Advance]:
    """Shows the progress of `total` rows or pages on standard error; None is an unknown number."""
    if sys.stderr.isatty():
        bar = _Bar(title, total)
        try:
            yield bar.advance
        finally:
            bar.stop()
    else:
        lines = _Lines(title, total)
        yield lines.advance
        lines.print_line()


class _Bar:
    """Draws a bar on the terminal after some seconds."""

    def __init__(self, title: str, total: int | None) -> None:
        # Servers, which show none, start without it.
        from rich import console, progress  # noqa: PLC0415

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TaskProgressColumn(show_speed=True),
            progress.TimeRemainingColumn(),
            console=console.Console(stderr=True),
        )
        self._task = self._bar.add_task(title, total=total)
        self._due_at = time.monotonic() + _BAR_SECONDS

    def advance(self, done: int) -> None:
        self._bar.advance(self._task, done)
        if not self._bar.live.is_started and time.monotonic() >= self._due_at:
            self._bar.start()

    def stop(self) -> None:
        if self._bar.live.is_started:
            self._bar.stop()


class _Lines:
    """Prints a line every few seconds."""

    def __init__(self, title: str, total: int | None) -> None:
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
        done = "" if self._total is None else f": {self._done:,} of {self._total:,}"
        print(f"{self._title}{done}", file=sys.stderr, flush=True)  # noqa: T201
