"""Errors that end a command, and what it says of a failed call."""

import click

from twc_customer_client.credentials import TokenError
from twc_customer_client.errors import AlreadyExists, CustomerError


class CommandError(click.ClickException):
    """Ends a command with a message of one sentence and exit status 1."""


class InputFileError(CommandError):
    """Reports an input file that cannot be read, or not beyond a location in it."""

    def __init__(self, location: str, reason: str) -> None:
        super().__init__(f"{location} {reason}" if location else reason)


class Interrupted(CommandError):
    """Reports that SIGINT or SIGTERM stopped the command; exit status 130."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted")


def command_error(error: CustomerError) -> CommandError:
    """Returns a failed call as the error of a command."""
    if isinstance(error, TokenError):
        return CommandError(error.message)
    if error.repeated_for is None:
        return CommandError(describe(error))
    return CommandError(
        f"gave up after {error.repeated_for:.0f} seconds without a response: {describe(error)}"
    )


def describe(error: CustomerError) -> str:
    """Returns a failure as a sentence, and below it each field violation on a line."""
    lines = [f"  {field}: {description}" for field, description in _violations(error)]
    return "\n".join(["the server rejected the request:", *lines]) if lines else str(error)


def item_violations(error: CustomerError) -> list[tuple[str, str]]:
    """Returns why a customer was not stored: JSON paths of fields, or `""`, and descriptions."""
    return _violations(error) or [("", error.message)]


def _violations(error: CustomerError) -> list[tuple[str, str]]:
    if error.violations or not isinstance(error, AlreadyExists):
        return [*error.violations]
    is_one = len({*error.clashes.values()}) == 1
    several = "" if is_one else "; several customers have values of this one"
    return [
        (field, f"another customer has this value ({owner}){several}")
        for field, owner in sorted(error.clashes.items())
    ]
