"""Measurements of the service alone: databases, group commit, and the size of the database."""

import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from statistics import median

from bench.contenders import insert_customers, server_command
from bench.dataset import renumbered
from bench.load.connection import Request
from bench.load.run import LoadProfile, Protocol, run_load
from bench.processes import RunningServers, resource_usage, servers_on_cores
from bench.results import ServiceMetric
from bench.scenarios import CREATE, GET, LOOKUP, SERVICE_PATH, RequestBatches, Scenario
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
    needs_postgres = False

    def skip_reason(self, testbed: Testbed) -> str:
        """Returns why it cannot be measured on this machine, or "" if it can."""
        return ""

    @abstractmethod
    def measure(self, testbed: Testbed, folder: Path, report: ReportProgress) -> Metrics:
        """Measures, with files in an empty folder. Raises BenchError."""


class Databases(ServiceBenchmark):
    """Compares the CPU time of a native read on SQLite and on PostgreSQL.

    The servers have one core, and PostgreSQL and the load generator the others,
    so that only the server's own CPU time counts.
    """

    name = "databases"
    needs_postgres = True
    _ROUNDS = 3

    def measure(self, testbed: Testbed, folder: Path, report: ReportProgress) -> Metrics:
        """Returns microseconds per request."""
        urls: dict[ServiceMetric, str | None] = {ServiceMetric.GET_SQLITE: None}
        if testbed.postgres:
            urls[ServiceMetric.GET_POSTGRES] = testbed.postgres.create_database()
        samples: dict[ServiceMetric, list[float]] = {metric: [] for metric in urls}
        with ExitStack() as stack:
            running: dict[ServiceMetric, RunningServers] = {}
            for metric, url in urls.items():
                own = folder / metric.name
                own.mkdir()
                settings = testbed.settings(data_dir=own / "data", database_url=url)
                insert_customers(settings, testbed.customers)
                running[metric] = stack.enter_context(
                    servers_on_cores(testbed.cores[:1], settings, own / "log", server_command)
                )
            for number in range(self._ROUNDS):
                report(f"{number + 1} of {self._ROUNDS}")
                for metric, servers in running.items():
                    samples[metric].append(
                        _cpu_per_read(testbed, servers, GET, len(testbed.customers))
                    )
        return {metric: median(each) for metric, each in samples.items()}


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
    _ROUNDS = 3
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
        samples: dict[ServiceMetric, list[float]] = {
            metric: [] for metrics in self._METRICS.values() for metric in metrics
        }
        with ExitStack() as stack:
            running: list[RunningServers] = []
            for size in sizes:
                settings = testbed.settings(data_dir=folder / f"{size}")
                self._insert(testbed, settings, size, report)
                log = folder / f"{size}.log"
                running.append(
                    stack.enter_context(
                        servers_on_cores(testbed.cores, settings, log, server_command)
                    )
                )
            for _ in range(self._ROUNDS):
                for scenario, metrics in self._METRICS.items():
                    for metric, servers, size in zip(metrics, running, sizes, strict=True):
                        samples[metric].append(_cpu_per_read(testbed, servers, scenario, size))
        return {metric: median(each) for metric, each in samples.items()}

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


def _cpu_per_read(
    testbed: Testbed, servers: RunningServers, scenario: Scenario, customers: int
) -> float:
    """Returns the CPU time in microseconds of a native read of a random customer."""
    numbers = Random(customers).choices(range(customers), k=_READS)
    requests = [scenario.call(testbed.dataset, number, "").grpc() for number in numbers]
    protocol = Protocol(SERVICE_PATH + scenario.rpc, testbed.credentials)
    profile = LoadProfile(_READ_CONNECTIONS, _plausible_bytes(testbed), _READ_STREAMS)
    before = resource_usage(servers.pids)
    run_load(testbed.folder, servers.ports, protocol, profile, requests)
    after = resource_usage(servers.pids)
    return (after.cpu_seconds - before.cpu_seconds) * 1e6 / len(requests)


def _plausible_bytes(testbed: Testbed) -> tuple[int, int]:
    """Returns the least and most bytes of a response with a customer."""
    sizes = testbed.body_bytes["gRPC"]
    return min(sizes) // 2, max(sizes) * 2
