"""Tests of the performance targets."""

import math
from typing import Literal

import pytest

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
from bench.results import Latencies, Results, ScenarioStats, ServiceMetric
from bench.targets import FLOOR, INSIDE_ENVOY, TARGETS, WAYS, WORKERS, Target

# Every statistic of the service has a ratio of its own to those of its peers.
RESULTS = Results(
    scenario_stats={
        (SERVICE_REST, "get"): ScenarioStats(6_000, 9, 200, 0, 3),
        (SERVICE_REST, "create"): ScenarioStats(2_400, 9, 200, 0, 3),
        (SERVICE_REST, "update"): ScenarioStats(2_600, 9, 200, 0, 3),
        (SERVICE_GRPC, "get"): ScenarioStats(12_000, 9, 100, 0, 3),
        (SERVICE_GRPC, "page"): ScenarioStats(300, 9, 2_500, 0, 3),
        (INPROCESS_REST, "get"): ScenarioStats(9_000, 9, 120, 0, 3),
        (INPROCESS_REST, "create"): ScenarioStats(2_800, 9, 200, 0, 3),
        (INPROCESS_REST, "update"): ScenarioStats(3_000, 9, 200, 0, 3),
        (INPROCESS_GRPC, "get"): ScenarioStats(18_000, 9, 88, 0, 3),
        (INPROCESS_GRPC, "page"): ScenarioStats(300, 9, 1_000, 0, 3),
        (BASELINE_REST, "get"): ScenarioStats(12_000, 9, 100, 0, 3),
        (BASELINE_GRPC, "page"): ScenarioStats(400, 9, 2_000, 0, 3),
        (FASTAPI, "get"): ScenarioStats(3_000, 9, 500, 0, 3),
        (LITESTAR, "get"): ScenarioStats(7_000, 9, 160, 0, 3),
        (GO_REST, "create"): ScenarioStats(2_000, 9, 300, 0, 3),
        (GO_REST, "update"): ScenarioStats(2_000, 9, 300, 0, 3),
        (GO_GRPC, "get"): ScenarioStats(9_000, 9, 80, 0, 3),
    },
    latencies={
        SERVICE_REST: Latencies(1, 2),
        INPROCESS_REST: Latencies(1, 1),
        FASTAPI: Latencies(4, 8),
    },
    fixed_rate=800,
    service_metrics={
        ServiceMetric.GROUP_COMMIT: 3_000,
        ServiceMetric.SINGLE_COMMITS: 2_000,
        ServiceMetric.IMPORT: 15_000,
        ServiceMetric.IMPORT_PARTS: 20_000,
        ServiceMetric.UPLOAD: 6_000,
        ServiceMetric.OBSERVED: 105,
        ServiceMetric.UNOBSERVED: 100,
        ServiceMetric.GET_LARGE: 110,
        ServiceMetric.GET_SMALL: 100,
        ServiceMetric.LOOKUP_LARGE: 180,
        ServiceMetric.LOOKUP_SMALL: 200,
    },
    skipped={},
    cpu_spreads=[],
    background_load=0,
)
NOTHING = Results({}, {}, math.nan, {}, {}, [], 0)


@pytest.mark.parametrize(
    ("side", "limit", "ratios", "expected"),
    [
        ("≤", 2, {"": 1.5}, "met by 25%"),
        ("≤", 2, {"": 2}, "met by 0%"),
        ("≤", 2, {"GET": 1, "lookup": 3}, "MISSED by 50%"),
        ("≥", 4, {"": 5}, "met by 25%"),
        ("≥", 4, {"create": 3, "update": 5}, "MISSED by 25%"),
        ("≥", 4, {"create": math.nan, "update": 5}, "not measured"),
    ],
)
def test_verdict(
    side: Literal["≤", "≥"], limit: float, ratios: dict[str, float], expected: str
) -> None:
    """A verdict states whether the worst ratio meets its limit, and its distance from it."""
    target = Target("any", side, limit, {WORKERS: lambda _: ratios})
    assert target.verdict(RESULTS, WORKERS) == expected
    assert target.verdict(RESULTS, INSIDE_ENVOY) == "not measured"


def test_ratios() -> None:
    """Targets are ratios of two results of the same run."""
    assert [target.reached(RESULTS, WORKERS) for target in TARGETS] == [
        {"": 2},
        {"": 1.25},
        {"": 4},
        {"": 1.25},
        {"create": 1.2, "update": 1.3},
        {"": 1.5},
        {"": 0.25},
        {"": 0.75},
        {"": 0.4},
        {"": 1.25},
        {"GET": 1.1, "lookup": 0.9},
        {"": 1.05},
    ]


def test_ratios_inside_envoy() -> None:
    """Inside Envoy the same targets are ratios of its own results, where there are any."""
    assert [target.reached(RESULTS, INSIDE_ENVOY) for target in TARGETS] == [
        {"": 3},
        {"": 0.75},
        {"": 6},
        {"": 1.1},
        {"create": 1.4, "update": 1.5},
        {},
        {"": 0.125},
        {},
        {},
        {"": 0.5},
        {},
        {},
    ]


def test_ratios_of_a_bare_handler() -> None:
    """The same ratios of a bare handler tell what no service on its transport could reach."""
    reached = [target.reached(RESULTS, FLOOR) for target in TARGETS]
    assert [each for each in reached if each] == [{"": 4}, {"": 0.625}, {"": 1}]


def test_nothing_measured() -> None:
    """A target is not measured if a part of it was not."""
    verdicts = {target.verdict(NOTHING, way) for target in TARGETS for way in WAYS}
    assert verdicts == {"not measured"}
