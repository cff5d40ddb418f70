"""The errors that Envoy makes, in the shape of those that the server makes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from google.rpc import code_pb2
from twc.customer.v2 import error_reason_pb2 as reasons

from twc_customer_server import contract
from twc_customer_server.contract import CREDENTIALS_REQUIRED, ERROR_DOMAIN, RETRY_SECONDS

_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"

# What Envoy itself says; of a bad request that helps the caller, of the
# server it is not for callers.
_ENVOYS_WORDS = "the request is malformed: %LOCAL_REPLY_BODY%"

# What the service could not take for now.
_FOR_NOW = (code_pb2.RESOURCE_EXHAUSTED, code_pb2.UNAVAILABLE)

_UNKNOWN = "whether a change took effect is not known"

# Envoy's flags of a response that its upstream broke off, by connection or stream.
_BROKEN_OFF = ("UC", "UR")


class Reply(NamedTuple):
    """What is said for an HTTP status, or for all from it upwards, or another in its place.

    If `flags` are given, only where Envoy flagged the response with one of them.
    """

    status: int
    code: code_pb2.Code
    reason: reasons.ErrorReason
    message: str
    and_above: bool = False
    becomes: int | None = None
    flags: Sequence[str] = ()


# The first that fits counts.
REPLIES = (
    Reply(400, code_pb2.INVALID_ARGUMENT, reasons.MALFORMED_REQUEST, _ENVOYS_WORDS),
    Reply(
        401,
        code_pb2.UNAUTHENTICATED,
        reasons.UNAUTHENTICATED,
        CREDENTIALS_REQUIRED,
    ),
    Reply(
        501,
        code_pb2.INVALID_ARGUMENT,
        reasons.MALFORMED_REQUEST,
        "the header Transfer-Encoding must be chunked, or missing",
        becomes=400,
    ),
    Reply(404, code_pb2.NOT_FOUND, reasons.ROUTE_NOT_FOUND, "the API has no such path"),
    Reply(
        405,
        code_pb2.UNIMPLEMENTED,
        reasons.METHOD_NOT_ALLOWED,
        "the path does not take this method; the Allow header lists those it takes",
    ),
    Reply(
        413,
        code_pb2.INVALID_ARGUMENT,
        reasons.REQUEST_TOO_LARGE,
        f"the body has more than {contract.MAX_BODY_BYTES >> 20} MiB, "
        f"or {contract.MAX_UPLOAD_BYTES >> 20} MiB for an upload",
    ),
    Reply(
        415,
        code_pb2.INVALID_ARGUMENT,
        reasons.UNSUPPORTED_MEDIA_TYPE,
        "the header Content-Type must be application/json",
    ),
    Reply(
        429,
        code_pb2.RESOURCE_EXHAUSTED,
        reasons.RATE_LIMITED,
        "too many requests; try again after the seconds that the Retry-After header says",
    ),
    Reply(
        504,
        code_pb2.DEADLINE_EXCEEDED,
        reasons.DEADLINE_EXCEEDED,
        f"the server did not answer in time; {_UNKNOWN}",
    ),
    Reply(
        503,
        code_pb2.UNAVAILABLE,
        reasons.SERVICE_UNAVAILABLE,
        f"the server ended before it answered; {_UNKNOWN}",
        flags=_BROKEN_OFF,
    ),
    Reply(
        500,
        code_pb2.UNAVAILABLE,
        reasons.SERVICE_UNAVAILABLE,
        "the service cannot be reached now; try again",
        and_above=True,
    ),
    Reply(401, code_pb2.INVALID_ARGUMENT, reasons.MALFORMED_REQUEST, _ENVOYS_WORDS, and_above=True),
)


def mappers() -> list[dict[str, Any]]:
    """Envoy's mappers of its local replies."""
    return [_violation(), *(_mapper(reply) for reply in REPLIES)]


def _violation() -> dict[str, Any]:
    """Says what `strict_json.lua` found as the server says a field violation."""
    found = {
        "filter": "strict_json",
        "path": [{"key": "found"}],
        "value": {"present_match": True},
    }
    violations = "%DYNAMIC_METADATA(strict_json:violations)%"
    bad_request = {"@type": _BAD_REQUEST, "fieldViolations": violations}
    body = {
        "code": code_pb2.INVALID_ARGUMENT,
        "message": "%LOCAL_REPLY_BODY%",
        "details": [_info(reasons.INVALID_INPUT), bad_request],
    }
    return {
        "filter": {"metadata_filter": {"matcher": found, "match_if_key_not_found": False}},
        "body_format_override": {"json_format": body},
    }


def _mapper(reply: Reply) -> dict[str, Any]:
    status = {"default_value": reply.status, "runtime_key": "none"}
    comparison = {"op": "GE" if reply.and_above else "EQ", "value": status}
    details = [_info(reply.reason)]
    body = {"code": reply.code, "message": reply.message, "details": details}
    tests: list[dict[str, Any]] = [{"status_code_filter": {"comparison": comparison}}]
    if reply.flags:
        tests.append({"response_flag_filter": {"flags": reply.flags}})
    mapper: dict[str, Any] = {
        "filter": tests[0] if len(tests) == 1 else {"and_filter": {"filters": tests}},
        "body_format_override": {"json_format": body},
    }
    if reply.code in _FOR_NOW:
        details.append({"@type": _RETRY_INFO, "retryDelay": f"{RETRY_SECONDS}s"})
        header = {"key": "retry-after", "value": str(RETRY_SECONDS)}
        once = {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        mapper["headers_to_add"] = [once]
    return mapper | {"status_code": reply.becomes} if reply.becomes else mapper


def _info(reason: reasons.ErrorReason) -> dict[str, Any]:
    return {
        "@type": _ERROR_INFO,
        "reason": reasons.ErrorReason.Name(reason),
        "domain": ERROR_DOMAIN,
    }
