"""Services that fail or wait as a test needs, where a real one would not."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from twc.customer.v2 import customer_service_pb2 as pb

SERVICE = "twc.customer.v2.CustomerService"

Requests = Iterator[pb.ImportCustomersRequest]
Responses = Iterator[pb.ImportCustomersResponse]
Handler = Callable[[Any, grpc.ServicerContext], Iterator[Any]]

_NO_EMAIL = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message="no e-mail address")


@contextmanager
def serving(*, imports: Handler | None = None, exports: Handler | None = None) -> Iterator[str]:
    """Serves ImportCustomers or ExportCustomers, and returns the server's address."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    if imports:
        handlers["ImportCustomers"] = grpc.stream_stream_rpc_method_handler(
            imports, pb.ImportCustomersRequest.FromString, _encode
        )
    if exports:
        handlers["ExportCustomers"] = grpc.unary_stream_rpc_method_handler(
            exports, pb.ExportCustomersRequest.FromString, _encode
        )
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
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


def fail(context: grpc.ServicerContext, code: "code_pb2.Code", retry_after: float = 0) -> None:
    """Ends a call with a code, and with RetryInfo if there is a delay in seconds."""
    status = status_pb2.Status(code=code, message="not now")
    if retry_after:
        delay = Duration(nanos=int(retry_after * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    context.abort_with_status(rpc_status.to_status(status))


def _encode(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded
