"""Traces calls: a span for each, named and described by OpenTelemetry's conventions for RPC.

A span has no message, path or query, whose values may be personal data. That of a call which
has come by REST is within one of the request, which begins when Envoy got it.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
from opentelemetry import context as current_context
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from twc_customer_server import contract
from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.middleware.rpc import Handler, Refusal, Rpc, headers_by_name
from twc_customer_server.telemetry.access_log import EndedCall, OnCallEnd
from twc_customer_server.telemetry.call_ids import TraceIds
from twc_customer_server.telemetry.statement_count import counting
from twc_customer_server.telemetry.tracing import of_unknown_caller

# Codes that are failures of a server, as the conventions have it; others are the caller's.
_FAILURES = {
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
}

# Envoy waits no longer than this for a request.
_LONGEST_SECONDS = 3600

_PROPAGATOR = TraceContextTextMapPropagator()


def find_trace(_: Mapping[str, str]) -> TraceIds:
    """Returns the trace and span of the call that this thread runs."""
    ids = get_current_span().get_span_context()
    return TraceIds(format_trace_id(ids.trace_id), format_span_id(ids.span_id))


def describing(on_call_end: OnCallEnd) -> OnCallEnd:
    """Describes the current span by the call that ends, before another function gets that."""

    def describe(call: EndedCall) -> None:
        span = get_current_span()
        span.set_attribute("rpc.response.status_code", call.code)
        if call.tenant:
            span.set_attribute("twc.tenant", call.tenant)
        if call.request_id:
            span.set_attribute("twc.request_id", call.request_id)
        _set_failure(span, call.code)
        on_call_end(call)

    return describe


class TracedHandler(Handler):
    """Handles and refuses the calls of an RPC, each within a span."""

    __slots__ = ("_attributes", "_handle", "_method", "_tracer")

    def __init__(self, tracer: Tracer, rpc: Rpc, handle: Callable[..., Any]) -> None:
        method = contract.SERVICE.methods_by_name[rpc.metrics.rpc]
        super().__init__(rpc, self._stream if method.server_streaming else self._respond)
        self._handle = handle
        self._tracer = tracer
        self._method = f"{contract.SERVICE.full_name}/{method.name}"
        self._attributes = {"rpc.system.name": "grpc", "rpc.method": self._method}

    def refuse(self, refusal: Refusal, context: grpc.ServicerContext) -> NoReturn:
        """Ends a call as if its handler had raised an error."""
        call = self._begin(context, is_known=bool(refusal.tenant))
        try:
            with call.current():
                super().refuse(refusal, context)
        finally:
            call.end()

    def _respond(
        self, encoded: Any, context: grpc.ServicerContext, caller: Caller | None = None
    ) -> Any:
        call = self._begin(context, is_known=caller is not None)
        try:
            with call.current():
                return self._handle(encoded, context, caller)
        finally:
            call.end()

    def _stream(
        self, encoded: Any, context: grpc.ServicerContext, caller: Caller | None = None
    ) -> Generator[Any]:
        """Yields responses; the span is current only while one is made."""
        call = self._begin(context, is_known=caller is not None)
        responses = self._handle(encoded, context, caller)
        try:
            while True:
                with call.current():
                    response = next(responses, None)
                if response is None:
                    return
                yield response
        finally:
            with call.current():
                responses.close()
            call.end()

    def _begin(self, context: grpc.ServicerContext, *, is_known: bool) -> "_TracedCall":
        headers = headers_by_name(context.invocation_metadata())
        parent = _PROPAGATOR.extract(headers, Context())
        if not is_known:
            parent = of_unknown_caller(parent)
        request = self._begin_request(parent, headers, context.peer())
        within = set_span_in_context(request, parent) if request else parent
        span = self._tracer.start_span(self._method, within, SpanKind.SERVER, self._attributes)
        return _TracedCall(span, request)

    def _begin_request(self, parent: Context, headers: Mapping[str, str], peer: str) -> Span | None:
        """Returns the span of the REST request that a gateway has made the call of, if it has."""
        route = headers.get(contract.ROUTE_HEADER)
        if not route or not peer.startswith("unix:"):
            return None
        http_method, _, path = route.partition(" ")
        attributes = {"http.request.method": http_method, "http.route": path}
        began = _nanoseconds(headers.get(contract.BEGAN_HEADER, ""))
        return self._tracer.start_span(route, parent, SpanKind.SERVER, attributes, start_time=began)


class _TracedCall:
    """A call, or refusal, with its span and that of its request if it has one."""

    __slots__ = ("_context", "_request", "_span", "_statements")

    def __init__(self, span: Span, request: Span | None) -> None:
        self._span = span
        self._request = request
        self._context, self._statements = counting(set_span_in_context(span, Context()))

    @contextmanager
    def current(self) -> Iterator[None]:
        """Has this thread run the call."""
        token = current_context.attach(self._context)
        try:
            yield
        finally:
            current_context.detach(token)

    def end(self) -> None:
        """Ends the spans, after all that the call does."""
        if isinstance(self._span, NonRecordingSpan):
            return
        self._span.set_attribute("twc.statements", self._statements.number)
        self._span.end()
        if self._request:
            self._request.end()


def _set_failure(span: Span, code: str) -> None:
    if code != "OK":
        span.set_attribute("error.type", code)
    if code in _FAILURES:
        span.set_status(Status(StatusCode.ERROR))


def _nanoseconds(seconds: str) -> int | None:
    """Returns a time of Envoy's in nanoseconds since the epoch, None if it cannot be right."""
    now = time.time_ns()
    whole, _, fraction = seconds.partition(".")
    if not (whole.isdecimal() and fraction.isdecimal() and len(fraction) == 6):  # noqa: PLR2004
        return None
    began = int(whole + fraction) * 1000
    return began if now - _LONGEST_SECONDS * 10**9 < began <= now else None
