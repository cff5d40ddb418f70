"""Runs the rounds: each starts, measures and stops every contender, one after another.

After them comes the fixed rate, which depends on what the slowest contender can do.
"""

import re
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psutil

from bench.contender import Contender
from bench.errors import BenchError
from bench.measurement import Measurement
from bench.processes import RunningServers
from bench.results import Latencies, Results, ScenarioStats, ServiceMetric, medians, spread
from bench.scenarios import GET, SCENARIOS, RequestBatches, Scenario
from bench.service_benchmarks import ServiceBenchmark
from bench.testbed import Testbed

_BACKGROUND_SECONDS = 1
_PROGRESS_SECONDS = 5
# The fixed rate is at most this share of what the slowest contender can do.
_RATE_SHARE = 0.4


class Progress:
    """Prints the steps of a benchmark to standard error."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._started_steps = 0
        self._started = self._printed = time.monotonic()

    def start_step(self, name: str) -> None:
        """Prints the number and the name of the next step."""
        self._started_steps += 1
        self.note(f"{self._started_steps} of {self._steps}: {name}")

    def note(self, line: str) -> None:
        """Prints a line."""
        self._printed = time.monotonic()
        print(f"[{self._printed - self._started:6.1f} s] {line}", file=sys.stderr, flush=True)

    def report(self, detail: str) -> None:
        """Prints a detail of the step, unless a line was printed in the last seconds."""
        if time.monotonic() - self._printed >= _PROGRESS_SECONDS:
            self.note(detail)


class Rounds:
    """The measurements of contenders and of the service alone, in all rounds."""

    def __init__(
        self,
        testbed: Testbed,
        contenders: Sequence[Contender],
        service_benchmarks: Sequence[ServiceBenchmark],
    ) -> None:
        reasons = {each.name: each.skip_reason() for each in contenders}
        reasons |= {each.name: each.skip_reason(testbed) for each in service_benchmarks}
        self._skipped = {name: reason for name, reason in reasons.items() if reason}
        self._contenders = [each for each in contenders if each.name not in self._skipped]
        remaining = [each for each in service_benchmarks if each.name not in self._skipped]
        self._repeated = [each for each in remaining if not each.runs_once]
        self._single = [each for each in remaining if each.runs_once]
        self._testbed = testbed
        self._batches = RequestBatches(testbed)
        self._stats: defaultdict[tuple[str, str], list[ScenarioStats]] = defaultdict(list)
        self._metrics: defaultdict[ServiceMetric, list[float]] = defaultdict(list)

    def run(self) -> Results:
        """Measures everything. Raises BenchError."""
        plan = self._testbed.plan
        at_fixed_rate = [
            each for each in self._contenders if re.search(plan.fixed_rate_contenders, each.name)
        ]
        in_round = len(self._contenders) + len(self._repeated)
        once = len(self._contenders) + len(at_fixed_rate) + len(self._single)
        progress = Progress(once + plan.rounds * in_round)
        for name, reason in self._skipped.items():
            progress.note(f"not measured: {name}: {reason}")
        self._prepare(progress)
        background_load = max(
            self._run_round(f"round {number} of {plan.rounds}", progress)
            for number in range(1, plan.rounds + 1)
        )
        stats = {key: medians(each) for key, each in self._stats.items()}
        rate = self._fixed_rate(stats)
        latencies = {
            each.name: self._measure_latencies(each, rate, progress) for each in at_fixed_rate
        }
        for benchmark in self._single:
            progress.start_step(benchmark.name)
            self._measure_service(benchmark, progress)
        return Results(
            stats,
            latencies,
            rate,
            {metric: statistics.median(each) for metric, each in self._metrics.items()},
            self._skipped,
            [spread([stats.cpu for stats in each]) for each in self._stats.values()],
            background_load,
        )

    def _prepare(self, progress: Progress) -> None:
        for contender in self._contenders:
            progress.start_step(f"creating the database of {contender.name}")
            folder = self._testbed.folder / contender.slug
            folder.mkdir()
            contender.prepare(self._testbed, folder)

    def _run_round(self, name: str, progress: Progress) -> float:
        """Measures all that is measured repeatedly; returns the load of others before it."""
        background_load = psutil.cpu_percent(_BACKGROUND_SECONDS) / 100
        for contender in self._contenders:
            progress.start_step(f"{name}: {contender.name}")
            self._measure_contender(contender, name, progress)
        for benchmark in self._repeated:
            progress.start_step(f"{name}: {benchmark.name}")
            self._measure_service(benchmark, progress)
        self._batches.clear()
        return background_load

    def _measure_contender(self, contender: Contender, name: str, progress: Progress) -> None:
        folder = self._testbed.folder / contender.slug
        with contender.serve(self._testbed, folder) as servers:
            for scenario in SCENARIOS:
                if scenario.key in contender.scenarios:
                    progress.report(scenario.title)
                    with _named(contender, scenario):
                        stats = self._measurement(contender, servers, scenario, name).run()
                    self._stats[contender.name, scenario.key].append(stats)

    def _fixed_rate(self, stats: Mapping[tuple[str, str], ScenarioStats]) -> float:
        gets = [stats[each.name, GET.key].throughput for each in self._contenders]
        return min([self._testbed.plan.fixed_rate, *(_RATE_SHARE * get for get in gets)])

    def _measure_latencies(
        self, contender: Contender, rate: float, progress: Progress
    ) -> Latencies:
        progress.start_step(f"{rate:.0f} requests a second: {contender.name}")
        folder = self._testbed.folder / contender.slug
        with contender.serve(self._testbed, folder) as servers, _named(contender, GET):
            return self._measurement(contender, servers, GET, "fixed rate").latencies_at(rate)

    def _measurement(
        self, contender: Contender, servers: RunningServers, scenario: Scenario, name: str
    ) -> Measurement:
        return Measurement(self._testbed, self._batches, contender, servers, scenario, name)

    def _measure_service(self, benchmark: ServiceBenchmark, progress: Progress) -> None:
        folder = self._testbed.folder / "service"
        folder.mkdir()
        try:
            metrics = benchmark.measure(self._testbed, folder, progress.report)
        finally:
            shutil.rmtree(folder)
        for metric, value in metrics.items():
            self._metrics[metric].append(value)


@contextmanager
def _named(contender: Contender, scenario: Scenario) -> Iterator[None]:
    """Adds to errors what was measured."""
    try:
        yield
    except BenchError as error:
        raise type(error)(f"{contender.name}, {scenario.title}: {error}") from error
