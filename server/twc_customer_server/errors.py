"""What can go wrong with a call, and the one table that says how a client sees it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from twc.customer.v2 import error_reason_pb2 as reasons

DOMAIN = "customer.twc"

# How a call without credentials is refused, here and by the gateway (RFC 6750).
CHALLENGE = f'Bearer realm="{DOMAIN}"'
CREDENTIALS_REQUIRED = "the header Authorization is required: Bearer and a token"

# When a call may be repeated that the service could not take for now.
RETRY_SECONDS = 1

CUSTOMER_TYPE = "twc.customer.v2.Customer"

# gRPC peers accept 8 KiB of metadata unless told otherwise, and the details
# travel there in base64: this leaves room for all else.
DETAILS_BYTES = 4096

# A customer has four unique values; only an upload clashes in more.
_TOLD_CLASHES = 4

# What the names of types, and the lengths of parts, add to a clash that is told.
_TOLD_BYTES = 112


class Violation(NamedTuple):
    """A field that breaks its rule, by its JSON path, and what would be right."""

    field: str
    description: str


class Clash(NamedTuple):
    """A field whose value belongs to another customer of the tenant, and that customer's id."""

    field: str
    customer_id: str


class ServiceError(Exception):
    """A failure with a message for the client, which holds nothing of the inside."""


class InvalidInput(ServiceError):
    """The request breaks the rules that `violations` name."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        first, more = violations[0], len(violations) - 1
        rest = f" (and {more} more)" if more else ""
        super().__init__(f"{first.field}: {first.description}{rest}")
        self.violations = violations


class MalformedRequest(ServiceError):
    """The bytes of the request are not an encoding of its message."""


class InvalidTenant(ServiceError):
    """The call names no tenant, or none that can exist."""


class Unauthenticated(ServiceError):
    """The call has no bearer token that is genuine; the message says why in general terms."""


class NoCredentials(Unauthenticated):
    """The call has no bearer token at all."""


class TenantForbidden(ServiceError):
    """The call's token is not for the tenant that the call names."""


class NotFound(ServiceError):
    """The tenant has no customer with what the request's `field` says.

    The error does not repeat it: a reference may be personal data, and errors
    end up in logs.
    """

    def __init__(self, field: str) -> None:
        super().__init__(f"ResourceNotFound: no customer has this {field}")


class AlreadyExists(ServiceError):
    """Values that are unique within the tenant belong to other customers."""

    def __init__(self, clashes: Sequence[Clash]) -> None:
        first = clashes[:_TOLD_CLASHES]
        taken = ", ".join(f"{field} (customer {owner})" for field, owner in first)
        more = len(clashes) - len(first)
        rest = f" (and {more} more)" if more else ""
        super().__init__(f"another customer has the same {taken}{rest}")
        self.clashes = clashes


class IdMismatch(ServiceError):
    """The customer's id is not the one that the request expects."""


class EtagMismatch(ServiceError):
    """The customer is not the one any more that the request is to change."""

    def __init__(self) -> None:
        super().__init__(
            "the customer was changed since it was read: If-Match names another version of it; "
            "read it again"
        )


class IdempotencyKeyReused(ServiceError):
    """The key of a request belongs to another one."""

    def __init__(self) -> None:
        super().__init__(
            "this Idempotency-Key was used for another request within 24 hours: "
            "give each request a key of its own"
        )


class RequestTooLarge(ServiceError):
    """The request carries more than one call may."""


class Overloaded(ServiceError):
    """The server has more calls of this kind than it can take."""


class Unavailable(ServiceError):
    """The database cannot serve the call now."""


class Internal(ServiceError):
    """The server failed; the log holds the cause under the request id."""

    def __init__(self) -> None:
        super().__init__(
            "the server failed to answer; its operators find the cause by x-request-id"
        )


_CODES: dict[type[ServiceError], tuple[code_pb2.Code, reasons.ErrorReason]] = {
    InvalidInput: (code_pb2.INVALID_ARGUMENT, reasons.INVALID_INPUT),
    MalformedRequest: (code_pb2.INVALID_ARGUMENT, reasons.MALFORMED_REQUEST),
    Unauthenticated: (code_pb2.UNAUTHENTICATED, reasons.UNAUTHENTICATED),
    NoCredentials: (code_pb2.UNAUTHENTICATED, reasons.UNAUTHENTICATED),
    TenantForbidden: (code_pb2.PERMISSION_DENIED, reasons.TENANT_FORBIDDEN),
    InvalidTenant: (code_pb2.INVALID_ARGUMENT, reasons.INVALID_TENANT),
    NotFound: (code_pb2.NOT_FOUND, reasons.RESOURCE_NOT_FOUND),
    AlreadyExists: (code_pb2.ALREADY_EXISTS, reasons.ALREADY_EXISTS),
    IdMismatch: (code_pb2.FAILED_PRECONDITION, reasons.ID_MISMATCH),
    EtagMismatch: (code_pb2.ABORTED, reasons.ETAG_MISMATCH),
    IdempotencyKeyReused: (code_pb2.INVALID_ARGUMENT, reasons.IDEMPOTENCY_KEY_REUSED),
    RequestTooLarge: (code_pb2.INVALID_ARGUMENT, reasons.REQUEST_TOO_LARGE),
    Overloaded: (code_pb2.RESOURCE_EXHAUSTED, reasons.RATE_LIMITED),
    Unavailable: (code_pb2.UNAVAILABLE, reasons.SERVICE_UNAVAILABLE),
    Internal: (code_pb2.INTERNAL, reasons.INTERNAL_ERROR),
}


def to_status(error: ServiceError, room: int = DETAILS_BYTES) -> status_pb2.Status:
    """Says an error as a `google.rpc.Status`: code, message, ErrorInfo, then what it is about.

    Of a long list, as many items as about `room` bytes take.
    """
    code, reason = _CODES[type(error)]
    status = status_pb2.Status(code=code, message=str(error))
    for detail in _details(error, reasons.ErrorReason.Name(reason), room):
        status.details.add().Pack(detail)
    return status


def _details(error: ServiceError, reason: str, room: int) -> Iterator[Message]:
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)
    match error:
        case InvalidInput():
            yield info
            yield _bad_request(error.violations, room)
        case AlreadyExists():
            listed = _fitting(error.clashes, room)
            info.metadata.update(listed)
            yield info
            for field, owner in listed:
                yield error_details_pb2.ResourceInfo(
                    resource_type=CUSTOMER_TYPE,
                    resource_name=owner,
                    description=f"has the same {field}",
                )
        case NotFound():
            yield info
            yield error_details_pb2.ResourceInfo(
                resource_type=CUSTOMER_TYPE, description=str(error)
            )
        case Overloaded() | Unavailable():
            yield info
            yield error_details_pb2.RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS))
        case _:
            yield info


def _fitting(clashes: Sequence[Clash], room: int) -> list[Clash]:
    """The first of many clashes, as many as there is room for."""
    fitting = []
    for clash in clashes:
        # Each is told twice.
        room -= 2 * len("".join(clash)) + _TOLD_BYTES
        if room < 0:
            break
        fitting.append(clash)
    return fitting


def _bad_request(violations: Sequence[Violation], room: int) -> error_details_pb2.BadRequest:
    """Lists the violations, as many as there is room for."""
    listed = error_details_pb2.BadRequest()
    for number, (field, description) in enumerate(violations):
        listed.field_violations.add(field=field, description=description)
        if listed.ByteSize() > room:
            listed.field_violations[-1].Clear()
            listed.field_violations[-1].description = f"{len(violations) - number} more fields"
            break
    return listed
