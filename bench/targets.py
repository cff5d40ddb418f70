"""The performance targets of the service: limits of ratios of two results of the same run."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

from bench.contenders import (
    BASELINE_GRPC,
    BASELINE_REST,
    FASTAPI,
    GO_GRPC,
    GO_REST,
    INPROCESS_GRPC,
    INPROCESS_REST,
    LITESTAR,
    SERVICE_GRPC,
    SERVICE_REST,
)
from bench.results import Results, ScenarioStats, ServiceMetric, ratio

# Ratios by what they are of; "" if there is one alone.
Ratios = Mapping[str, float]

# The ways to serve, and the contenders that serve so.
WORKERS, INSIDE_ENVOY = "with workers", "inside Envoy"
WAYS = (WORKERS, INSIDE_ENVOY)
# What workers could not go beyond if the service itself took no time.
FLOOR = "bare handler"
_REST = {WORKERS: SERVICE_REST, INSIDE_ENVOY: INPROCESS_REST, FLOOR: BASELINE_REST}
_GRPC = {WORKERS: SERVICE_GRPC, INSIDE_ENVOY: INPROCESS_GRPC, FLOOR: BASELINE_GRPC}


class Target(NamedTuple):
    """A lower or upper limit of ratios, all of which must keep it, for each way to serve."""

    name: str
    side: Literal["≤", "≥"]
    limit: float
    # Of the ways to serve that are measured, and of a bare handler.
    ratios: Mapping[str, Callable[[Results], Ratios]]

    def reached(self, results: Results, way: str) -> Ratios:
        """Returns the ratios that a way, or FLOOR, reached; none if they were not measured."""
        ratios = self.ratios[way](results) if way in self.ratios else {}
        return {} if any(map(math.isnan, ratios.values())) else ratios

    def verdict(self, results: Results, way: str) -> str:
        """Returns whether the worst ratio meets the limit, and its distance from the limit."""
        ratios = self.reached(results, way).values()
        if not ratios:
            return "not measured"
        worst = max(ratios) if self.side == "≤" else min(ratios)
        is_met = worst <= self.limit if self.side == "≤" else worst >= self.limit
        return f"{'met' if is_met else 'MISSED'} by {abs(worst / self.limit - 1):.0%}"


def _throughput(stats: ScenarioStats) -> float:
    return stats.throughput


def _cpu(stats: ScenarioStats) -> float:
    return stats.cpu


def _against(
    base: str,
    contenders: Mapping[str, str],
    statistic: Callable[[ScenarioStats], float],
    scenarios: Mapping[str, str],
) -> Mapping[str, Callable[[Results], Ratios]]:
    """Compares a statistic of contenders with a base in scenarios, whose keys are those of ratios.

    The keys of contenders are ways to serve.
    """

    def ratios(contender: str, results: Results) -> Ratios:
        return {
            name: ratio(
                statistic(results.stats(contender, scenario)),
                statistic(results.stats(base, scenario)),
            )
            for name, scenario in scenarios.items()
        }

    return {way: partial(ratios, contender) for way, contender in contenders.items()}


def _tail_against(
    base: str, contenders: Mapping[str, str]
) -> Mapping[str, Callable[[Results], Ratios]]:
    """Compares the p99 of contenders at the fixed rate with that of a base."""

    def ratios(contender: str, results: Results) -> Ratios:
        return {"": ratio(results.latencies_of(contender).p99, results.latencies_of(base).p99)}

    return {way: partial(ratios, contender) for way, contender in contenders.items()}


def _metrics(
    **pairs: tuple[ServiceMetric, ServiceMetric],
) -> Mapping[str, Callable[[Results], Ratios]]:
    """Compares pairs of metrics of the service alone, whose names are those of ratios."""
    return {
        WORKERS: lambda results: {
            name: ratio(*map(results.service_metric, pair)) for name, pair in pairs.items()
        }
    }


def _metric(
    metric: ServiceMetric, base: ServiceMetric
) -> Mapping[str, Callable[[Results], Ratios]]:
    return _metrics(**{"": (metric, base)})


TARGETS = [
    Target(
        f"REST GET, requests/s, against {FASTAPI}",
        "≥",
        2.6,
        _against(FASTAPI, _REST, _throughput, {"": "get"}),
    ),
    Target(
        f"REST GET, CPU, against {LITESTAR}",
        "≤",
        1.1,
        _against(LITESTAR, _REST, _cpu, {"": "get"}),
    ),
    Target(
        f"Native GET, requests/s, against {FASTAPI}",
        "≥",
        6,
        _against(FASTAPI, _GRPC, _throughput, {"": "get"}),
    ),
    Target(
        f"Native GET, CPU, against {GO_GRPC} with the same work",
        "≤",
        1.15,
        _against(GO_GRPC, _GRPC, _cpu, {"": "get"}),
    ),
    Target(
        f"REST create and update, requests/s, against {GO_REST}, "
        "with authentication before the body",
        "≥",
        1.1,
        _against(GO_REST, _REST, _throughput, {"create": "create", "update": "update"}),
    ),
    Target(
        "Native create, requests/s, against a commit each in the same server",
        "≥",
        1.5,
        _metric(ServiceMetric.GROUP_COMMIT, ServiceMetric.SINGLE_COMMITS),
    ),
    Target(
        f"REST GET, p99 at the fixed rate, median of the seeds, against {FASTAPI}",
        "≤",
        0.5,
        _tail_against(FASTAPI, _REST),
    ),
    Target(
        "Import of uncanonical customers, customers/s, against its parts in one process "
        "(parse, rules, executemany into the same schema)",
        "≥",
        0.8,
        _metric(ServiceMetric.IMPORT, ServiceMetric.IMPORT_PARTS),
    ),
    Target(
        "Upload over REST, customers/s, against import",
        "≥",
        0.5,
        _metric(ServiceMetric.UPLOAD, ServiceMetric.IMPORT),
    ),
    Target(
        "Native page of 100 customers, CPU, against a bare handler that sends its bytes",
        "≤",
        1.3,
        _against(BASELINE_GRPC, _GRPC, _cpu, {"": "page"}),
    ),
    Target(
        "Native GET and lookup, CPU, at a million customers against ten thousand",
        "≤",
        1.2,
        _metrics(
            GET=(ServiceMetric.GET_LARGE, ServiceMetric.GET_SMALL),
            lookup=(ServiceMetric.LOOKUP_LARGE, ServiceMetric.LOOKUP_SMALL),
        ),
    ),
    Target(
        "Native GET, CPU, with metrics and logs (traces off) against all off",
        "≤",
        1.08,
        _metric(ServiceMetric.OBSERVED, ServiceMetric.UNOBSERVED),
    ),
]
