"""The errors that take the place of Envoy's local replies, which are of its own making."""

from collections.abc import Sequence
from typing import NamedTuple

from google.rpc import code_pb2
from twc.customer.v2 import error_reason_pb2 as reasons

from twc_customer_server import contract
from twc_customer_server.contract import CREDENTIALS_REQUIRED

# Envoy's own text helps a client with a malformed request. That of other errors is about
# the server, and not for clients.
ENVOYS_TEXT = ": %LOCAL_REPLY_BODY%"
_MALFORMED = "the request is malformed" + ENVOYS_TEXT


_REMEDY = "read before you send a change again; with an Idempotency-Key it can be sent again safely"

_LATE = f"the server did not answer in time; whether a change was made is not known: {_REMEDY}"

# Response flags of requests that no worker has got: no connection to one (UF), no worker
# (UH), too little memory (OM), or no answer about the token (UAEX).
_NOT_SENT = ("UF", "UH", "OM", "UAEX")

_UNAVAILABLE = "the service cannot be reached now; try again"


class LocalReply(NamedTuple):
    """An error that replaces Envoy's response with an HTTP status."""

    status: int
    code: code_pb2.Code
    reason: reasons.ErrorReason
    message: str
    # Replaces responses with a higher status as well.
    and_above: bool = False
    # The HTTP status to send, if it is another one.
    becomes: int | None = None
    # Replaces only responses that have one of these response flags.
    flags: Sequence[str] = ()
    # Replaces only responses to requests with a header, or pseudo-header, that has a text.
    header: tuple[str, str] | None = None
    # Replaces only responses to requests that may change something.
    is_of_change: bool = False
    # Replaces only responses to gRPC clients.
    is_grpc: bool = False


# The first that matches applies.
LOCAL_REPLIES = (
    LocalReply(
        400,
        code_pb2.INVALID_ARGUMENT,
        reasons.MALFORMED_REQUEST,
        "the request is malformed: the path must not have NUL, which no text may",
        header=(":path", "%00"),
    ),
    LocalReply(400, code_pb2.INVALID_ARGUMENT, reasons.MALFORMED_REQUEST, _MALFORMED),
    LocalReply(
        401,
        code_pb2.UNAUTHENTICATED,
        reasons.UNAUTHENTICATED,
        CREDENTIALS_REQUIRED,
    ),
    LocalReply(
        501,
        code_pb2.INVALID_ARGUMENT,
        reasons.MALFORMED_REQUEST,
        "the header Transfer-Encoding must be chunked or absent",
        becomes=400,
    ),
    LocalReply(
        403,
        code_pb2.NOT_FOUND,
        reasons.ROUTE_NOT_FOUND,
        "the API has no tunnels",
        becomes=404,
        header=(":method", "CONNECT"),
    ),
    LocalReply(
        403,
        code_pb2.PERMISSION_DENIED,
        reasons.ORIGIN_FORBIDDEN,
        "pages of this origin may not call the service: CORS_ORIGINS lists those that may",
    ),
    LocalReply(
        404,
        code_pb2.UNIMPLEMENTED,
        reasons.ROUTE_NOT_FOUND,
        "the API has no such method",
        is_grpc=True,
    ),
    LocalReply(404, code_pb2.NOT_FOUND, reasons.ROUTE_NOT_FOUND, "the API has no such path"),
    LocalReply(
        405,
        code_pb2.UNIMPLEMENTED,
        reasons.METHOD_NOT_ALLOWED,
        "the path does not support this method; the Allow header lists those it supports",
    ),
    LocalReply(
        408,
        code_pb2.DEADLINE_EXCEEDED,
        reasons.DEADLINE_EXCEEDED,
        _LATE,
        becomes=504,
        flags=("DT",),
    ),
    LocalReply(
        408,
        code_pb2.INVALID_ARGUMENT,
        reasons.MALFORMED_REQUEST,
        "request timeout: the body did not come in time",
    ),
    LocalReply(
        413,
        code_pb2.INVALID_ARGUMENT,
        reasons.REQUEST_TOO_LARGE,
        f"the body is larger than {contract.MAX_BODY_BYTES >> 20} MiB, "
        f"or {contract.MAX_UPLOAD_BYTES >> 20} MiB for an upload",
    ),
    LocalReply(
        415,
        code_pb2.INVALID_ARGUMENT,
        reasons.UNSUPPORTED_MEDIA_TYPE,
        "%LOCAL_REPLY_BODY%",
    ),
    LocalReply(
        426,
        code_pb2.INVALID_ARGUMENT,
        reasons.MALFORMED_REQUEST,
        "the request must be of HTTP/1.1 or HTTP/2; proxies such as nginx have a setting for "
        "the version that they forward",
    ),
    LocalReply(
        429,
        code_pb2.RESOURCE_EXHAUSTED,
        reasons.RATE_LIMITED,
        "too many requests; try again after the seconds in the Retry-After header",
    ),
    # Its limit of large bodies, or of streams of health, is reached.
    LocalReply(
        503,
        code_pb2.RESOURCE_EXHAUSTED,
        reasons.RATE_LIMITED,
        "too many requests of this kind at a time; try again after the seconds in the "
        "Retry-After header",
        becomes=429,
        flags=("UO",),
    ),
    LocalReply(
        505,
        code_pb2.UNIMPLEMENTED,
        reasons.UNSUPPORTED_MEDIA_TYPE,
        "gRPC needs HTTP/2 and the header te: trailers; gRPC-Web and REST work with HTTP/1.1",
        is_grpc=True,
    ),
    LocalReply(
        504,
        code_pb2.DEADLINE_EXCEEDED,
        reasons.DEADLINE_EXCEEDED,
        _LATE,
    ),
    LocalReply(
        500,
        code_pb2.UNAVAILABLE,
        reasons.SERVICE_UNAVAILABLE,
        _UNAVAILABLE,
        and_above=True,
        flags=_NOT_SENT,
    ),
    LocalReply(
        500,
        code_pb2.UNKNOWN,
        reasons.OUTCOME_UNKNOWN,
        "the server ended before it answered, and whether it made the change is not known: "
        + _REMEDY,
        and_above=True,
        becomes=500,
        is_of_change=True,
    ),
    LocalReply(
        500,
        code_pb2.UNAVAILABLE,
        reasons.SERVICE_UNAVAILABLE,
        _UNAVAILABLE,
        and_above=True,
    ),
    LocalReply(
        401, code_pb2.INVALID_ARGUMENT, reasons.MALFORMED_REQUEST, _MALFORMED, and_above=True
    ),
)
