"""Measurements of the service alone: observability, group commit, the size of the database."""

import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple

from bench.dataset import renumbered
from bench.load.connection import Request
from bench.load.run import LoadProfile, Protocol, run_load
from bench.processes import RunningServers, free_ports, resource_usage, servers_on_cores
from bench.results import ServiceMetric
from bench.scenarios import CREATE, GET, LOOKUP, SERVICE_PATH, RequestBatches, Scenario
from bench.services import insert_customers, server_command
from bench.testbed import Testbed
from twc_customer_gateway.settings import GatewaySettings

Metrics = Mapping[ServiceMetric, float]

# Reports the progress of a step, in words.
ReportProgress = Callable[[str], None]


class ServiceBenchmark(ABC):
    """A measurement of the service, which starts the processes that it needs."""

    name: str
    # True if it takes so long that it runs once, and not in every round.
    runs_once = False

    def skip_reason(self, testbed: Testbed) -> str:
        """Returns why it cannot be measured on this machine, or "" if it can."""
        return ""

    @abstractmethod
    def measure(self, testbed: Testbed, folder: Path, report: ReportProgress) -> Metrics:
        """Measures, with files in an empty folder. Raises BenchError."""


class Observability(ServiceBenchmark):
    """Compares the CPU time of a native read with metrics and logs, and without both.

    Traces are off. The servers have one core, and are read in turn.
    """

    name = "observability"

    def measure(self, testbed: Testbed, folder: Path, report: ReportProgress) -> Metrics:
        """Returns microseconds per request."""
        [port] = free_ports(1)
        variants: dict[ServiceMetric, dict[str, Any]] = {
            ServiceMetric.OBSERVED: {"metrics_port": port, "log_level": "INFO"},
            ServiceMetric.UNOBSERVED: {"metrics_port": 0, "log_level": "ERROR"},
        }
        with ExitStack() as stack:
            reads = []
            for metric, changed in variants.items():
                settings = testbed.settings(data_dir=folder / metric.name, **changed)
                insert_customers(settings, testbed.customers)
                log = folder / f"{metric.name}.log"
                servers = stack.enter_context(
                    servers_on_cores(testbed.cores[:1], settings, log, server_command)
                )
                reads.append(_Reads(testbed, metric, servers, GET, len(testbed.customers)))
            return _cpu_of(reads, testbed.plan.observability_rounds)


class GroupCommit(ServiceBenchmark):
    """Compares creations of a server with group commit and of one that commits each write."""

    name = "group commit"
    _CLIENTS = 16

    def measure(self, testbed: Testbed, folder: Path, report: ReportProgress) -> Metrics:
        """Returns customers per second."""
        count = testbed.plan.warm_up_requests + testbed.plan.group_commit_requests
        requests = RequestBatches(testbed).batch(CREATE, "gRPC", "group", count)
        modules = {
            ServiceMetric.GROUP_COMMIT: "twc_customer_server",
            ServiceMetric.SINGLE_COMMITS: "bench.peers.single_commits",
        }
        return {
            metric: self._throughput(testbed, folder / metric.name, module, requests)
            for metric, module in modules.items()
        }

    def _throughput(
        self, testbed: Testbed, folder: Path, module: str, requests: Sequence[Request]
    ) -> float:
        folder.mkdir()
        warm_up = testbed.plan.warm_up_requests
        protocol = Protocol(SERVICE_PATH + CREATE.rpc, testbed.credentials)
        profile = LoadProfile(self._CLIENTS, _plausible_bytes(testbed))
        settings = testbed.settings(data_dir=folder / "data")

        def command(port: int) -> Sequence[str]:
            return [sys.executable, "-m", module, *server_command(port)[3:]]

        with servers_on_cores(testbed.cores[:1], settings, folder / "log", command) as servers:
            run_load(testbed.folder, servers.ports, protocol, profile, requests[:warm_up])
            load = run_load(testbed.folder, servers.ports, protocol, profile, requests[warm_up:])
            return load.throughput


class DatabaseSize(ServiceBenchmark):
    """Compares the CPU time of native reads from a small and from a large SQLite database."""

    name = "database size"
    runs_once = True
    _MODELS = 1_000
    # A row with its keys, and the same again for the write-ahead log.
    _BYTES_PER_CUSTOMER = 6_000
    _METRICS: Mapping[Scenario, tuple[ServiceMetric, ServiceMetric]] = {
        GET: (ServiceMetric.GET_SMALL, ServiceMetric.GET_LARGE),
        LOOKUP: (ServiceMetric.LOOKUP_SMALL, ServiceMetric.LOOKUP_LARGE),
    }

    def skip_reason(self, testbed: Testbed) -> str:
        """Returns why it is not measured: the plan leaves it out, or the disk is too full."""
        customers = testbed.plan.large_database_customers
        if not customers:
            return "not part of a quick benchmark"
        needed = customers * self._BYTES_PER_CUSTOMER
        free = shutil.disk_usage(testbed.folder).free
        if free < needed:
            return f"needs {needed / 1e9:.0f} GB of disk, but only {free / 1e9:.0f} GB are free"
        return ""

    def measure(self, testbed: Testbed, folder: Path, report: ReportProgress) -> Metrics:
        """Returns microseconds per request."""
        sizes = (testbed.plan.customers, testbed.plan.large_database_customers)
        with ExitStack() as stack:
            reads = []
            for place, size in enumerate(sizes):
                settings = testbed.settings(data_dir=folder / f"{size}")
                self._insert(testbed, settings, size, report)
                log = folder / f"{size}.log"
                servers = stack.enter_context(
                    servers_on_cores(testbed.cores, settings, log, server_command)
                )
                reads += [
                    _Reads(testbed, metrics[place], servers, scenario, size)
                    for scenario, metrics in self._METRICS.items()
                ]
            return _cpu_of(reads, testbed.plan.rounds)

    def _insert(
        self, testbed: Testbed, settings: GatewaySettings, size: int, report: ReportProgress
    ) -> None:
        """Stores customers that differ in their unique values only."""
        models = testbed.customers[: self._MODELS]
        insert_customers(
            settings,
            (renumbered(models[number % len(models)], number) for number in range(size)),
            lambda stored: report(f"{stored:,} of {size:,} customers stored"),
        )


_READS = 10_000
_READ_CONNECTIONS, _READ_STREAMS = 4, 8


class _Reads(NamedTuple):
    """Native reads of random customers of a server, whose CPU time is a metric."""

    testbed: Testbed
    metric: ServiceMetric
    servers: RunningServers
    scenario: Scenario
    customers: int

    def requests(self) -> list[Request]:
        """Returns the requests."""
        numbers = Random(self.customers).choices(range(self.customers), k=_READS)
        dataset = self.testbed.dataset
        return [self.scenario.call(dataset, number, "").grpc() for number in numbers]

    def cpu(self, requests: Sequence[Request]) -> float:
        """Returns the CPU time in microseconds of a request."""
        protocol = Protocol(SERVICE_PATH + self.scenario.rpc, self.testbed.credentials)
        profile = LoadProfile(_READ_CONNECTIONS, _plausible_bytes(self.testbed), _READ_STREAMS)
        before = resource_usage(self.servers.pids)
        run_load(self.testbed.folder, self.servers.ports, protocol, profile, requests)
        after = resource_usage(self.servers.pids)
        return (after.cpu_seconds - before.cpu_seconds) * 1e6 / len(requests)


def _cpu_of(reads: Sequence[_Reads], rounds: int) -> Metrics:
    """Makes reads in turn, once to warm up; returns the medians of the rounds."""
    requests = [each.requests() for each in reads]
    samples = [
        [each.cpu(own) for each, own in zip(reads, requests, strict=True)]
        for _ in range(rounds + 1)
    ]
    return {
        each.metric: median(cpu)
        for each, cpu in zip(reads, zip(*samples[1:], strict=True), strict=True)
    }


def _plausible_bytes(testbed: Testbed) -> tuple[int, int]:
    """Returns the least and most bytes of a response with a customer."""
    sizes = testbed.body_bytes["gRPC"]
    return min(sizes) // 2, max(sizes) * 2
