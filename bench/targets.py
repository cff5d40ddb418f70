"""What the service is to reach, each a figure of this run or a ratio of two, and if it does."""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from bench.contenders import (
    FASTAPI,
    FLOOR_GRPC,
    FLOOR_REST,
    SERVICE_GRPC,
    SERVICE_REST,
)
from bench.figures import Figures, ratio
from bench.results import Alone, Results


class Target(NamedTuple):
    """A limit for a value; one at least, or one at most."""

    name: str
    side: Literal["≤", "≥"]
    limit: float
    value: Callable[[Results], float]
    unit: str = ""

    def verdict(self, value: float) -> str:
        """Says if a value meets it, and by how much."""
        if math.isnan(value):
            return "not measured"
        away = abs(value / self.limit - 1)
        is_met = value <= self.limit if self.side == "≤" else value >= self.limit
        return f"{'met' if is_met else 'MISSED'} by {away:.0%}"


def _against(
    contender: str, base: str, figure: Callable[[Figures], float]
) -> Callable[[Results], float]:
    """A figure of GET by id as a multiple of the same of another contender."""
    return lambda results: ratio(
        figure(results.of(contender, "get")), figure(results.of(base, "get"))
    )


def _quotient(value: Alone, base: Alone) -> Callable[[Results], float]:
    return lambda results: ratio(results.of_service(value), results.of_service(base))


def _cpu(figures: Figures) -> float:
    return figures.cpu


def _rate(figures: Figures) -> float:
    return figures.rate


def _p99(figures: Figures) -> float:
    return figures.p99


TARGETS = [
    Target(
        "Native GET by id, CPU, against a bare gRPC handler",
        "≤",
        1.25,
        _against(SERVICE_GRPC, FLOOR_GRPC, _cpu),
    ),
    Target(
        "REST GET by id, CPU, against a bare gRPC handler behind the same Envoy",
        "≤",
        1.25,
        _against(SERVICE_REST, FLOOR_REST, _cpu),
    ),
    Target(
        f"REST GET by id, requests/s, against {FASTAPI}",
        "≥",
        1.8,
        _against(SERVICE_REST, FASTAPI, _rate),
    ),
    Target(
        f"Native GET by id, requests/s, against {FASTAPI}",
        "≥",
        4,
        _against(SERVICE_GRPC, FASTAPI, _rate),
    ),
    Target(
        f"REST GET by id, p99 at the fixed rate, against {FASTAPI}",
        "≤",
        1 / 3,
        _against(SERVICE_REST, FASTAPI, _p99),
    ),
    Target(
        "Creations/s with group commit, against a commit each",
        "≥",
        1.5,
        _quotient(Alone.GROUPED, Alone.SINGLE),
    ),
    Target(
        "Native GET by id, CPU of the server, PostgreSQL against SQLite",
        "≤",
        1.6,
        _quotient(Alone.GET_POSTGRES, Alone.GET_SQLITE),
    ),
    Target("Import, customers/s", "≥", 12_000, lambda results: results.of_service(Alone.IMPORTED)),
    Target(
        "Import, peak memory of the server",
        "≤",
        200,
        lambda results: results.of_service(Alone.IMPORT_MEMORY),
        " MiB",
    ),
    Target(
        "Upload over REST, customers/s",
        "≥",
        4_000,
        lambda results: results.of_service(Alone.UPLOADED),
    ),
    Target(
        "GET by id, CPU, at a million customers against ten thousand",
        "≤",
        1.3,
        _quotient(Alone.GET_MANY, Alone.GET_FEW),
    ),
    Target(
        "Lookup by e-mail, CPU, at a million customers against ten thousand",
        "≤",
        1.3,
        _quotient(Alone.LOOKUP_MANY, Alone.LOOKUP_FEW),
    ),
    Target(
        "Lookup of a page of 100 customers, CPU",
        "≤",
        3,
        lambda results: results.of(SERVICE_GRPC, "page").cpu / 1e3,
        " ms",
    ),
]
