"""Runs the rounds: each starts, measures and stops every contender, one after another.

After them comes the fixed rate, which depends on what the slowest contender can do.
"""

import re
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from subprocess import SubprocessError

import grpc
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
# A server that fails may also be seen by what calls it, or reads its CPU time.
_FAILURES = (BenchError, OSError, HTTPException, grpc.RpcError, psutil.Error, SubprocessError)


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
        # What could not be measured to the end, and why.
        self.failed: dict[str, str] = {}
        self._contenders = [each for each in contenders if each.name not in self._skipped]
        remaining = [each for each in service_benchmarks if each.name not in self._skipped]
        self._repeated = [each for each in remaining if not each.runs_once]
        self._single = [each for each in remaining if each.runs_once]
        self._testbed = testbed
        self._batches = RequestBatches(testbed)
        self._stats: defaultdict[tuple[str, str], list[ScenarioStats]] = defaultdict(list)
        self._metrics: defaultdict[tuple[str, ServiceMetric], list[float]] = defaultdict(list)

    def run(self) -> Results:
        """Measures everything; nothing of what fails is a result."""
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
        rate = self._fixed_rate()
        latencies: dict[str, Latencies] = {}
        for contender in at_fixed_rate:
            with self._step(f"{rate:.0f} requests a second", contender.name, progress) as is_on:
                if is_on:
                    latencies[contender.name] = self._latencies(contender, rate)
        for benchmark in self._single:
            self._measure_service("once", benchmark, progress)
        rounds = {key: each for key, each in self._stats.items() if key[0] not in self.failed}
        return Results(
            {key: medians(each) for key, each in rounds.items()},
            {name: each for name, each in latencies.items() if name not in self.failed},
            rate,
            {
                metric: statistics.median(each)
                for (name, metric), each in self._metrics.items()
                if name not in self.failed
            },
            self._skipped | self.failed,
            [spread([stats.cpu for stats in each]) for each in rounds.values()],
            background_load,
        )

    @contextmanager
    def _step(self, step: str, name: str, progress: Progress) -> Iterator[bool]:
        """Runs a step of what is named, unless one before has failed: then it yields False.

        It goes on without what fails, since a benchmark takes long.
        """
        progress.start_step(f"{step}: {name}")
        try:
            yield name not in self.failed
        except _FAILURES as error:
            progress.note(f"FAILED: {error}")
            self.failed[name] = str(error).partition("\n")[0]

    def _prepare(self, progress: Progress) -> None:
        for contender in self._contenders:
            with self._step("creating the database", contender.name, progress):
                folder = self._testbed.folder / contender.slug
                folder.mkdir()
                contender.prepare(self._testbed, folder)

    def _run_round(self, name: str, progress: Progress) -> float:
        """Measures all that is measured repeatedly; returns the load of others before it."""
        background_load = psutil.cpu_percent(_BACKGROUND_SECONDS) / 100
        for contender in self._contenders:
            with self._step(name, contender.name, progress) as is_on:
                if is_on:
                    self._measure_contender(contender, name, progress)
        for benchmark in self._repeated:
            self._measure_service(name, benchmark, progress)
        self._batches.clear()
        return background_load

    def _measure_contender(self, contender: Contender, name: str, progress: Progress) -> None:
        folder = self._testbed.folder / contender.slug
        with contender.serve(self._testbed, folder) as servers:
            for scenario in SCENARIOS:
                if scenario.key in contender.scenarios:
                    progress.report(scenario.title)
                    with _named(scenario):
                        stats = self._measurement(contender, servers, scenario, name).run()
                    self._stats[contender.name, scenario.key].append(stats)

    def _fixed_rate(self) -> float:
        """Returns a rate that is at most a share of what the slowest contender can do."""
        gets = [
            medians(rounds).throughput
            for (name, scenario), rounds in self._stats.items()
            if scenario == GET.key and name not in self.failed
        ]
        return min([self._testbed.plan.fixed_rate, *(_RATE_SHARE * get for get in gets)])

    def _latencies(self, contender: Contender, rate: float) -> Latencies:
        folder = self._testbed.folder / contender.slug
        with contender.serve(self._testbed, folder) as servers, _named(GET):
            return self._measurement(contender, servers, GET, "fixed rate").latencies_at(rate)

    def _measurement(
        self, contender: Contender, servers: RunningServers, scenario: Scenario, name: str
    ) -> Measurement:
        return Measurement(self._testbed, self._batches, contender, servers, scenario, name)

    def _measure_service(self, step: str, benchmark: ServiceBenchmark, progress: Progress) -> None:
        folder = self._testbed.folder / "service"
        with self._step(step, benchmark.name, progress) as is_on:
            if not is_on:
                return
            folder.mkdir()
            try:
                metrics = benchmark.measure(self._testbed, folder, progress.report)
            finally:
                shutil.rmtree(folder)
            for metric, value in metrics.items():
                self._metrics[benchmark.name, metric].append(value)


@contextmanager
def _named(scenario: Scenario) -> Iterator[None]:
    """Adds to errors what was measured."""
    try:
        yield
    except BenchError as error:
        raise type(error)(f"{scenario.title}: {error}") from error
