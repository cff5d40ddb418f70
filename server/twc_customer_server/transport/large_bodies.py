"""Counts the large bodies that the gateway reads for each tenant, from their headers to their end.

Envoy tells of each by a stream of `envoy.service.ext_proc.v3.ExternalProcessor`,
which lasts for as long as the request does, whatever ends it.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial

import grpc
from google.protobuf.message import DecodeError

from twc_customer_server import contract
from twc_customer_server.errors import MalformedRequest
from twc_customer_server.transport.calls import refuse
from twc_customer_server.transport.envoy_api import declare
from twc_customer_server.transport.interface import IncomingCall

SERVICE_NAME = "envoy.service.ext_proc.v3.ExternalProcessor"

# Large bodies of a tenant that are read at a time, and those that wait for one of them to end.
MOST = 4
MOST_WAITING = 12

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
    """Has few bodies of a tenant read at a time, so that none takes the places of others.

    More of them wait, without a thread, and are refused if that takes long. All of it runs
    on grpcio's thread.
    """

    def __init__(self, on_refused: Callable[[], object]) -> None:
        self._on_refused = on_refused
        self._lock = threading.Lock()
        self._open: set[IncomingCall] = set()
        # By tenant: those that are read, and since when each of the others waits.
        self._read: defaultdict[str, set[IncomingCall]] = defaultdict(set)
        self._waiting: defaultdict[str, dict[IncomingCall, float]] = defaultdict(dict)

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
        latest = time.monotonic() - contract.LARGE_BODY_WAIT_SECONDS
        with self._lock:
            late = [
                (tenant, call)
                for tenant, calls in self._waiting.items()
                for call, since in calls.items()
                if since <= latest
            ]
            for tenant, call in late:
                del self._waiting[tenant][call]
        for _, call in late:
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
            tenant = _tenant(message)
        except DecodeError:
            incoming.run_with(refuse, MalformedRequest())
            return
        with self._lock:
            passes = len(self._read[tenant]) < MOST
            waits = not passes and len(self._waiting[tenant]) < MOST_WAITING
            if passes:
                self._read[tenant].add(incoming)
            elif waits:
                self._waiting[tenant][incoming] = time.monotonic()
        # It may have ended before.
        incoming.on_end(partial(self._leave, tenant, incoming))
        if passes:
            _send(incoming, _PASSES)
        elif not waits:
            self._refuse(incoming)

    def _refuse(self, incoming: IncomingCall) -> None:
        self._on_refused()
        _send(incoming, _REFUSED)

    def _leave(self, tenant: str, incoming: IncomingCall) -> None:
        """Forgets a body that has ended; lets the next of its tenant pass if it was read."""
        following = None
        with self._lock:
            self._waiting[tenant].pop(incoming, None)
            if incoming in self._read[tenant]:
                self._read[tenant].remove(incoming)
                following = next(iter(self._waiting[tenant]), None)
            if following:
                del self._waiting[tenant][following]
                self._read[tenant].add(following)
            for calls in (self._read, self._waiting):
                if not calls[tenant]:
                    del calls[tenant]
        if following:
            _send(following, _PASSES)


def _tenant(message: bytes) -> str:
    """Returns the tenant of a request, as the answer about its token has named it."""
    headers = ProcessingRequest.FromString(message).request_headers.headers.headers
    values = {header.key: header.raw_value for header in headers}
    tenant: bytes = values.get(contract.LARGE_BODIES_HEADER, b"")
    return tenant.decode(errors="replace")


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
