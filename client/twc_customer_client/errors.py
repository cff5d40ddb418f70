"""Errors that end a command, and failed calls as the server's error details describe them."""

from collections.abc import Iterable
from typing import NamedTuple, cast

import click
import grpc
from google.protobuf.any_pb2 import Any as Detail
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

# The server cancels a stream that is idle for a minute, and this client one
# that does not respond in time: both are worth another try.
_TRANSIENT = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)

# The codes that grpcio reports when a connection breaks within a message.
_BROKEN_CONNECTION = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)

_STATUS_DETAILS = "grpc-status-details-bin"


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


class RpcFailure(NamedTuple):
    """A failed call.

    `violations` are JSON paths of fields with their descriptions; `retry_after`
    is the delay, in seconds, that the server asks for.
    """

    code: grpc.StatusCode
    message: str
    violations: list[tuple[str, str]]
    retry_after: float
    is_transient: bool

    def describe(self) -> str:
        """Returns the failure as a sentence, and below it each field violation on a line."""
        lines = [f"  {field}: {description}" for field, description in self.violations]
        if lines:
            return "\n".join(["the server rejected the request:", *lines])
        return f"{self.message or 'the call failed'} ({self.code.name})"


def read_rpc_error(error: grpc.RpcError) -> RpcFailure:
    """Reads the status of a failed call, and the error details in its metadata."""
    call = cast("grpc.Call", error)
    code = call.code()
    details = _details(call)
    retry_after = _retry_after(details)
    is_transient = (
        code in _TRANSIENT or retry_after > 0 or (code in _BROKEN_CONNECTION and not details)
    )
    return RpcFailure(code, call.details() or "", _violations(details), retry_after, is_transient)


def status_violations(status: Status) -> list[tuple[str, str]]:
    """Returns why a customer was not stored: JSON paths of fields, or `""`, and descriptions."""
    return _violations(status.details) or [("", status.message)]


def _details(call: grpc.Call) -> list[Detail]:
    """Returns the details in the call's metadata, if they are those of its status."""
    for key, value in call.trailing_metadata() or ():
        if key == _STATUS_DETAILS:
            try:
                status = Status.FromString(cast("bytes", value))
            except DecodeError:
                return []
            # A proxy that replaces a status may leave the details of the other one.
            is_own = (status.code, status.message) == (call.code().value[0], call.details())
            return list(status.details) if is_own else []
    return []


def _violations(details: Iterable[Detail]) -> list[tuple[str, str]]:
    request = error_details_pb2.BadRequest()
    info = error_details_pb2.ErrorInfo()
    for detail in details:
        _ = detail.Unpack(request) or detail.Unpack(info)
    if request.field_violations:
        return [(each.field, each.description) for each in request.field_violations]
    if info.reason != "ALREADY_EXISTS":
        return []
    owners = {*info.metadata.values()}
    several = "" if len(owners) < 2 else "; several customers have values of this one"  # noqa: PLR2004
    return [
        (field, f"another customer has this value ({owner}){several}")
        for field, owner in sorted(info.metadata.items())
    ]


def _retry_after(details: Iterable[Detail]) -> float:
    retry = error_details_pb2.RetryInfo()
    for detail in details:
        detail.Unpack(retry)
    return float(retry.retry_delay.ToTimedelta().total_seconds())
