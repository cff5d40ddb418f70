"""The details of a failed call count only if they are those of its status."""

from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from twc_customer_client.command_errors import describe
from twc_customer_client.errors import read_rpc_error

VIOLATION = error_details_pb2.BadRequest.FieldViolation(field="email", description="is required")


class FailedCall(grpc.RpcError):
    """A call that failed with INVALID_ARGUMENT and a message, and the metadata of details."""

    def __init__(self, details: bytes) -> None:
        self._details = details

    def code(self) -> grpc.StatusCode:
        """Returns the code."""
        return grpc.StatusCode.INVALID_ARGUMENT

    def details(self) -> str:
        """Returns the message."""
        return "email: is required"

    def initial_metadata(self) -> Any:
        """Returns none."""
        return ()

    def trailing_metadata(self) -> Any:
        """Returns the details, behind other metadata."""
        return (("other-bin", b"\xff"), ("grpc-status-details-bin", self._details))


def encode(code: "code_pb2.Code", message: str) -> bytes:
    """Encodes a status with a field violation."""
    status = status_pb2.Status(code=code, message=message)
    status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[VIOLATION]))
    encoded: bytes = status.SerializeToString()
    return encoded


def test_own_details() -> None:
    """The details of the call's status are read."""
    failure = read_rpc_error(FailedCall(encode(code_pb2.INVALID_ARGUMENT, "email: is required")))
    assert failure.violations == (("email", "is required"),)


@pytest.mark.parametrize(
    "details",
    [
        encode(code_pb2.NOT_FOUND, "email: is required"),
        encode(code_pb2.INVALID_ARGUMENT, "other"),
        b"\xff",
    ],
    ids=["code", "message", "malformed"],
)
def test_foreign_details(details: bytes) -> None:
    """Details of another status, or that cannot be read, are ignored."""
    failure = read_rpc_error(FailedCall(details))
    assert failure.violations == ()
    assert describe(failure) == "email: is required (INVALID_ARGUMENT)"
