"""Measures one scenario of one contender that is running."""

from http import HTTPStatus
from statistics import median
from typing import NamedTuple

from bench.contender import Contender
from bench.dataset import PAGE_CUSTOMERS
from bench.load.h2load import H2loadOptions, run_h2load
from bench.load.run import LoadProfile, LoadSummary, Protocol, run_load
from bench.processes import ResourceUsage, RunningServers, resource_usage
from bench.results import Latencies, ScenarioStats, percentile
from bench.scenarios import GET, SERVICE_PATH, RequestBatches, Scenario
from bench.testbed import Testbed
from bench.verification import Verifier

# Concurrent requests of a closed loop, and the HTTP/2 connections that reads share.
_READERS = 32
_WRITERS = 16
_READ_CONNECTIONS = 4

# The relative deviation of a response's size from those of the dataset.
_SIZE_TOLERANCE = 0.25


class Measurement(NamedTuple):
    """A measurement of a scenario; `name` is that of its requests, the same for all contenders.

    Both kinds verify responses and warm up first, and raise BenchError.
    """

    testbed: Testbed
    batches: RequestBatches
    contender: Contender
    servers: RunningServers
    scenario: Scenario
    name: str

    def run(self) -> ScenarioStats:
        """Measures a closed loop."""
        warm_up = self._warm_up()
        before, database_before = self._usage()
        load = self._closed_loop(warm_up.throughput)
        after, database_after = self._usage()
        return ScenarioStats(
            throughput=load.throughput,
            p99=percentile(load.latencies_us, 99) / 1e3,
            cpu=(after.cpu_seconds - before.cpu_seconds) * 1e6 / load.requests,
            database_cpu=(database_after.cpu_seconds - database_before.cpu_seconds)
            * 1e6
            / load.requests,
            memory=after.mebibytes,
        )

    def latencies_at(self, rate: float) -> Latencies:
        """Measures an open loop at a rate with each seed; returns medians."""
        self._warm_up()
        plan = self.testbed.plan
        count = round(rate * plan.fixed_rate_seconds)
        loads = [
            self._run_load(f"seed {seed}", count, rate, seed).latencies_us
            for seed in range(plan.fixed_rate_seeds)
        ]
        return Latencies(
            *(median(percentile(load, rank) / 1e3 for load in loads) for rank in (50, 99))
        )

    def _warm_up(self) -> LoadSummary:
        self._verify()
        return self._run_load("warm", self.testbed.plan.warm_up_requests)

    def _usage(self) -> tuple[ResourceUsage, ResourceUsage]:
        postgres = self.testbed.postgres
        database_pids = [postgres.pid] if postgres else []
        return resource_usage(self.servers.pids), resource_usage(database_pids)

    def _verify(self) -> None:
        """Verifies a response of every port. Raises WrongResponseError."""
        for port in self.servers.ports:
            name = f"{self.name}-{port}"
            number = 0
            if self.scenario.is_write:
                [number] = self.batches.numbers(self.scenario, name, 1)
            verifier = Verifier(self.testbed, self.contender.transport, port)
            if self.contender.is_baseline:
                verifier.verify_baseline(self.scenario, number, name)
            else:
                verifier.verify(self.scenario, number, name)

    def _closed_loop(self, warm_up_throughput: float) -> LoadSummary:
        """Runs a closed loop, for the planned time if the throughput is that of the warm-up."""
        plan = self.testbed.plan
        if self.scenario.is_write:
            return self._run_load("load", plan.write_requests)
        count = max(plan.warm_up_requests, round(warm_up_throughput * plan.load_seconds))
        # Native lookups differ in their bodies, which h2load cannot send. The REST
        # ones use the same generator, so that the two can be compared.
        if self.scenario == GET:
            return run_h2load(self.servers.ports, self._h2load_options(), count)
        return self._run_load("load", count)

    def _run_load(self, name: str, count: int, rate: float = 0, seed: int = 0) -> LoadSummary:
        """Runs the benchmark's own load generator; without a rate it is a closed loop."""
        is_grpc = self.contender.transport == "gRPC"
        requests = self.batches.batch(
            self.scenario, self.contender.transport, f"{self.name}-{name}", count
        )
        status = self.scenario.status
        if self.contender.is_baseline:
            requests = [request._replace(expected=b"") for request in requests]
            status = HTTPStatus.OK
        path = SERVICE_PATH + self.scenario.rpc if is_grpc else ""
        protocol = Protocol(path, self.testbed.credentials, status)
        clients = _WRITERS if self.scenario.is_write else _READERS
        streams = 1
        if is_grpc and not self.scenario.is_write and not rate:
            streams = clients // _READ_CONNECTIONS
        profile = LoadProfile(clients // streams, self._body_bytes(), streams, rate, seed)
        return run_load(self.testbed.folder, self.servers.ports, protocol, profile, requests)

    def _h2load_options(self) -> H2loadOptions:
        folder, credentials = self.testbed.folder, self.testbed.credentials
        if self.contender.transport == "REST":
            uris = self.batches.uri_file(self.scenario, self.name)
            return H2loadOptions(folder, credentials, _READERS, self._body_bytes(), uris)
        return H2loadOptions(
            folder,
            credentials | {"content-type": "application/grpc", "te": "trailers"},
            _READ_CONNECTIONS,
            self._body_bytes(),
            path=SERVICE_PATH + self.scenario.rpc,
            body=self.batches.body_file(self.scenario, self.name),
            streams=_READERS // _READ_CONNECTIONS,
        )

    def _body_bytes(self) -> tuple[int, int]:
        """Returns the least and most bytes that a response may have."""
        sizes = self.testbed.body_bytes[self.contender.transport]
        customers = PAGE_CUSTOMERS if self.scenario.key == "page" else 1
        return (
            round(min(sizes) * customers * (1 - _SIZE_TOLERANCE)),
            round(max(sizes) * customers * (1 + _SIZE_TOLERANCE)),
        )
