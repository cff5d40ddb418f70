"""Errors that end a command, and what it says of a failed call."""

import click

from twc_customer_client.credentials import TokenError
from twc_customer_client.errors import AlreadyExists, CustomerError, DeadlineExceeded
from twc_customer_client.next_steps import next_step, unreachable


class CommandError(click.ClickException):
    """Ends a command with a message of one sentence, what to do next, and exit status 1."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step

    def format_message(self) -> str:
        """Returns the message, and what to do next on a line of its own."""
        return f"{self.message}\nNext: {self.next_step}" if self.next_step else self.message


class InputFileError(CommandError):
    """Reports an input file that cannot be read, or not beyond a location in it."""

    def __init__(self, location: str, reason: str) -> None:
        super().__init__(
            f"{location} {reason}" if location else reason,
            "correct the file, or the options that say how to read it, and run the command again",
        )


class Interrupted(CommandError):
    """Reports that SIGINT or SIGTERM stopped the command; exit status 130."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted")


def command_error(error: CustomerError, server: str) -> CommandError:
    """Returns a failed call to a server as the error of a command."""
    if isinstance(error, TokenError):
        return CommandError(error.message, next_step(error))
    message = unreachable(error, server) or describe(error)
    if isinstance(error, DeadlineExceeded) and not error.reason:
        message = f"{server} has not answered in time: {message}"
    if round(error.repeated_for or 0):
        message = f"gave up after {error.repeated_for:.0f} seconds without a response: {message}"
    return CommandError(message, next_step(error))


def describe(error: CustomerError) -> str:
    """Returns a failure as a sentence, and below it each field violation on a line."""
    return rejection("the server rejected the request:", _violations(error)) or str(error)


def rejection(heading: str, violations: list[tuple[str, str]]) -> str:
    """Returns a heading, and below it each field violation on a line; empty without any."""
    lines = [f"  {field}: {description}" for field, description in violations]
    return "\n".join([heading, *lines]) if lines else ""


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
