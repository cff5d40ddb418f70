"""Services that fail or wait as a test wants, where a real one would not."""

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

_NO_EMAIL = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message="no e-mail address")

Behaviour = Callable[[Any, grpc.ServicerContext], Iterator[Any]]


@contextmanager
def serving(*, imports: Behaviour | None = None, exports: Behaviour | None = None) -> Iterator[str]:
    """Serves one of the RPCs that have streams, and says where."""
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
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def answer(request: pb.ImportCustomersRequest) -> pb.ImportCustomersResponse:
    """Says that all customers of a batch were stored, but for those without an e-mail address."""
    return pb.ImportCustomersResponse(
        results=[
            pb.ImportResult(sequence=item.sequence, created="1")
            if "@" in item.customer.email
            else pb.ImportResult(sequence=item.sequence, error=_NO_EMAIL)
            for item in request.items
        ]
    )


def refuse(context: grpc.ServicerContext, code: "code_pb2.Code", seconds: float = 0) -> None:
    """Ends a call with a code, and with a time to wait if that is given."""
    status = status_pb2.Status(code=code, message="not now")
    if seconds:
        delay = Duration(nanos=int(seconds * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    context.abort_with_status(rpc_status.to_status(status))


def _encode(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded
