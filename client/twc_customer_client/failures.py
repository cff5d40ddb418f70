"""Failed calls, and customers that were not stored, as what they mean to the caller."""

from collections.abc import Iterable
from typing import NamedTuple, cast

import grpc
from google.protobuf.any_pb2 import Any as Detail
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

# What may pass by itself. A stream in which nothing came for a while is
# cancelled by the server, and one that is answered too late by this client.
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)

# What a connection that breaks within a message looks like.
_BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


class Failure(NamedTuple):
    """A failed call; `wait` is the time that the server wants to be left alone, in seconds."""

    code: grpc.StatusCode
    message: str
    fields: list[tuple[str, str]]
    wait: float
    is_passing: bool

    def sentence(self) -> str:
        """Says the failure in one sentence, and below it each field that breaks a rule."""
        listed = [f"  {field}: {description}" for field, description in self.fields]
        if listed:
            return "\n".join(["the server refuses what it was sent:", *listed])
        return f"{self.message or 'the call failed'} ({self.code.name})"


def read(error: grpc.RpcError) -> Failure:
    """Reads a failed call and the details that came with it."""
    call = cast("grpc.Call", error)
    code = call.code()
    details = _details(call)
    passing = code in _PASSING or (code in _BROKEN and not details)
    return Failure(code, call.details() or "", _fields(details), _wait(details), passing)


def reasons(error: Status) -> list[tuple[str, str]]:
    """Why a customer was not stored: fields by JSON path, and what is wrong with each."""
    return _fields(error.details) or [("", error.message)]


def _details(call: grpc.Call) -> list[Detail]:
    try:
        status = rpc_status.from_call(call)
    except ValueError:
        # Another one's than the call's: a proxy between has changed it.
        return []
    return list(status.details) if status else []


def _fields(details: Iterable[Detail]) -> list[tuple[str, str]]:
    violations = error_details_pb2.BadRequest()
    info = error_details_pb2.ErrorInfo()
    for detail in details:
        _ = detail.Unpack(violations) or detail.Unpack(info)
    if violations.field_violations:
        return [(each.field, each.description) for each in violations.field_violations]
    if info.reason != "ALREADY_EXISTS":
        return []
    return [
        (field, f"another customer has the same ({owner})")
        for field, owner in sorted(info.metadata.items())
    ]


def _wait(details: Iterable[Detail]) -> float:
    retry = error_details_pb2.RetryInfo()
    for detail in details:
        detail.Unpack(retry)
    return float(retry.retry_delay.ToTimedelta().total_seconds())
