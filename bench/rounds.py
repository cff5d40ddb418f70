"""Runs the rounds: each starts, measures and stops every contender, one after another."""

import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

import psutil

from bench.contenders import Contender
from bench.errors import BenchError
from bench.measurement import Measurement
from bench.results import Results, ScenarioStats, ServiceMetric, medians, spread
from bench.scenarios import SCENARIOS, RequestBatches
from bench.service_benchmarks import ServiceBenchmark
from bench.testbed import Testbed

_BACKGROUND_SECONDS = 1
_PROGRESS_SECONDS = 5


class Progress:
    """Prints the steps of a benchmark to standard error."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._started_steps = 0
        self._started = self._printed = time.monotonic()

    def start_step(self, name: str) -> None:
        """Prints the number and the name of the next step."""
        self._started_steps += 1
        self._print(f"{self._started_steps} of {self._steps}: {name}")

    def report(self, detail: str) -> None:
        """Prints a detail of the step, unless a line was printed in the last seconds."""
        if time.monotonic() - self._printed >= _PROGRESS_SECONDS:
            self._print(detail)

    def _print(self, line: str) -> None:
        self._printed = time.monotonic()
        print(f"[{self._printed - self._started:6.1f} s] {line}", file=sys.stderr, flush=True)


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
        rounds = self._testbed.plan.rounds
        in_round = len(self._contenders) + len(self._repeated)
        progress = Progress(len(self._contenders) + rounds * in_round + len(self._single))
        for contender in self._contenders:
            progress.start_step(f"creating the database of {contender.name}")
            folder = self._testbed.folder / contender.slug
            folder.mkdir()
            contender.prepare(self._testbed, folder)
        background_loads = []
        for number in range(1, rounds + 1):
            background_loads.append(psutil.cpu_percent(_BACKGROUND_SECONDS) / 100)
            for contender in self._contenders:
                progress.start_step(f"round {number} of {rounds}: {contender.name}")
                self._measure_contender(contender, f"round {number}", progress)
            for benchmark in self._repeated:
                progress.start_step(f"round {number} of {rounds}: {benchmark.name}")
                self._measure_service(benchmark, progress)
            self._batches.clear()
        for benchmark in self._single:
            progress.start_step(benchmark.name)
            self._measure_service(benchmark, progress)
        return Results(
            {key: medians(each) for key, each in self._stats.items()},
            {metric: statistics.median(each) for metric, each in self._metrics.items()},
            self._skipped,
            [spread([stats.cpu for stats in each]) for each in self._stats.values()],
            max(background_loads),
        )

    def _measure_contender(self, contender: Contender, name: str, progress: Progress) -> None:
        folder = self._testbed.folder / contender.slug
        with contender.serve(self._testbed, folder) as servers:
            for scenario in SCENARIOS:
                if scenario.key in contender.scenarios:
                    progress.report(scenario.title)
                    measurement = Measurement(
                        self._testbed, self._batches, contender, servers, scenario, name
                    )
                    try:
                        stats = measurement.run()
                    except BenchError as error:
                        problem = f"{contender.name}, {scenario.title}: {error}"
                        raise type(error)(problem) from error
                    self._stats[contender.name, scenario.key].append(stats)

    def _measure_service(self, benchmark: ServiceBenchmark, progress: Progress) -> None:
        folder = self._testbed.folder / "service"
        folder.mkdir()
        try:
            metrics = benchmark.measure(self._testbed, folder, progress.report)
        finally:
            shutil.rmtree(folder)
        for metric, value in metrics.items():
            self._metrics[metric].append(value)
