"""Maps Envoy's local replies to errors of the same shape as the server's."""

import base64
from collections.abc import Iterator
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2
from twc.customer.v2 import error_reason_pb2 as reasons

from twc_customer_gateway.filters import header_option
from twc_customer_gateway.local_replies import ENVOYS_TEXT, LOCAL_REPLIES, LocalReply
from twc_customer_gateway.matchers import JSON
from twc_customer_server import contract
from twc_customer_server.contract import ERROR_DOMAIN, RETRY_SECONDS

_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_REQUEST_INFO = {
    "@type": "type.googleapis.com/google.rpc.RequestInfo",
    "requestId": "%REQUEST_HEADER(X-REQUEST-ID):128%",
    "servingData": "",
}
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def _header_filter(name: str, **match: Any) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, **match}}}


# The transcoder makes gRPC of REST requests, and keeps their method in a header.
_IS_GRPC = (
    _header_filter("content-type", string_match={"prefix": "application/grpc"}),
    _header_filter("x-envoy-original-method", present_match=False),
)

# Errors that clients may retry after a time.
_TRANSIENT = (code_pb2.RESOURCE_EXHAUSTED, code_pb2.UNAVAILABLE)

# Requests that may change something: calls of those RPCs, which small REST requests have
# become, and REST requests that are passed on, with a large body.
_CHANGES = [it.name for it in contract.SERVICE.methods if it.name not in contract.REPEATABLE_RPCS]
_CALLS = f"/{contract.SERVICE.full_name}/({'|'.join(_CHANGES)})"
_PASSED_ON = _header_filter(contract.LARGE_BODIES_HEADER, present_match=True)
_MAY_CHANGE = [
    _header_filter(":path", string_match={"safe_regex": {"regex": _CALLS}}),
    {"and_filter": {"filters": [{"header_filter": {"header": JSON}}, _PASSED_ON]}},
]


def mappers() -> list[dict[str, Any]]:
    """Returns Envoy's `ResponseMapper`s, in the order in which they are tried."""
    return [
        _authorization_mapper(),
        _violations_mapper(),
        *(mapper for reply in LOCAL_REPLIES for mapper in _mappers(reply)),
    ]


def _authorization_mapper() -> dict[str, Any]:
    """Leaves what the server said of a caller who is refused (UAEX) as it is."""
    client_error = {"default_value": 499, "runtime_key": "none"}
    return {
        "filter": {
            "and_filter": {
                "filters": [
                    {"response_flag_filter": {"flags": ["UAEX"]}},
                    {"status_code_filter": {"comparison": {"op": "LE", "value": client_error}}},
                ]
            }
        },
    }


def _violations_mapper() -> dict[str, Any]:
    """Reports what `strict_json.lua` found as the server reports field violations."""
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
        "details": [_error_info(reasons.INVALID_INPUT), bad_request, _REQUEST_INFO],
    }
    return {
        "filter": {"metadata_filter": {"matcher": found, "match_if_key_not_found": False}},
        "body_format_override": _json(body),
    }


def _mappers(reply: LocalReply) -> Iterator[dict[str, Any]]:
    """Yields the mapper of an error for gRPC clients, then that for others, if it is for them."""
    filters = _filters(reply)
    headers = []
    details: list[dict[str, Any]] = [_error_info(reply.reason)]
    if reply.code in _TRANSIENT:
        details.append({"@type": _RETRY_INFO, "retryDelay": f"{RETRY_SECONDS}s"})
        headers.append(header_option("retry-after", str(RETRY_SECONDS)))
    # Envoy makes a status of gRPC of what it sends, with the text as the message.
    text = reply.message.removesuffix(ENVOYS_TEXT)
    yield {
        "filter": {"and_filter": {"filters": [*_IS_GRPC, *filters]}},
        "body_format_override": {"text_format_source": {"inline_string": text}},
        "headers_to_add": [*headers, *_grpc_headers(reply, text)],
    }
    if reply.is_grpc:
        return
    mapper: dict[str, Any] = {
        "filter": filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}},
        "body_format_override": _json(
            {
                "code": reply.code,
                "message": reply.message,
                "details": [*details, _REQUEST_INFO],
            }
        ),
        "headers_to_add": headers,
    }
    yield mapper | {"status_code": reply.becomes} if reply.becomes else mapper


def _filters(reply: LocalReply) -> list[dict[str, Any]]:
    """Returns the filters of responses that an error replaces."""
    status = {"default_value": reply.status, "runtime_key": "none"}
    comparison = {"op": "GE" if reply.and_above else "EQ", "value": status}
    filters: list[dict[str, Any]] = [{"status_code_filter": {"comparison": comparison}}]
    if reply.flags:
        filters.append({"response_flag_filter": {"flags": reply.flags}})
    if reply.header:
        name, text = reply.header
        filters.append(_header_filter(name, string_match={"contains": text}))
    if reply.is_of_change:
        filters.append({"or_filter": {"filters": _MAY_CHANGE}})
    return filters


def _grpc_headers(reply: LocalReply, text: str) -> list[dict[str, Any]]:
    """Returns the headers of a gRPC error, but for its message: its code, and its details."""
    status = status_pb2.Status(code=reply.code, message=text)
    info = error_details_pb2.ErrorInfo(
        reason=reasons.ErrorReason.Name(reply.reason), domain=ERROR_DOMAIN
    )
    status.details.add().Pack(info)
    if reply.code in _TRANSIENT:
        retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS))
        status.details.add().Pack(retry)
    details = base64.b64encode(status.SerializeToString()).decode()
    return [
        header_option("grpc-status", str(reply.code)),
        header_option("grpc-status-details-bin", details),
    ]


def _json(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the format of a body, from which the id of a request that has none is left out."""
    return {"json_format": body, "omit_empty_values": True}


def _error_info(reason: reasons.ErrorReason) -> dict[str, Any]:
    return {
        "@type": _ERROR_INFO,
        "reason": reasons.ErrorReason.Name(reason),
        "domain": ERROR_DOMAIN,
    }
