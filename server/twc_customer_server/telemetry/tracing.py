"""Exports spans to a collector by OTLP, as the standard variables of OpenTelemetry say.

Imported only if calls are traced: the library takes time and memory. Spans are exported on a
thread of its own, from a queue of bounded length; of a collector that is slow or away, no call
knows.
"""

import logging
import os
import threading
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Tracer, get_current_span
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes

from twc_customer_server.settings.sources import masked
from twc_customer_server.telemetry import otel_settings

_NAME = "twc-customer-server"

# Time for the last spans to be exported when the server stops.
_FLUSH_SECONDS = 3

_UNKNOWN_CALLER = create_key("unknown-caller")

_log = logging.getLogger(__name__)


class Exporting:
    """Makes a tracer, whose spans are exported until `stop`."""

    def __init__(self) -> None:
        # Its lines would be withheld; what matters is said by `_Reporting`.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.sampler = CallerSampler(self._provider.sampler)
        where = masked(otel_settings.endpoint(os.environ))
        self._provider.add_span_processor(BatchSpanProcessor(_Reporting(_exporter(), where)))
        self.tracer: Tracer = self._provider.get_tracer(_NAME, version(_NAME))
        _log.info("calls are traced; spans go to %s", where)

    def stop(self) -> None:
        """Exports the spans that are left, but waits for a few seconds only."""
        thread = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        thread.start()
        thread.join(_FLUSH_SECONDS)
        if thread.is_alive():
            _log.warning("the last spans were not exported within %d s", _FLUSH_SECONDS)


class CallerSampler(Sampler):
    """Samples as another sampler does, which a caller who is not known cannot influence.

    Whoever knows no more than the address could otherwise have every call traced, by the flag
    of the header `traceparent` or by its trace id, from which ratios are reckoned. Spans within
    the process are sampled as the span that they are in.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._ids = RandomIdGenerator()

    def should_sample(  # noqa: PLR0913, PLR0917 - OpenTelemetry's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decides whether a span is recorded."""
        parent = get_current_span(parent_context).get_span_context()
        if parent.is_valid and not parent.is_remote:
            follow = ALWAYS_ON if parent.trace_flags.sampled else ALWAYS_OFF
            return follow.should_sample(parent_context, trace_id, name, kind, attributes, links)
        if get_value(_UNKNOWN_CALLER, parent_context):
            parent_context, trace_id = Context(), self._ids.generate_trace_id()
        return self._sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """Returns the description of the other sampler."""
        return self._sampler.get_description()


def of_unknown_caller(parent: Context) -> Context:
    """Returns a context in which the parent has no influence on sampling."""
    return set_value(_UNKNOWN_CALLER, value=True, context=parent)


class _Reporting(SpanExporter):
    """Says once when spans cannot be exported any more, and when they can again."""

    def __init__(self, exporter: SpanExporter, where: str) -> None:
        self._exporter = exporter
        self._where = where
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Exports spans; those that cannot be are dropped."""
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - the next ones may succeed
            result = SpanExportResult.FAILURE
        fails = result is not SpanExportResult.SUCCESS
        if fails and not self._fails:
            _log.warning(
                "spans cannot be exported to %s, and are dropped until they can", self._where
            )
        elif self._fails and not fails:
            _log.info("spans are exported to %s again", self._where)
        self._fails = fails
        return result

    def shutdown(self) -> None:
        """Ends the exporter."""
        self._exporter.shutdown()


def _exporter() -> Any:
    """Returns the exporter of the protocol that is chosen, which reads the other variables."""
    if otel_settings.protocol(os.environ) == otel_settings.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter  # noqa: PLC0415

        return trace_exporter.OTLPSpanExporter()
    from opentelemetry.exporter.otlp.proto.http import (  # noqa: PLC0415
        trace_exporter as http_exporter,
    )

    return http_exporter.OTLPSpanExporter()


def _resource() -> Resource:
    """Returns what the spans are of: the service, unless a variable names it, and the process."""
    named = Resource.create({"service.version": version(_NAME), "process.pid": os.getpid()})
    if str(named.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return named.merge(Resource({SERVICE_NAME: _NAME}))
    return named
