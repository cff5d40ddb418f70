"""Middleware of every RPC: authenticates, decodes, calls the servicer, maps errors, records.

`wrap` makes handlers of encoded messages, which any transport can call. They
are not a `grpc.ServerInterceptor`, because a handler that an interceptor wraps
is called after grpcio has decoded the request: the caller would not be
authenticated yet, and grpcio answers INTERNAL to a request that cannot be
decoded. Nor do grpc_testing and other transports run interceptors.
"""

import logging
import time
import traceback
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import grpc
from grpc_status import rpc_status

from twc_customer_server.api import status
from twc_customer_server.auth.authenticator import Authenticator, Caller
from twc_customer_server.contract import LONG_LIVED_RPCS, SERVICE
from twc_customer_server.errors import Internal, ServiceError, free_frames
from twc_customer_server.middleware import streams
from twc_customer_server.middleware.awaiting import AwaitingAuthenticator
from twc_customer_server.middleware.decoding import decoder
from twc_customer_server.telemetry import call_ids
from twc_customer_server.telemetry.access_log import EndedCall, OnCallEnd
from twc_customer_server.telemetry.call_ids import FindTrace
from twc_customer_server.telemetry.metrics import RpcMetrics, ServiceMetrics

# Response metadata that gives the HTTP status where it is not 200.
STATUS_HEADER = "x-http-code"
_OK = 200

Metadata = Sequence[tuple[str, str | bytes]]
SetMetadata = Callable[[tuple[tuple[str, str], ...]], None]
Method = Callable[[Any, "Call"], Any]

# Turns an encoded request, or an iterator of them, into the argument of a method,
# given the end of the caller's token.
Read = Callable[[Any, grpc.ServicerContext, float], Any]

_log = logging.getLogger(__name__)


class Call:
    """An RPC as the servicer sees it: its tenant, request headers and response metadata.

    `valid_until` is the end of its token by the wall clock, `scopes` are the
    token's; `is_active` tells whether its client still waits.

    `header` returns a request header by its name in lower case, several as one
    list (RFC 9110). `tell` sets the response's metadata, HTTP status included,
    as another call was told it.
    """

    __slots__ = ("header", "is_active", "scopes", "tell", "tenant", "valid_until")

    def __init__(
        self,
        caller: Caller,
        header: Callable[[str], str | None],
        tell: SetMetadata,
        is_active: Callable[[], bool],
    ) -> None:
        self.tenant, self.valid_until, self.scopes = caller
        self.header = header
        self.tell = tell
        self.is_active = is_active

    def telling(self, tell: SetMetadata) -> "Call":
        """Returns the same call, whose response metadata another function gets."""
        caller = Caller(self.tenant, self.valid_until, self.scopes)
        return Call(caller, self.header, tell, self.is_active)

    def set_status(self, http_status: int, *metadata: tuple[str, str]) -> None:
        """Sets the response's HTTP status and metadata."""
        self.tell(
            ((STATUS_HEADER, str(http_status)), *metadata) if http_status != _OK else metadata
        )


class Rpc(NamedTuple):
    """One RPC of the service, and everything that its calls pass."""

    read: Read
    call_servicer: Method
    authenticator: Authenticator | AwaitingAuthenticator
    metrics: RpcMetrics
    on_call_end: OnCallEnd
    tracing: "Tracing"


class Refusal(NamedTuple):
    """An error that a transport ends a call with, and the tenant of the call if that is known."""

    error: Exception
    tenant: str = ""


class Handler:
    """Handles the calls of an RPC, and ends with an error those that a transport refuses."""

    __slots__ = ("_rpc", "handle")

    def __init__(self, rpc: Rpc, handle: Callable[..., Any]) -> None:
        """`handle` is as this is called, and takes the caller as well if that is known."""
        self._rpc = rpc
        self.handle = handle

    def __call__(self, encoded: Any, context: grpc.ServicerContext) -> Any:
        """Takes an encoded request, or an iterator of them, and returns what responds to it."""
        return self.handle(encoded, context)

    def refuse(self, refusal: Refusal, context: grpc.ServicerContext) -> NoReturn:
        """Ends a call as if its handler had raised an error."""
        _InFlightCall(self._rpc, context, refusal.tenant).fail(refusal.error)


class Tracing(NamedTuple):
    """Makes the handler of an RPC of a function, and finds the trace of a call.

    `always_finds` tells that there is a trace even if the caller names none.
    """

    handler: Callable[[Rpc, Callable[..., Any]], Handler]
    find_trace: FindTrace
    always_finds: bool = True


NOT_TRACED = Tracing(Handler, call_ids.callers_trace, always_finds=False)


def wrap(
    servicer: object,
    authenticator: Authenticator | AwaitingAuthenticator,
    metrics: ServiceMetrics,
    *,
    on_call_end: OnCallEnd = lambda _: None,
    tracing: Tracing = NOT_TRACED,
) -> SimpleNamespace:
    """Returns a handler for each RPC of the service, by name.

    A handler takes an encoded request, or an iterator of them, and a
    `grpc.ServicerContext`; it returns an encoded response or a generator of
    them. Raises AttributeError if the servicer lacks an RPC.
    """
    handlers: dict[str, Handler] = {}
    for method in SERVICE.methods:
        call_servicer: Method = getattr(servicer, method.name)
        long_lived = method.name in LONG_LIVED_RPCS
        if long_lived and not method.client_streaming:
            call_servicer = streams.while_token_is_valid(call_servicer)
        decode = decoder(method)
        read: Read = decode
        if method.client_streaming:
            read = partial(streams.until_idle if long_lived else streams.complete, decode)
        counts = metrics.rpcs[method.name]
        rpc = Rpc(read, call_servicer, authenticator, counts, on_call_end, tracing)
        handle: Callable[..., Any] = partial(_handle_unary, rpc)
        if method.server_streaming:
            handle = partial(_handle_streaming, rpc)
        handlers[method.name] = tracing.handler(rpc, handle)
    return SimpleNamespace(**handlers)


def _handle_unary(
    rpc: Rpc, encoded: bytes, context: grpc.ServicerContext, caller: Caller | None = None
) -> bytes:
    in_flight = _InFlightCall(rpc, context)
    try:
        # Metadata beside the status costs less than a message of its own.
        call = in_flight.identify(caller, context.set_trailing_metadata)
        request = rpc.read(encoded, context, call.valid_until)
        response = rpc.call_servicer(request, call)
        encoded = response if isinstance(response, bytes) else response.SerializeToString()
    except Exception as error:  # noqa: BLE001 - every error has a status
        in_flight.fail(error)
    in_flight.record("OK")
    return encoded


def _handle_streaming(
    rpc: Rpc, encoded: Any, context: grpc.ServicerContext, caller: Caller | None = None
) -> Generator[bytes]:
    in_flight = _InFlightCall(rpc, context)
    try:
        call = in_flight.identify(caller, context.send_initial_metadata)
        request = rpc.read(encoded, context, call.valid_until)
        responses: Iterable[Any] = rpc.call_servicer(request, call)
        for response in responses:
            # The store returns encoded messages.
            yield response if isinstance(response, bytes) else response.SerializeToString()
    except GeneratorExit:
        # The transport closes the generator when the client cancels.
        in_flight.record("CANCELLED")
        raise
    except Exception as error:  # noqa: BLE001 - every error has a status
        in_flight.fail(error)
    # A stream may end by itself once its client is gone.
    in_flight.record("OK" if context.is_active() else "CANCELLED")


class _InFlightCall:
    """One call in flight: authenticates it, maps its error to a status, and records its end."""

    __slots__ = (
        "_context",
        "_headers",
        "_metadata",
        "_request_id",
        "_rpc",
        "_started",
        "_tenant",
        "_trace",
    )

    def __init__(self, rpc: Rpc, context: grpc.ServicerContext, tenant: str = "") -> None:
        self._started = time.perf_counter()
        self._rpc = rpc
        self._context = context
        self._metadata = context.invocation_metadata()
        self._headers = headers_by_name(self._metadata)
        self._tenant = tenant
        self._request_id, self._trace = "", call_ids.NO_TRACE
        if rpc.tracing.always_finds or not call_ids.HEADERS.isdisjoint(self._headers):
            self._request_id = call_ids.request_id(self._headers)
            self._trace = rpc.tracing.find_trace(self._headers)
        rpc.metrics.start()

    def identify(self, caller: Caller | None, set_metadata: SetMetadata) -> Call:
        """Authenticates the caller unless the transport has; raises what `authenticate` does."""
        if caller is None:
            caller = self._rpc.authenticator.authenticate(self._metadata, self._context.peer)
        self._tenant = caller.tenant
        return Call(caller, self._headers.get, set_metadata, self._context.is_active)

    def fail(self, error: Exception) -> NoReturn:
        """Ends the call with the status of an error."""
        if isinstance(error, grpc.RpcError):
            free_frames(error)
            self.record("CANCELLED")
            self._context.abort(grpc.StatusCode.CANCELLED, "the client ended the call early")
        # So that who reports the error can name the call.
        self._request_id = self._request_id or str(uuid.uuid4())
        if not isinstance(error, ServiceError):
            self._log_internal(error)
        free_frames(error)
        error = error if isinstance(error, ServiceError) else Internal()
        told = status.to_status(error)
        status.name_request(told, self._request_id, self._trace.trace_id)
        mapped = rpc_status.to_status(told)
        self.record(mapped.code.name)
        abort(error, mapped, self._context)

    def record(self, code: str) -> None:
        """Records the end of the call in metrics and access log."""
        seconds = time.perf_counter() - self._started
        metrics = self._rpc.metrics
        metrics.end(code, seconds)
        self._rpc.on_call_end(
            EndedCall(
                metrics.rpc,
                code,
                self._tenant,
                self._request_id,
                time.time(),
                seconds,
                self._trace,
            )
        )

    def _log_internal(self, error: Exception) -> None:
        """Logs an unexpected error: its type and places, as its message may hold personal data."""
        facts = {
            "request_id": self._request_id,
            **{name: it for name, it in self._trace._asdict().items() if it},
            "tenant": self._tenant,
            "rpc": self._rpc.metrics.rpc,
            "places": traceback.format_tb(error.__traceback__),
        }
        _log.error("%s failed with %s", self._rpc.metrics.rpc, type(error).__name__, extra=facts)


def abort(error: ServiceError, mapped: grpc.Status, context: grpc.ServicerContext) -> NoReturn:
    """Ends a call with an error and its mapped status."""
    context.set_trailing_metadata((*mapped.trailing_metadata, *status.to_headers(error)))
    context.abort(mapped.code, mapped.details)


def headers_by_name(metadata: Metadata) -> Mapping[str, str]:
    """Returns headers by name; several of one name are one list (RFC 9110, section 5.3)."""
    headers: dict[str, Any] = dict(metadata)
    if len(headers) == len(metadata):
        return headers
    lists: dict[str, list[str]] = {}
    for name, value in metadata:
        lists.setdefault(name, []).append(str(value))
    return {name: ", ".join(values) for name, values in lists.items()}
