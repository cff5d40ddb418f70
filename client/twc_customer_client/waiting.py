"""Tells on standard error that a command waits for the service, or tries again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console

from twc_customer_client.command_errors import describe
from twc_customer_client.errors import CustomerError
from twc_customer_client.next_steps import next_step, unreachable

_SILENT_SECONDS = 0.8
_REPEAT_SECONDS = 10.0


class Waiting:
    """Says that the service does not answer, and how long a command goes on trying."""

    def __init__(self, server: str, retry_for: float = 0.0) -> None:
        self.server = server
        self.retry_for = retry_for
        self._last_line = 0.0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Says that it waits, if what is done within takes about a second."""
        status = Console(stderr=True).status(f"waiting for {self.server}")
        timer = threading.Timer(_SILENT_SECONDS, self._say_waiting)
        if status.console.is_terminal:
            timer = threading.Timer(_SILENT_SECONDS, status.start)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            status.stop()

    def retry(self, error: CustomerError, _: float) -> None:
        """Says now and then that a failed call is made again, and why."""
        now = time.monotonic()
        if self._last_line and now - self._last_line < _REPEAT_SECONDS:
            return
        problem = unreachable(error, self.server) or describe(error)
        click.echo(f"{problem}; trying again for up to {self.retry_for:g} s", err=True)
        if not self._last_line:
            click.echo(f"Next: {next_step(error)}", err=True)
        self._last_line = now

    def _say_waiting(self) -> None:
        if not self._last_line:
            click.echo(f"waiting for {self.server}, which has not answered yet", err=True)
