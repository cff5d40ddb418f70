"""Tells Envoy whether a caller may send a large body, by the headers alone (ext_authz).

A caller that is refused gets what the RPC itself would have answered, as REST or
as gRPC.
"""

import base64
import json
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, status_pb2

from twc_customer_server import contract
from twc_customer_server.api import status
from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.errors import Internal, MalformedRequest, Overloaded, ServiceError
from twc_customer_server.telemetry import call_ids
from twc_customer_server.transport.calls import refuse
from twc_customer_server.transport.envoy_api import declare
from twc_customer_server.transport.identification import Identifier, Identity
from twc_customer_server.transport.interface import IncomingCall, Metadata

SERVICE_NAME = "envoy.service.auth.v3.Authorization"

_DETAILS = "grpc-status-details-bin"

# HTTP statuses of gRPC codes, by google/rpc/code.proto.
_HTTP_STATUSES = {
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.INTERNAL: 500,
    code_pb2.UNAVAILABLE: 503,
}

_log = logging.getLogger(__name__)

_classes = declare(
    "twc.ext_authz",
    {
        "HttpRequest": (("headers", 3, "HeadersEntry", True),),
        "HeadersEntry": (("key", 1, "string", False), ("value", 2, "string", False)),
        "Request": (("http", 2, "HttpRequest", False),),
        "AttributeContext": (("request", 4, "Request", False),),
        "CheckRequest": (("attributes", 1, "AttributeContext", False),),
        "HeaderValue": (("key", 1, "string", False), ("value", 2, "string", False)),
        "HeaderValueOption": (("header", 1, "HeaderValue", False),),
        "HttpStatus": (("code", 1, "int32", False),),
        "DeniedHttpResponse": (
            ("status", 1, "HttpStatus", False),
            ("headers", 2, "HeaderValueOption", True),
            ("body", 3, "string", False),
        ),
        "Status": (("code", 1, "int32", False),),
        "OkHttpResponse": (("headers", 2, "HeaderValueOption", True),),
        "CheckResponse": (
            ("status", 1, "Status", False),
            ("denied_response", 2, "DeniedHttpResponse", False),
            ("ok_response", 3, "OkHttpResponse", False),
        ),
    },
)
CheckRequest, CheckResponse = _classes["CheckRequest"], _classes["CheckResponse"]


class Authorization:
    """Answers whether a caller may send a request, as `identity` says of its headers."""

    def __init__(self, identity: Identity, identifier: Identifier) -> None:
        self._identity = identity
        self._identifier = identifier

    def handler(self) -> grpc.GenericRpcHandler:
        """Returns the handler to add to a grpcio server."""
        check = grpc.unary_unary_rpc_method_handler(
            self.check, CheckRequest.FromString, CheckResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE_NAME, {"Check": check})

    def check(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Returns OK, with the tenant whose large body it is, or the response to give instead.

        It serves calls that `accept` did not take, without waiting for keys.
        """
        headers = _headers(request)
        try:
            return _response(headers, self._identity.authenticate(headers, context.peer))
        except Exception as error:  # noqa: BLE001 - every error has a response
            return _response(headers, error)

    def accept(self, incoming: IncomingCall) -> None:
        """Takes a call from grpcio.

        It comes from the gateway, which sends its message with the headers, and which asks
        as often as it has requests: however many they are, none gives way to another.
        """
        incoming.receive(partial(self._receive, incoming))

    def _receive(self, incoming: IncomingCall, message: bytes | None) -> None:
        if message is None:
            return
        try:
            headers = _headers(CheckRequest.FromString(message))
        except DecodeError:
            incoming.run_with(refuse, MalformedRequest())
            return
        respond = partial(_respond, incoming, headers)
        if known := self._identifier.cached(headers):
            respond(known)
            return
        try:
            self._identifier.identify(incoming, headers, respond)
        except Overloaded as error:
            respond(error)


def _respond(incoming: IncomingCall, headers: Metadata, outcome: Caller | Exception) -> None:
    incoming.run_with(lambda outcome, _: _response(headers, outcome), outcome)


def _headers(request: Any) -> Metadata:
    return [(it.key, it.value) for it in request.attributes.request.http.headers]


def _response(headers: Metadata, outcome: Caller | Exception) -> Any:
    if isinstance(outcome, Caller):
        return _allowed(outcome.tenant)
    if not isinstance(outcome, ServiceError):
        # Its message may hold a token.
        _log.error("a token could not be verified: %s", type(outcome).__name__)
        outcome = Internal()
    return _denied(outcome, {key: str(value) for key, value in headers})


def _allowed(tenant: str) -> Any:
    named = {"key": contract.LARGE_BODIES_HEADER, "value": tenant}
    return CheckResponse(status={"code": code_pb2.OK}, ok_response={"headers": [{"header": named}]})


def _denied(error: ServiceError, headers: Mapping[str, str]) -> Any:
    is_grpc = headers.get("content-type", "").startswith("application/grpc")
    mapped = status.to_status(error)
    trace_id = call_ids.callers_trace(headers).trace_id
    status.name_request(mapped, call_ids.request_id(headers), trace_id)
    answered = _grpc_headers(mapped) if is_grpc else [("content-type", "application/json")]
    return CheckResponse(
        status={"code": mapped.code},
        denied_response={
            # A gRPC-Web client reads a gRPC status only where the one of HTTP is 200.
            "status": {"code": 200 if is_grpc else _HTTP_STATUSES[mapped.code]},
            "headers": [
                {"header": {"key": key, "value": value}}
                for key, value in (*answered, *status.to_headers(error))
            ],
            # Envoy makes it the message of a gRPC status.
            "body": mapped.message if is_grpc else _json(mapped),
        },
    )


def _grpc_headers(mapped: status_pb2.Status) -> list[tuple[str, str]]:
    details = base64.b64encode(mapped.SerializeToString()).decode().rstrip("=")
    return [("grpc-status", str(mapped.code)), (_DETAILS, details)]


def _json(mapped: status_pb2.Status) -> str:
    """Returns a status in the form in which Envoy's transcoder writes it."""
    members = json_format.MessageToDict(mapped, always_print_fields_with_no_presence=True)
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))
