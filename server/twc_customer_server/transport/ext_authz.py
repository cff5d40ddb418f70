"""Tells Envoy whether a caller may send a large body, by the headers alone (ext_authz).

`envoy.service.auth.v3.Authorization` is declared here with the fields that are
used, since no package of Envoy's API fits beside Envoy's own. A caller that is
refused gets what the RPC itself would have answered, as REST or as gRPC.
"""

import base64
import json
import logging
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, status_pb2

from twc_customer_server import contract
from twc_customer_server.api import status
from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.errors import Internal, MalformedRequest, Overloaded, ServiceError
from twc_customer_server.telemetry import call_ids
from twc_customer_server.transport.calls import refuse
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

# Messages of Envoy's API as fields: name, number, type, and whether it is repeated.
_Field = tuple[str, int, str, bool]
_MESSAGES: dict[str, tuple[_Field, ...]] = {
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
}
_SCALARS = {"string": FieldDescriptorProto.TYPE_STRING, "int32": FieldDescriptorProto.TYPE_INT32}
_PACKAGE = "twc.ext_authz"


def _declare() -> Mapping[str, Any]:
    """Returns the classes of the messages, by name; on the wire they are those of Envoy."""
    file = FileDescriptorProto(name="ext_authz.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message: DescriptorProto = file.message_type.add(name=name)
        for field, number, kind, is_repeated in fields:
            declared = message.field.add(name=field, number=number)
            declared.label = (
                FieldDescriptorProto.LABEL_REPEATED
                if is_repeated
                else FieldDescriptorProto.LABEL_OPTIONAL
            )
            declared.type = _SCALARS.get(kind, FieldDescriptorProto.TYPE_MESSAGE)
            if kind not in _SCALARS:
                declared.type_name = f".{_PACKAGE}.{kind}"
    pool = DescriptorPool()
    pool.Add(file)
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_classes = _declare()
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
        """Returns OK, with the cluster for large bodies, or the response to give instead.

        It serves calls that `accept` did not take, without waiting for keys.
        """
        headers = _headers(request)
        try:
            outcome: Caller | Exception = self._identity.authenticate(headers, context.peer)
        except Exception as error:  # noqa: BLE001 - every error has a response
            outcome = error
        return _response(headers, outcome)

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
    number = zlib.crc32(tenant.encode()) % contract.LARGE_BODIES_CLUSTERS + 1
    cluster = {
        "key": contract.LARGE_BODIES_HEADER,
        "value": contract.large_bodies_cluster(number),
    }
    return CheckResponse(
        status={"code": code_pb2.OK}, ok_response={"headers": [{"header": cluster}]}
    )


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
