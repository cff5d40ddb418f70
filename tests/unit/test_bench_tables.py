"""The tables of the benchmark."""

import math

import pytest

from bench import tables
from bench.contenders import FASTAPI, FLOOR_GRPC, SERVICE_GRPC, SERVICE_REST
from bench.figures import Figures
from bench.report import in_markdown
from bench.results import Alone, Results
from bench.tables import Table, figure, number

RESULTS = Results(
    figures={
        (SERVICE_REST, "get"): Figures(6_000, 9, 200, 0, 1, 2, 150),
        (SERVICE_REST, "create"): Figures(2_000, 9, 400, 0, 1, 2, 150),
        (FLOOR_GRPC, "get"): Figures(12_000, 9, 100, 0, 0.5, 1, 80),
        (FASTAPI, "get"): Figures(3_000, 9, 500, 0, 4, 8, 200),
        (FASTAPI, "create"): Figures(1_000, 9, 800, 0, 4, 8, 200),
    },
    alone={Alone.IMPORTED: 15_000.4},
    missing={},
    spreads=[],
    busy=0,
)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(12_345.6, "12,346"), (99.96, "100.0"), (12.34, "12.3"), (1.234, "1.23"), (math.nan, "")],
)
def test_figure(value: float, wanted: str) -> None:
    """Numbers have about three digits that count."""
    assert figure(value) == wanted


def test_number() -> None:
    """Numbers have as many decimals as are wanted, and nothing where there is none."""
    assert (number(1234.56), number(1234.56, 1), number(math.nan)) == ("1,235", "1,234.6", "")


def test_scenario_has_those_measured() -> None:
    """A scenario's table has a row for each contender that was measured."""
    get, _lookup, create, _update, _page = tables.scenarios(RESULTS)

    assert get.rows == [
        [SERVICE_REST, "6,000", "9.00", "200", "", "1.00", "2.00", "150"],
        [FLOOR_GRPC, "12,000", "9.00", "100", "", "0.50", "1.00", "80"],
        [FASTAPI, "3,000", "9.00", "500", "", "4.00", "8.00", "200"],
    ]
    assert [row[0] for row in create.rows] == [SERVICE_REST, FASTAPI]


def test_ratios() -> None:
    """A contender is compared with each other one in what both were measured in."""
    compared = tables.ratios(RESULTS, SERVICE_REST)

    assert compared.columns == ["", "GET by id", "Create"]
    assert compared.rows == [
        [FLOOR_GRPC, "0.50 · 2.00 · 2.00", ""],
        [FASTAPI, "2.00 · 0.40 · 0.25", "2.00 · 0.50 · 0.25"],
    ]
    assert tables.ratios(RESULTS, SERVICE_GRPC).rows == []


def test_alone() -> None:
    """What was measured of the service alone is listed by name."""
    assert tables.alone(RESULTS).rows == [["Import, customers/s", "15,000"]]


def test_markdown() -> None:
    """A table is written in Markdown, names to the left and numbers to the right."""
    table = Table("Speed", ("", "requests/s"), [["ours", "2"], ["theirs", "1"]])

    assert in_markdown(table).splitlines() == [
        "## Speed",
        "",
        "|  | requests/s |",
        "| --- | ---: |",
        "| ours | 2 |",
        "| theirs | 1 |",
    ]
