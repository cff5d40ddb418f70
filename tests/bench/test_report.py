"""Tests of the tables of the report."""

import math

import pytest

from bench.contenders import BASELINE_GRPC, FASTAPI, SERVICE_GRPC, SERVICE_REST
from bench.report import (
    Table,
    format_number,
    format_significant,
    in_markdown,
    ratio_table,
    scenario_tables,
    service_table,
    target_table,
)
from bench.results import Latencies, Results, ScenarioStats, ServiceMetric

RESULTS = Results(
    scenario_stats={
        (SERVICE_REST, "get"): ScenarioStats(6_000, 9, 200, 0, 150),
        (SERVICE_REST, "create"): ScenarioStats(2_000, 9, 400, 0, 150),
        (BASELINE_GRPC, "get"): ScenarioStats(12_000, 9, 100, 0, 80),
        (FASTAPI, "get"): ScenarioStats(3_000, 9, 500, 0, 200),
        (FASTAPI, "create"): ScenarioStats(1_000, 9, 800, 0, 200),
    },
    latencies={SERVICE_REST: Latencies(1, 2), FASTAPI: Latencies(4, 8)},
    fixed_rate=800,
    service_metrics={ServiceMetric.IMPORT: 15_000.4},
    skipped={},
    cpu_spreads=[],
    background_load=0,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12_345.6, "12,346"), (99.96, "100.0"), (12.34, "12.3"), (1.234, "1.23"), (math.nan, "")],
)
def test_format_significant(value: float, expected: str) -> None:
    """Numbers have about three significant digits."""
    assert format_significant(value) == expected


def test_format_number() -> None:
    """Numbers have the given number of decimals; nan is empty."""
    assert (format_number(1234.56), format_number(1234.56, 1)) == ("1,235", "1,234.6")
    assert not format_number(math.nan)


def test_target_table() -> None:
    """The targets' table counts those met, and has the ratio that each way to serve reached."""
    table = target_table(RESULTS)

    assert table.title == "Targets met: 1 of 2 with workers, 0 of 0 inside Envoy"
    assert table.rows[0] == [
        f"REST GET, requests/s, against {FASTAPI}",
        *("≥ 2.60", "2.00: MISSED by 23%", "", ""),
    ]


def test_scenario_tables() -> None:
    """A scenario's table has a row for each contender that was measured.

    Only that of GET by id has latencies at the fixed rate.
    """
    get, _lookup, create, _update, _page = scenario_tables(RESULTS)

    assert get.rows == [
        [SERVICE_REST, "6,000", "9.00", "200", "", "150", "1.00", "2.00"],
        [BASELINE_GRPC, "12,000", "9.00", "100", "", "80", "", ""],
        [FASTAPI, "3,000", "9.00", "500", "", "200", "4.00", "8.00"],
    ]
    assert create.rows == [
        [SERVICE_REST, "2,000", "9.00", "400", "", "150"],
        [FASTAPI, "1,000", "9.00", "800", "", "200"],
    ]


def test_ratio_table() -> None:
    """A contender is compared with each other one in the scenarios measured for both."""
    compared = ratio_table(RESULTS, SERVICE_REST)

    assert compared.columns == ["", "GET by id", "Create"]
    assert compared.rows == [
        [BASELINE_GRPC, "0.50 · 2.00", ""],
        [FASTAPI, "2.00 · 0.40", "2.00 · 0.50"],
    ]
    assert ratio_table(RESULTS, SERVICE_GRPC).rows == []


def test_service_table() -> None:
    """The metrics of the service alone are listed by name."""
    assert service_table(RESULTS).rows == [["Import, customers/s", "15,000"]]


def test_markdown() -> None:
    """A table in Markdown has names on the left and numbers aligned to the right."""
    table = Table("Speed", ("", "requests/s"), [["ours", "2"], ["theirs", "1"]])

    assert in_markdown(table).splitlines() == [
        "## Speed",
        "",
        "|  | requests/s |",
        "| --- | ---: |",
        "| ours | 2 |",
        "| theirs | 1 |",
    ]
