"""Maps service errors to `google.rpc.Status` and to response headers: the one table of errors."""

from collections.abc import Iterator, Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from twc.customer.v2 import error_reason_pb2 as reasons

from twc_customer_server import errors
from twc_customer_server.contract import (
    BEARER_CHALLENGE,
    ERROR_DOMAIN,
    NOT_BEGUN_HEADER,
    RETRY_SECONDS,
)
from twc_customer_server.errors import Clash, InvalidInput, ServiceError

CUSTOMER_TYPE = "twc.customer.v2.Customer"

# gRPC peers accept 8 KiB of metadata by default, and the details travel there
# in base64: this leaves room for everything else.
MAX_DETAILS_BYTES = 4096

# Type names and length prefixes add this much to each clash.
_CLASH_OVERHEAD_BYTES = 112

_CODES: dict[type[ServiceError], tuple[code_pb2.Code, reasons.ErrorReason]] = {
    errors.InvalidInput: (code_pb2.INVALID_ARGUMENT, reasons.INVALID_INPUT),
    errors.MalformedRequest: (code_pb2.INVALID_ARGUMENT, reasons.MALFORMED_REQUEST),
    errors.Unauthenticated: (code_pb2.UNAUTHENTICATED, reasons.UNAUTHENTICATED),
    errors.NoCredentials: (code_pb2.UNAUTHENTICATED, reasons.UNAUTHENTICATED),
    errors.TenantForbidden: (code_pb2.PERMISSION_DENIED, reasons.TENANT_FORBIDDEN),
    errors.ScopeRequired: (code_pb2.PERMISSION_DENIED, reasons.SCOPE_REQUIRED),
    errors.InvalidTenant: (code_pb2.INVALID_ARGUMENT, reasons.INVALID_TENANT),
    errors.NotFound: (code_pb2.NOT_FOUND, reasons.RESOURCE_NOT_FOUND),
    errors.AlreadyExists: (code_pb2.ALREADY_EXISTS, reasons.ALREADY_EXISTS),
    errors.NotDeleted: (code_pb2.ALREADY_EXISTS, reasons.NOT_DELETED),
    errors.AmbiguousConflict: (code_pb2.ALREADY_EXISTS, reasons.ALREADY_EXISTS),
    errors.AlreadyMerged: (code_pb2.FAILED_PRECONDITION, reasons.ALREADY_MERGED),
    errors.IdMismatch: (code_pb2.FAILED_PRECONDITION, reasons.ID_MISMATCH),
    errors.EtagMismatch: (code_pb2.ABORTED, reasons.ETAG_MISMATCH),
    errors.CursorExpired: (code_pb2.FAILED_PRECONDITION, reasons.CURSOR_EXPIRED),
    errors.IdempotencyKeyReused: (code_pb2.INVALID_ARGUMENT, reasons.IDEMPOTENCY_KEY_REUSED),
    errors.RequestTooLarge: (code_pb2.INVALID_ARGUMENT, reasons.REQUEST_TOO_LARGE),
    errors.Overloaded: (code_pb2.RESOURCE_EXHAUSTED, reasons.RATE_LIMITED),
    errors.MessageTimeout: (code_pb2.DEADLINE_EXCEEDED, reasons.DEADLINE_EXCEEDED),
    errors.Unavailable: (code_pb2.UNAVAILABLE, reasons.SERVICE_UNAVAILABLE),
    # No client and no proxy repeats this code by itself, as they do UNAVAILABLE.
    errors.OutcomeUnknown: (code_pb2.UNKNOWN, reasons.OUTCOME_UNKNOWN),
    errors.Stopping: (code_pb2.UNAVAILABLE, reasons.SERVICE_UNAVAILABLE),
    errors.KeysAwaited: (code_pb2.UNAVAILABLE, reasons.SERVICE_UNAVAILABLE),
    errors.DatabaseDamaged: (code_pb2.DATA_LOSS, reasons.DATABASE_DAMAGED),
    errors.Internal: (code_pb2.INTERNAL, reasons.INTERNAL_ERROR),
}


def to_status(error: ServiceError, max_bytes: int = MAX_DETAILS_BYTES) -> status_pb2.Status:
    """Maps an error to code, message and details, of which ErrorInfo is the first.

    Lists are cut off at about `max_bytes`.
    """
    code, reason = _CODES[type(error)]
    status = status_pb2.Status(code=code, message=str(error))
    for detail in _details(error, reasons.ErrorReason.Name(reason), max_bytes):
        status.details.add().Pack(detail)
    return status


def name_request(status: status_pb2.Status, request_id: str, trace_id: str) -> None:
    """Adds the ids by which the logs have the request that failed."""
    info = error_details_pb2.RequestInfo(request_id=request_id, serving_data=trace_id)
    status.details.add().Pack(info)


def to_headers(error: ServiceError) -> tuple[tuple[str, str], ...]:
    """Returns the response headers of an error.

    `WWW-Authenticate` by RFC 6750, section 3, `Retry-After` by RFC 9110,
    section 10.2.3, and one by which the gateway knows what it may try again.
    """
    if retry_seconds := _retry_seconds(error):
        retry_after = ("retry-after", str(retry_seconds))
        is_begun = not isinstance(error, errors.Stopping)
        return (retry_after,) if is_begun else (retry_after, (NOT_BEGUN_HEADER, "true"))
    challenge = BEARER_CHALLENGE
    if isinstance(error, errors.ScopeRequired):
        challenge += f', error="insufficient_scope", scope="{error.scope}"'
        return (("www-authenticate", challenge),)
    if not isinstance(error, errors.Unauthenticated):
        return ()
    if not isinstance(error, errors.NoCredentials):
        challenge += f', error="invalid_token", error_description="{error}"'
    return (("www-authenticate", challenge),)


def _details(error: ServiceError, reason: str, max_bytes: int) -> Iterator[Message]:
    info = error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN)
    match error:
        case errors.InvalidInput():
            yield info
            yield _bad_request(error, max_bytes)
        case errors.AlreadyExists():
            listed = _first_clashes(error.clashes, max_bytes)
            info.metadata.update(listed)
            yield info
            for field, owner in listed:
                yield error_details_pb2.ResourceInfo(
                    resource_type=CUSTOMER_TYPE,
                    resource_name=owner,
                    description=f"has the same {field}",
                )
        case errors.AlreadyMerged():
            info.metadata[error.field] = error.merged_into
            yield info
            yield error_details_pb2.ResourceInfo(
                resource_type=CUSTOMER_TYPE,
                resource_name=error.merged_into,
                description=f"the customer with this {error.field} was merged into it",
            )
        case errors.ScopeRequired():
            info.metadata["scope"] = error.scope
            yield info
        case errors.NotFound():
            yield info
            yield error_details_pb2.ResourceInfo(
                resource_type=CUSTOMER_TYPE, description=str(error)
            )
        case _:
            yield info
            if retry_seconds := _retry_seconds(error):
                yield error_details_pb2.RetryInfo(retry_delay=Duration(seconds=retry_seconds))


def _retry_seconds(error: ServiceError) -> int:
    """Returns the time after which a request may be tried again, or 0."""
    match error:
        case errors.Overloaded():
            return error.retry_seconds
        case errors.Unavailable():
            return RETRY_SECONDS
        case errors.OutcomeUnknown() if error.is_repeatable:
            return RETRY_SECONDS
        case _:
            return 0


def _first_clashes(clashes: Sequence[Clash], max_bytes: int) -> list[Clash]:
    """Returns as many clashes as fit into `max_bytes`."""
    fitting = []
    for clash in clashes:
        # ErrorInfo and a ResourceInfo each name it.
        max_bytes -= 2 * len("".join(clash)) + _CLASH_OVERHEAD_BYTES
        if max_bytes < 0:
            break
        fitting.append(clash)
    return fitting


def _bad_request(error: InvalidInput, max_bytes: int) -> error_details_pb2.BadRequest:
    """Lists as many violations as fit into `max_bytes`, then the number of the rest."""
    listed = error_details_pb2.BadRequest()
    more = len(error.violations)
    for field, description in error.violations:
        listed.field_violations.add(field=field, description=description)
        if listed.ByteSize() > max_bytes:
            del listed.field_violations[-1]
            break
        more -= 1
    if more:
        rest = f"at least {more}" if error.is_cut else str(more)
        listed.field_violations.add(description=f"{rest} more fields")
    elif error.is_cut:
        listed.field_violations.add(description="perhaps more fields")
    return listed
