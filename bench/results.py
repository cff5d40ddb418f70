"""Results of a benchmark, and the statistics that they are made of."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple


class ScenarioStats(NamedTuple):
    """Statistics of the closed loop of a scenario; nan for what was not measured."""

    # Requests per second, milliseconds.
    throughput: float
    p99: float
    # Microseconds of CPU time (user and system) per request: of all processes
    # that serve, and of a database that is a process of its own.
    cpu: float
    database_cpu: float
    # Resident memory in MiB of all processes that serve.
    memory: float


_NOT_MEASURED = ScenarioStats(*[math.nan] * len(ScenarioStats._fields))


class Latencies(NamedTuple):
    """Latencies at the fixed rate, in milliseconds: the medians of those of each seed."""

    p50: float
    p99: float


_NO_LATENCIES = Latencies(math.nan, math.nan)


class ServiceMetric(StrEnum):
    """The metrics of the service alone, by the names that reports have."""

    IMPORT = "Import, customers/s"
    IMPORT_PARTS = "The parts of an import in one process without gRPC, customers/s"
    IMPORT_MEMORY = "Import, peak memory of the server in MiB"
    UPLOAD = "Upload over REST, customers/s"
    GROUP_COMMIT = "Creations/s of one server with group commit"
    SINGLE_COMMITS = "Creations/s of one server with a commit each"
    OBSERVED = "GET by id, CPU in µs of one server with metrics and logs"
    UNOBSERVED = "GET by id, CPU in µs of one server without metrics and logs"
    GET_SMALL = "GET by id, CPU in µs at ten thousand customers"
    GET_LARGE = "GET by id, CPU in µs at a million customers"
    LOOKUP_SMALL = "Lookup by e-mail, CPU in µs at ten thousand customers"
    LOOKUP_LARGE = "Lookup by e-mail, CPU in µs at a million customers"


class Results(NamedTuple):
    """The medians over all rounds, and how reliable they are."""

    # By the names of contenders and the keys of scenarios.
    scenario_stats: Mapping[tuple[str, str], ScenarioStats]
    # Of GET by id, by the names of contenders, at a rate of requests per second.
    latencies: Mapping[str, Latencies]
    fixed_rate: float
    service_metrics: Mapping[ServiceMetric, float]
    # Why measurements were skipped, by their names.
    skipped: Mapping[str, str]
    # The spread over the rounds of the CPU time of each contender and scenario.
    cpu_spreads: Sequence[float]
    # The highest share of the cores that other processes used before a round.
    background_load: float

    def stats(self, contender: str, scenario: str) -> ScenarioStats:
        """Returns the statistics of a contender in a scenario; nan if it was not measured."""
        return self.scenario_stats.get((contender, scenario), _NOT_MEASURED)

    def latencies_of(self, contender: str) -> Latencies:
        """Returns the latencies of a contender; nan if they were not measured."""
        return self.latencies.get(contender, _NO_LATENCIES)

    def service_metric(self, metric: ServiceMetric) -> float:
        """Returns a metric of the service alone; nan if it was not measured."""
        return self.service_metrics.get(metric, math.nan)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Returns the nearest-rank percentile of sorted values; nan if there are none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def medians(rounds: Iterable[ScenarioStats]) -> ScenarioStats:
    """Returns the median of each statistic over the rounds."""
    return ScenarioStats(*map(statistics.median, zip(*rounds, strict=True)))


def ratio(value: float, base: float) -> float:
    """Returns a value as a multiple of a base; nan if that is 0 or nan."""
    return value / base if base else math.nan


def spread(rounds: Sequence[float]) -> float:
    """Returns the range of values relative to their median."""
    return ratio(max(rounds) - min(rounds), statistics.median(rounds))
