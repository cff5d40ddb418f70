"""The performance targets of the service: limits of ratios of two results of the same run."""

import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from bench.contenders import (
    BASELINE_GRPC,
    FASTAPI,
    GO_GRPC,
    GO_REST,
    LITESTAR,
    SERVICE_GRPC,
    SERVICE_REST,
)
from bench.results import Results, ScenarioStats, ServiceMetric, ratio

# Ratios by what they are of; "" if there is one alone.
Ratios = Mapping[str, float]


class Target(NamedTuple):
    """A lower or upper limit of ratios, all of which must keep it."""

    name: str
    side: Literal["≤", "≥"]
    limit: float
    ratios: Callable[[Results], Ratios]

    def verdict(self, results: Results) -> str:
        """Returns whether the worst ratio meets the limit, and its distance from the limit."""
        ratios = self.ratios(results).values()
        if any(map(math.isnan, ratios)):
            return "not measured"
        worst = max(ratios) if self.side == "≤" else min(ratios)
        is_met = worst <= self.limit if self.side == "≤" else worst >= self.limit
        return f"{'met' if is_met else 'MISSED'} by {abs(worst / self.limit - 1):.0%}"


def _throughput(stats: ScenarioStats) -> float:
    return stats.throughput


def _cpu(stats: ScenarioStats) -> float:
    return stats.cpu


def _against(
    contender: str,
    base: str,
    statistic: Callable[[ScenarioStats], float],
    scenarios: Mapping[str, str],
) -> Callable[[Results], Ratios]:
    """Compares a statistic of two contenders in scenarios, whose keys are those of ratios."""
    return lambda results: {
        name: ratio(
            statistic(results.stats(contender, scenario)), statistic(results.stats(base, scenario))
        )
        for name, scenario in scenarios.items()
    }


def _metrics(
    **pairs: tuple[ServiceMetric, ServiceMetric],
) -> Callable[[Results], Ratios]:
    """Compares pairs of metrics of the service alone, whose names are those of ratios."""
    return lambda results: {
        name: ratio(*map(results.service_metric, pair)) for name, pair in pairs.items()
    }


def _metric(metric: ServiceMetric, base: ServiceMetric) -> Callable[[Results], Ratios]:
    return lambda results: {"": ratio(results.service_metric(metric), results.service_metric(base))}


TARGETS = [
    Target(
        f"REST GET, requests/s, against {FASTAPI}",
        "≥",
        2.6,
        _against(SERVICE_REST, FASTAPI, _throughput, {"": "get"}),
    ),
    Target(
        f"REST GET, CPU, against {LITESTAR}",
        "≤",
        1.1,
        _against(SERVICE_REST, LITESTAR, _cpu, {"": "get"}),
    ),
    Target(
        f"Native GET, requests/s, against {FASTAPI}",
        "≥",
        6,
        _against(SERVICE_GRPC, FASTAPI, _throughput, {"": "get"}),
    ),
    Target(
        f"Native GET, CPU, against {GO_GRPC} with the same work",
        "≤",
        1.15,
        _against(SERVICE_GRPC, GO_GRPC, _cpu, {"": "get"}),
    ),
    Target(
        f"REST create and update, requests/s, against {GO_REST}, "
        "with authentication before the body",
        "≥",
        1.1,
        _against(SERVICE_REST, GO_REST, _throughput, {"create": "create", "update": "update"}),
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
        lambda results: {
            "": ratio(results.latencies_of(SERVICE_REST).p99, results.latencies_of(FASTAPI).p99)
        },
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
        _against(SERVICE_GRPC, BASELINE_GRPC, _cpu, {"": "page"}),
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
