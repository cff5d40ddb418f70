"""The performance targets of the service: limits of results, or of ratios of two results."""

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Literal, NamedTuple

from bench.contenders import (
    BASELINE_GRPC,
    BASELINE_REST,
    FASTAPI,
    SERVICE_GRPC,
    SERVICE_REST,
)
from bench.results import Results, ServiceMetric, ratio


class Target(NamedTuple):
    """A lower or upper limit of a value."""

    name: str
    side: Literal["≤", "≥"]
    limit: float
    value: Callable[[Results], float]
    unit: str = ""

    def verdict(self, value: float) -> str:
        """Returns whether a value meets the limit, and its distance from the limit."""
        if math.isnan(value):
            return "not measured"
        distance = abs(value / self.limit - 1)
        is_met = value <= self.limit if self.side == "≤" else value >= self.limit
        return f"{'met' if is_met else 'MISSED'} by {distance:.0%}"


def _get_ratio(contender: str, base: str, statistic: str) -> Callable[[Results], float]:
    """Compares a statistic of GET by id of two contenders."""
    value = attrgetter(statistic)
    return lambda results: ratio(
        value(results.stats(contender, "get")), value(results.stats(base, "get"))
    )


def _metric_ratio(metric: ServiceMetric, base: ServiceMetric) -> Callable[[Results], float]:
    return lambda results: ratio(results.service_metric(metric), results.service_metric(base))


def _metric(metric: ServiceMetric) -> Callable[[Results], float]:
    return lambda results: results.service_metric(metric)


TARGETS = [
    Target(
        "Native GET by id, CPU, against a bare gRPC handler",
        "≤",
        1.25,
        _get_ratio(SERVICE_GRPC, BASELINE_GRPC, "cpu"),
    ),
    Target(
        "REST GET by id, CPU, against a bare gRPC handler behind the same Envoy",
        "≤",
        1.25,
        _get_ratio(SERVICE_REST, BASELINE_REST, "cpu"),
    ),
    Target(
        f"REST GET by id, requests/s, against {FASTAPI}",
        "≥",
        1.8,
        _get_ratio(SERVICE_REST, FASTAPI, "throughput"),
    ),
    Target(
        f"Native GET by id, requests/s, against {FASTAPI}",
        "≥",
        4,
        _get_ratio(SERVICE_GRPC, FASTAPI, "throughput"),
    ),
    Target(
        f"REST GET by id, p99 at the fixed rate, against {FASTAPI}",
        "≤",
        1 / 3,
        _get_ratio(SERVICE_REST, FASTAPI, "p99"),
    ),
    Target(
        "Creations/s with group commit, against a commit each",
        "≥",
        1.5,
        _metric_ratio(ServiceMetric.GROUP_COMMIT, ServiceMetric.SINGLE_COMMITS),
    ),
    Target(
        "Native GET by id, CPU of the server, PostgreSQL against SQLite",
        "≤",
        1.6,
        _metric_ratio(ServiceMetric.GET_POSTGRES, ServiceMetric.GET_SQLITE),
    ),
    Target("Import, customers/s", "≥", 12_000, _metric(ServiceMetric.IMPORT)),
    Target(
        "Import, peak memory of the server", "≤", 200, _metric(ServiceMetric.IMPORT_MEMORY), " MiB"
    ),
    Target("Upload over REST, customers/s", "≥", 4_000, _metric(ServiceMetric.UPLOAD)),
    Target(
        "GET by id, CPU, at a million customers against ten thousand",
        "≤",
        1.3,
        _metric_ratio(ServiceMetric.GET_LARGE, ServiceMetric.GET_SMALL),
    ),
    Target(
        "Lookup by e-mail, CPU, at a million customers against ten thousand",
        "≤",
        1.3,
        _metric_ratio(ServiceMetric.LOOKUP_LARGE, ServiceMetric.LOOKUP_SMALL),
    ),
    Target(
        "Lookup of a page of 100 customers, CPU",
        "≤",
        3,
        lambda results: results.stats(SERVICE_GRPC, "page").cpu / 1e3,
        " ms",
    ),
]
