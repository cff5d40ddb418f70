"""Writes the metrics of several processes in Prometheus' text format.

Those of RPCs have the names, labels and codes of go-grpc-prometheus, which dashboards know.
"""

import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import accumulate

from google.protobuf.descriptor import MethodDescriptor
from prometheus_client import Metric, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from twc_customer_server.telemetry.families import FAMILIES, Family, Kind
from twc_customer_server.telemetry.metrics import BOUNDS, CODES, ServiceMetrics

_BUCKETS = [*(str(float(bound)) for bound in BOUNDS), "+Inf"]

# Codes are spelt as Go spells them.
_SPELLINGS = {"OK": "OK", "CANCELLED": "Canceled"}
_GO_CODES = {code: _SPELLINGS.get(code, code.title().replace("_", "")) for code in CODES}

# By whether the client streams, and the server.
_TYPES = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}
_RPC_LABELS = ("grpc_type", "grpc_service", "grpc_method")


def render(processes: Sequence[ServiceMetrics]) -> bytes:
    """Returns the sums of the metrics of several processes in Prometheus' text format."""
    return generate_latest(_Collector(processes))


class _Collector(Collector):
    """Collects the sums of the metrics of several processes."""

    def __init__(self, processes: Sequence[ServiceMetrics]) -> None:
        self._processes = processes

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics; a series that appears with its first event would have no rate."""
        yield InfoMetricFamily(
            "twc_customer_build",
            "The version of the server.",
            {"version": version("twc-customer-server")},
        )
        yield from self._rpcs()
        for family in FAMILIES:
            yield self._own(family)

    def _rpcs(self) -> Iterator[Metric]:
        started = CounterMetricFamily(
            "grpc_server_started", "Calls that have started.", labels=_RPC_LABELS
        )
        handled = CounterMetricFamily(
            "grpc_server_handled",
            "Calls that have ended, by their status code.",
            labels=(*_RPC_LABELS, "grpc_code"),
        )
        handling = HistogramMetricFamily(
            "grpc_server_handling_seconds",
            "Time from the start of a call to its end.",
            labels=_RPC_LABELS,
        )
        in_progress = GaugeMetricFamily(
            "grpc_server_calls_in_progress",
            "Calls that have started and not ended, streams included.",
            labels=_RPC_LABELS,
        )
        for method in self._processes[0].service.methods:
            labels = _labels(method)
            counted = [process.rpcs[method.name] for process in self._processes]
            started.add_metric(labels, sum(each.started for each in counted))
            in_progress.add_metric(labels, sum(each.in_progress for each in counted))
            for code in CODES:
                ended = sum(each.handled(code) for each in counted)
                handled.add_metric((*labels, _GO_CODES[code]), ended)
            read, seconds = zip(*(each.durations for each in counted), strict=True)
            buckets = accumulate(sum(same) for same in zip(*read, strict=True))
            handling.add_metric(labels, list(zip(_BUCKETS, buckets, strict=True)), sum(seconds))
        yield from (started, handled, handling, in_progress)

    def _own(self, family: Family) -> Metric:
        if family.kind is Kind.SUMMARY:
            summary = SummaryMetricFamily(family.name, family.help, labels=[*family.labels])
            for labels in family.series():
                events, seconds = self._values(family, labels)
                summary.add_metric(labels, int(events), seconds)
            return summary
        of_kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
        metric = of_kind(family.name, family.help, labels=[*family.labels])
        for labels in family.series():
            [value] = self._values(family, labels)
            metric.add_metric(labels, value)
        return metric

    def _values(self, family: Family, labels: tuple[str, ...]) -> list[float]:
        """Returns what the cells of a series have, of all processes together."""
        read = [process.own.series(family, *labels).values for process in self._processes]
        if family.kind is Kind.AGE:
            now = time.time()
            since = min((each for [each] in read if each), default=now)
            return [max(0.0, now - since)]
        return [family.across(same) for same in zip(*read, strict=True)]


def _labels(method: MethodDescriptor) -> tuple[str, str, str]:
    kind = _TYPES[method.client_streaming, method.server_streaming]
    return kind, method.containing_service.full_name, method.name
