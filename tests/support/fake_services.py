"""Services that fail or wait as a test needs, where a real one would not."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from twc.customer.v2 import customer_service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["CustomerService"]

Requests = Iterator[pb.ImportCustomersRequest]
Responses = Iterator[pb.ImportCustomersResponse]
Handler = Callable[[Any, grpc.ServicerContext], Any]

_NO_EMAIL = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message="no e-mail address")


@contextmanager
def serving(**handlers: Handler) -> Iterator[str]:
    """Serves RPCs by their names, and returns the server's address.

    A handler takes the request, or an iterator over them, and the context; it
    returns the response, or an iterator over them.
    """
    server = grpc.server(ThreadPoolExecutor(8))
    methods = {name: _method(SERVICE.methods_by_name[name], it) for name, it in handlers.items()}
    generic = grpc.method_handlers_generic_handler(SERVICE.full_name, methods)
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def accept(request: pb.ImportCustomersRequest) -> pb.ImportCustomersResponse:
    """Answers that the customers of a batch were created, except those without an `@`."""
    return pb.ImportCustomersResponse(
        results=[
            pb.ImportResult(sequence=item.sequence, created="1")
            if "@" in item.customer.email
            else pb.ImportResult(sequence=item.sequence, error=_NO_EMAIL)
            for item in request.items
        ]
    )


def fail(
    context: grpc.ServicerContext,
    code: "code_pb2.Code",
    retry_after: float = 0,
    reason: str = "",
    *details: Message,
) -> NoReturn:
    """Ends a call with a code, with RetryInfo if there is a delay in seconds, and a reason."""
    status = status_pb2.Status(code=code, message="not now")
    if reason:
        info = error_details_pb2.ErrorInfo(reason=reason, domain="customer.twc")
        status.details.add().Pack(info)
    if retry_after:
        delay = Duration()
        delay.FromTimedelta(timedelta(seconds=retry_after))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in details:
        status.details.add().Pack(detail)
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError


def _method(method: MethodDescriptor, handler: Handler) -> "grpc.RpcMethodHandler[Any, Any]":
    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    kind: Any = kinds[method.client_streaming, method.server_streaming]
    request: Any = GetMessageClass(method.input_type)
    made: grpc.RpcMethodHandler[Any, Any] = kind(handler, request.FromString, _encode)
    return made


def _encode(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded
