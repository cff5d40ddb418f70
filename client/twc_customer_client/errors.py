"""The errors of failed calls, by the reason that the service gives, else by gRPC's code."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import grpc
from google.protobuf.any_pb2 import Any as Detail
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from twc.customer.v2 import error_reason_pb2 as reasons

_STATUS_DETAILS = "grpc-status-details-bin"
REQUEST_ID = "x-request-id"

_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class Violation(NamedTuple):
    """A field that breaks its rule, by its JSON path, and what would be right."""

    field: str
    description: str


@dataclass(frozen=True)
class Failure:
    """Holds what is known of a failed call; what the service does not say is empty, or None."""

    message: str
    code: grpc.StatusCode
    reason: str = ""
    violations: tuple[Violation, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    request_id: str = ""
    trace_id: str = ""


class CustomerError(Exception):
    """A call failed.

    `code` is gRPC's status code, `reason` the name of an `ErrorReason`, empty if
    the error is none of the service. `violations` name the fields that break
    rules, `metadata` is that of the reason. `retry_after` is the delay, in
    seconds, after which the service asks to try again. `request_id` and
    `trace_id` find the call in the service's logs. `repeated_for` are the
    seconds for which the call was repeated before it was given up, else None.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure
        self.message = failure.message
        self.code = failure.code
        self.reason = failure.reason
        self.violations = failure.violations
        self.metadata = failure.metadata
        self.retry_after = failure.retry_after
        self.request_id = failure.request_id
        self.trace_id = failure.trace_id
        self.repeated_for: float | None = None

    def __str__(self) -> str:
        return f"{self.message or 'the call failed'} ({self.code.name})"


class InvalidArgument(CustomerError):
    """The request is wrong, and would fail again."""


class InvalidCustomer(InvalidArgument):
    """Fields break rules; `violations` lists them by JSON path."""


class MalformedRequest(InvalidArgument):
    """The request cannot be decoded."""


class InvalidTenant(InvalidArgument):
    """The tenant's name is missing, or not valid."""


class RequestTooLarge(InvalidArgument):
    """The request exceeds a limit of size or number."""


class IdempotencyKeyReused(InvalidArgument):
    """The idempotency key was used for another request."""


class NotFound(CustomerError):
    """The tenant has no such customer, or the customer no such address."""


class AlreadyExists(CustomerError):
    """Values that are unique within the tenant belong to other customers."""

    @property
    def clashes(self) -> Mapping[str, str]:
        """The ids of the customers that have the values, by field."""
        return self.metadata


class NotDeleted(CustomerError):
    """The customer to restore is not deleted."""


class FailedPrecondition(CustomerError):
    """The state of the customer forbids the change."""


class IdMismatch(FailedPrecondition):
    """The customer found has another id than the request gives."""


class AlreadyMerged(FailedPrecondition):
    """A customer was merged into another one already; `metadata` has the id of that."""


class CursorExpired(FailedPrecondition):
    """The changes after the cursor are not known: read all customers anew, without a cursor."""


class EtagMismatch(CustomerError):
    """The customer has changed since it was read: read it again."""


class PermissionDenied(CustomerError):
    """The token does not permit the call."""


class TenantForbidden(PermissionDenied):
    """The token is for another tenant."""


class ScopeRequired(PermissionDenied):
    """The token lacks a scope, which `metadata` has as `scope`."""


class Unauthenticated(CustomerError):
    """There is no token, or an invalid one."""


class RateLimited(CustomerError):
    """The rate limit is exceeded, or the service overloaded; nothing was changed."""


class Unavailable(CustomerError):
    """The service cannot be reached. Nothing was changed if there is a `reason`."""


class DeadlineExceeded(CustomerError):
    """There was no answer in time; a change may have been made."""


class OutcomeUnknown(CustomerError):
    """The service was lost while it stored a change, which may have been made."""


class Cancelled(CustomerError):
    """The call was cancelled."""


class Unimplemented(CustomerError):
    """The service, or what stands before it, does not know the call."""


class InternalError(CustomerError):
    """The service has a fault; its operators find it by `request_id`."""


class DatabaseDamaged(CustomerError):
    """The service's database is damaged; operators must restore it."""


BY_REASON: Mapping[int, type[CustomerError]] = {
    reasons.INVALID_INPUT: InvalidCustomer,
    reasons.MALFORMED_REQUEST: MalformedRequest,
    reasons.INVALID_TENANT: InvalidTenant,
    reasons.RESOURCE_NOT_FOUND: NotFound,
    reasons.ALREADY_EXISTS: AlreadyExists,
    reasons.ID_MISMATCH: IdMismatch,
    reasons.REQUEST_TOO_LARGE: RequestTooLarge,
    reasons.RATE_LIMITED: RateLimited,
    reasons.ROUTE_NOT_FOUND: Unimplemented,
    reasons.METHOD_NOT_ALLOWED: Unimplemented,
    reasons.UNSUPPORTED_MEDIA_TYPE: Unimplemented,
    reasons.SERVICE_UNAVAILABLE: Unavailable,
    reasons.DEADLINE_EXCEEDED: DeadlineExceeded,
    reasons.INTERNAL_ERROR: InternalError,
    reasons.UNAUTHENTICATED: Unauthenticated,
    reasons.TENANT_FORBIDDEN: TenantForbidden,
    reasons.ETAG_MISMATCH: EtagMismatch,
    reasons.IDEMPOTENCY_KEY_REUSED: IdempotencyKeyReused,
    reasons.ORIGIN_FORBIDDEN: PermissionDenied,
    reasons.CURSOR_EXPIRED: CursorExpired,
    reasons.DATABASE_DAMAGED: DatabaseDamaged,
    reasons.SCOPE_REQUIRED: ScopeRequired,
    reasons.NOT_DELETED: NotDeleted,
    reasons.ALREADY_MERGED: AlreadyMerged,
    reasons.OUTCOME_UNKNOWN: OutcomeUnknown,
}

# Of errors without a reason: those of gRPC itself, of proxies, or of a newer service.
_BY_CODE: Mapping[grpc.StatusCode, type[CustomerError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RateLimited,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.INTERNAL: InternalError,
}


def to_error(failure: Failure) -> CustomerError:
    """Returns a failure as the error of its reason, else of its code."""
    known = reasons.ErrorReason.keys()
    if failure.reason in known:
        kind = BY_REASON.get(reasons.ErrorReason.Value(failure.reason))
        if kind:
            return kind(failure)
    return _BY_CODE.get(failure.code, CustomerError)(failure)


def read_rpc_error(error: grpc.RpcError, request_id: str = "") -> CustomerError:
    """Reads the status of a failed call, and the error details in its metadata.

    `request_id` is what the call was sent with, if the answer has no other.
    """
    call = cast("grpc.Call", error)
    headers = {
        key: value
        for metadata in (call.initial_metadata(), call.trailing_metadata())
        for key, value in metadata or ()
    }
    status = Status(code=call.code().value[0], message=call.details() or "")
    encoded = headers.get(_STATUS_DETAILS)
    if isinstance(encoded, bytes):
        try:
            found = Status.FromString(encoded)
        except DecodeError:
            found = Status()
        # A proxy that replaces a status may leave the details of the other one.
        if (found.code, found.message) == (status.code, status.message):
            status = found
    answered = headers.get(REQUEST_ID)
    return read_status(status, answered if isinstance(answered, str) else request_id)


def read_status(status: Status, request_id: str = "") -> CustomerError:
    """Reads the status of an item, or of a call, and its details."""
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    about = error_details_pb2.RequestInfo()
    _unpack(status.details, info, request, retry, about)
    failure = Failure(
        status.message,
        _BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN),
        info.reason,
        tuple(Violation(each.field, each.description) for each in request.field_violations),
        dict(info.metadata),
        retry.retry_delay.ToTimedelta().total_seconds() or None,
        about.request_id or request_id,
        about.serving_data,
    )
    return to_error(failure)


def _unpack(
    details: Iterable[Detail],
    *kinds: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo
    | error_details_pb2.RequestInfo,
) -> None:
    for detail in details:
        for kind in kinds:
            detail.Unpack(kind)
