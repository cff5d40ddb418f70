"""Tests of the performance targets."""

import math

import pytest

from bench.contenders import BASELINE_GRPC, FASTAPI, SERVICE_GRPC, SERVICE_REST
from bench.results import Results, ScenarioStats, ServiceMetric
from bench.targets import TARGETS, Target

RESULTS = Results(
    scenario_stats={
        (SERVICE_GRPC, "get"): ScenarioStats(12_000, 9, 100, 0, 1, 2, 3),
        (SERVICE_GRPC, "page"): ScenarioStats(300, 9, 2_500, 0, math.nan, math.nan, 3),
        (SERVICE_REST, "get"): ScenarioStats(6_000, 9, 200, 0, 1, 2, 3),
        (BASELINE_GRPC, "get"): ScenarioStats(15_000, 9, 80, 0, 1, 2, 3),
        (FASTAPI, "get"): ScenarioStats(3_000, 9, 500, 0, 4, 8, 3),
    },
    service_metrics={
        ServiceMetric.GROUP_COMMIT: 3_000,
        ServiceMetric.SINGLE_COMMITS: 2_000,
        ServiceMetric.IMPORT: 15_000,
    },
    skipped={},
    cpu_spreads=[],
    background_load=0,
)


@pytest.mark.parametrize(
    ("side", "limit", "value", "expected"),
    [
        ("≤", 2, 1.5, "met by 25%"),
        ("≤", 2, 2, "met by 0%"),
        ("≤", 2, 3, "MISSED by 50%"),
        ("≥", 4, 5, "met by 25%"),
        ("≥", 4, 3, "MISSED by 25%"),
        ("≥", 4, math.nan, "not measured"),
    ],
)
def test_verdict(side: str, limit: float, value: float, expected: str) -> None:
    """A verdict states whether a value meets its limit, and its distance from it."""
    target = Target("any", side, limit, lambda _: value)  # type: ignore[arg-type]

    assert target.verdict(target.value(RESULTS)) == expected


def test_target_values() -> None:
    """Targets are results or ratios of the same run, and nan where a part was not measured."""
    values = {target.name: target.value(RESULTS) for target in TARGETS}

    assert {name: value for name, value in values.items() if not math.isnan(value)} == {
        "Native GET by id, CPU, against a bare gRPC handler": 1.25,
        "REST GET by id, requests/s, against FastAPI + SQLAlchemy": 2,
        "Native GET by id, requests/s, against FastAPI + SQLAlchemy": 4,
        "REST GET by id, p99 at the fixed rate, against FastAPI + SQLAlchemy": 0.25,
        "Creations/s with group commit, against a commit each": 1.5,
        "Import, customers/s": 15_000,
        "Lookup of a page of 100 customers, CPU": 2.5,
    }
