"""How messages become bytes and back: the handlers that a gRPC server is given.

The generated `add_CustomerServiceServicer_to_server` would do, but for two
things. A request that cannot be decoded is the caller's error, where grpcio
answers INTERNAL; and an answer that is encoded already, as the store keeps it,
is sent as it is.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from twc_customer_server.errors import MalformedRequest

_KINDS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def add(server: grpc.Server, service: ServiceDescriptor, guarded: SimpleNamespace) -> None:
    """Has a server answer a service's RPCs with the methods of a guarded servicer."""
    handlers = {
        method.name: _handler(method, getattr(guarded, method.name)) for method in service.methods
    }
    generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))
    server.add_registered_method_handlers(service.full_name, handlers)


def _handler(
    method: MethodDescriptor, behaviour: Callable[..., Any]
) -> "grpc.RpcMethodHandler[Any, Any]":
    kind = _KINDS[method.client_streaming, method.server_streaming]
    return kind(behaviour, _decoder(GetMessageClass(method.input_type)), _encode)


def _decoder(message: type[Message]) -> Callable[[bytes], Message | MalformedRequest]:
    decode = message.FromString

    def decode_or_say(encoded: bytes) -> Message | MalformedRequest:
        try:
            return decode(encoded)
        except DecodeError:
            return MalformedRequest(
                "the request cannot be read: text must be UTF-8, and messages valid Protobuf"
            )

    return decode_or_say


def _encode(answer: Message | bytes) -> bytes:
    return answer if isinstance(answer, bytes) else answer.SerializeToString()
