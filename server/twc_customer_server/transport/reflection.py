"""The standard reflection service, in both of its versions, on threads of its own."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import grpc
from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2

from twc_customer_server.concurrency.executor import Executor
from twc_customer_server.errors import Overloaded
from twc_customer_server.middleware.compression import decompressed
from twc_customer_server.middleware.streams import cancel_after
from twc_customer_server.transport.calls import refuse
from twc_customer_server.transport.interface import Gone, IncomingCall

MAX_STREAMS = 2
STREAM_SECONDS = 10

# A request has the name of a file or symbol.
_MESSAGE_BYTES = 1 << 12

TOO_MANY_STREAMS = f"the server has {MAX_STREAMS} streams of reflection, the most that it may"


# The messages of both versions are the same on the wire.
_ALPHA, _STABLE = "grpc.reflection.v1alpha", "grpc.reflection.v1"
_SERVICE, _RPC = ".ServerReflection", "ServerReflectionInfo"


class Reflection(reflection.ReflectionServicer):
    """Serves few streams at a time, each for some seconds, since each occupies a thread."""

    def __init__(self, *services: str) -> None:
        """Serves the contracts of services, beside its own."""
        own = (_ALPHA + _SERVICE, _STABLE + _SERVICE)
        super().__init__((*services, *own), _Pool())
        self._executor = Executor(MAX_STREAMS, "reflection")
        self._places = threading.BoundedSemaphore(MAX_STREAMS)

    def handlers(self) -> Iterator[grpc.GenericRpcHandler]:
        """Yields the handlers to add to a grpcio server, one for each version."""
        stream = grpc.stream_stream_rpc_method_handler(
            self.ServerReflectionInfo,
            _decode,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        for version in (_ALPHA, _STABLE):
            yield grpc.method_handlers_generic_handler(version + _SERVICE, {_RPC: stream})

    def ServerReflectionInfo(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """Yields responses until the client has no more requests, or its time is over."""
        # grpcio would log Gone as an error, where many clients leave after the first answer.
        with cancel_after(context, STREAM_SECONDS), suppress(Gone):
            yield from super().ServerReflectionInfo(request_iterator, context)

    def accept(self, incoming: IncomingCall) -> None:
        """Takes a call from grpcio."""
        if self._places.acquire(blocking=False):
            self._executor.submit("reflection", partial(self._run, incoming))
        else:
            incoming.run_with(refuse, Overloaded(TOO_MANY_STREAMS))

    def stop(self) -> None:
        """Ends the threads after the streams that run."""
        self._executor.stop()

    def _run(self, incoming: IncomingCall) -> None:
        try:
            incoming.run_stream(self.ServerReflectionInfo)
        finally:
            self._places.release()


def _decode(message: bytes) -> Any:
    decoded = decompressed(message, _MESSAGE_BYTES)
    return reflection_pb2.ServerReflectionRequest.FromString(decoded)


class _Pool:
    """Finds the contracts of all that this process has, methods by their full name, too."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()
        alpha = FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
        stable = text_format.MessageToString(alpha).replace(_ALPHA, _STABLE)
        stable = stable.replace(alpha.name, _STABLE.replace(".", "/") + "/reflection.proto")
        file = text_format.Parse(stable, FileDescriptorProto())
        self._pool.AddSerializedFile(file.SerializeToString())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802
        """Returns the file that declares a symbol. Raises KeyError."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            # The library does not find methods.
            return self._pool.FindMethodByName(symbol).containing_service.file
