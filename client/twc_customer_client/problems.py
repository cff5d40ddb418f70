"""What keeps a command from going on, in words for the one who runs it."""

from typing import NamedTuple

import click


class Problem(click.ClickException):
    """A failure that is told in one sentence, and ends the command with status 1."""


class Refused(Problem):
    """A file that cannot be read, or not beyond a place in it."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place} {reason}" if place else reason)


class Reason(NamedTuple):
    """Why a customer is rejected: a field by its JSON path, or `""`, its value, and the rule."""

    field: str
    value: str
    reason: str
