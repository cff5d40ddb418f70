"""Counts the large bodies that the gateway reads for each tenant, from their headers to their end.

Envoy tells of each by a stream of `envoy.service.ext_proc.v3.ExternalProcessor`,
which lasts for as long as the request does, whatever ends it.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import grpc
from google.protobuf.message import DecodeError

from twc_customer_server import contract
from twc_customer_server.errors import MalformedRequest
from twc_customer_server.transport.body_shares import Body, BodyShares
from twc_customer_server.transport.calls import refuse
from twc_customer_server.transport.envoy_api import declare
from twc_customer_server.transport.interface import IncomingCall

SERVICE_NAME = "envoy.service.ext_proc.v3.ExternalProcessor"

_TOO_MANY_REQUESTS = 429

_classes = declare(
    "twc.ext_proc",
    {
        "HeaderValue": (("key", 1, "string", False), ("raw_value", 3, "bytes", False)),
        "HeaderMap": (("headers", 1, "HeaderValue", True),),
        "HttpHeaders": (("headers", 1, "HeaderMap", False),),
        "ProcessingRequest": (("request_headers", 2, "HttpHeaders", False),),
        "HeadersResponse": (),
        "HttpStatus": (("code", 1, "int32", False),),
        "ImmediateResponse": (("status", 1, "HttpStatus", False),),
        "ProcessingResponse": (
            ("request_headers", 1, "HeadersResponse", False),
            ("response_headers", 2, "HeadersResponse", False),
            ("immediate_response", 7, "ImmediateResponse", False),
        ),
    },
)
ProcessingRequest, ProcessingResponse = (
    _classes["ProcessingRequest"],
    _classes["ProcessingResponse"],
)
_HeadersResponse = _classes["HeadersResponse"]
# What Envoy makes of a refusal has its details from `local_replies.py`.
_REFUSED = ProcessingResponse(
    immediate_response={"status": {"code": _TOO_MANY_REQUESTS}}
).SerializeToString()
_PASSES = ProcessingResponse(request_headers=_HeadersResponse()).SerializeToString()
_IS_ANSWERED = ProcessingResponse(response_headers=_HeadersResponse()).SerializeToString()


class LargeBodies:
    """Has few bodies of a tenant, and few bytes of all, read at a time (`BodyShares`).

    More of them wait, without a thread, and are refused if that takes long. All of it runs
    on grpcio's thread.
    """

    def __init__(self, on_refused: Callable[[], object]) -> None:
        self._on_refused = on_refused
        self._lock = threading.Lock()
        self._open: set[IncomingCall] = set()
        self._shares: BodyShares[IncomingCall] = BodyShares()

    def handler(self) -> grpc.GenericRpcHandler:
        """Returns the handler to add to a grpcio server."""
        process: grpc.RpcMethodHandler[bytes, bytes]
        process = grpc.stream_stream_rpc_method_handler(self.process, None, None)
        return grpc.method_handlers_generic_handler(SERVICE_NAME, {"Process": process})

    def process(self, messages: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        """Lets a body pass; for calls that `accept` did not take."""
        yield from (answer for answer, _ in zip((_PASSES, _IS_ANSWERED), messages, strict=False))

    def accept(self, incoming: IncomingCall) -> None:
        """Takes a call from grpcio."""
        with self._lock:
            self._open.add(incoming)
        incoming.on_end(partial(self._open.discard, incoming))
        incoming.receive(partial(self._begin, incoming))

    def tick(self) -> None:
        """Refuses bodies that have waited for too long; to be called several times a second."""
        with self._lock:
            late = self._shares.take_late()
        for call in late:
            self._refuse(call)

    def close(self) -> None:
        """Ends all streams, which would delay the end of the server; their bodies are read on."""
        with self._lock:
            calls = list(self._open)
        for call in calls:
            call.cancel()

    def _begin(self, incoming: IncomingCall, message: bytes | None) -> None:
        if message is None:
            incoming.run_with(_end, "")
            return
        try:
            body = _body(message)
        except DecodeError:
            incoming.run_with(refuse, MalformedRequest())
            return
        with self._lock:
            self._shares.most_bytes = _most_bytes(incoming)
            is_read = self._shares.take(incoming, body)
            waits = not is_read and self._shares.wait(incoming, body)
        # It may have ended before.
        incoming.on_end(partial(self._leave, incoming, body.tenant))
        if is_read:
            _send(incoming, _PASSES)
        elif not waits:
            self._refuse(incoming)

    def _refuse(self, incoming: IncomingCall) -> None:
        self._on_refused()
        _send(incoming, _REFUSED)

    def _leave(self, incoming: IncomingCall, tenant: str) -> None:
        with self._lock:
            following = self._shares.leave(incoming, tenant)
        for call in following:
            _send(call, _PASSES)


def _most_bytes(incoming: IncomingCall) -> int:
    """Returns the bytes that all bodies may have by way of this server, as the gateway says."""
    told = dict(incoming.metadata).get(contract.LARGE_BODY_BYTES_HEADER, contract.MAX_UPLOAD_BYTES)
    return int(told)


def _body(message: bytes) -> Body:
    """Returns a body by its headers, and its tenant as the answer about its token has named it.

    One that does not say how large it is may be as large as any.
    """
    headers = ProcessingRequest.FromString(message).request_headers.headers.headers
    values = {header.key: header.raw_value for header in headers}
    tenant: bytes = values.get(contract.LARGE_BODIES_HEADER, b"")
    length: bytes = values.get("content-length", b"")
    most = contract.MAX_UPLOAD_BYTES
    size = min(int(length), most) if length.isdigit() else most
    return Body(tenant.decode(errors="replace"), size)


def _send(incoming: IncomingCall, answer: bytes) -> None:
    """Sends an answer, and then waits for what Envoy tells next."""
    incoming.send(answer, lambda: incoming.receive(partial(_go_on, incoming)))


def _go_on(incoming: IncomingCall, message: bytes | None) -> None:
    if message is None:
        incoming.run_with(_end, "")
    else:
        _send(incoming, _IS_ANSWERED)


def _end(_: object, __: object) -> Iterator[bytes]:
    """Sends nothing more."""
    yield from ()
