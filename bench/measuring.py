"""Measures one scenario of one contender, which serves."""

from http import HTTPStatus
from typing import NamedTuple

from bench.batches import Batches
from bench.contender import Contender
from bench.documents import PAGE
from bench.figures import Figures, percentile
from bench.ground import Ground
from bench.load import h2load
from bench.load.running import Pressure, Protocol, Run, put
from bench.scenarios import GET, PATH, Scenario
from bench.serving import Serving
from bench.spent import Spent
from bench.verification import Client

# Clients of a load; over HTTP/2 those that only read share connections.
_READERS = 32
_WRITERS = 16
_READING_CONNECTIONS = 4

# How far the length of an answer may be from those of the customers at the start.
_SLACK = 0.25


class Measuring:
    """Measures with the same requests whatever serves."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.batches = Batches(ground)

    def measure(
        self, contender: Contender, serving: Serving, scenario: Scenario, name: str
    ) -> Figures:
        """Checks answers, then measures; `name` is of what is sent. Raises BenchError."""
        subject = _Subject(self.ground, self.batches, contender, serving, scenario, name)
        subject.check()
        warm = subject.own("warm", self.ground.plan.warm_up)
        before, database = Spent(serving.pids), Spent(self.ground.database_pids)
        run = subject.load(warm.rate)
        after, database_after = Spent(serving.pids), Spent(self.ground.database_pids)
        microseconds = subject.paced().microseconds if scenario.is_paced else []
        return Figures(
            rate=run.rate,
            loaded_p99=percentile(run.microseconds, 99) / 1e3,
            cpu=(after.seconds - before.seconds) * 1e6 / run.requests,
            database_cpu=(database_after.seconds - database.seconds) * 1e6 / run.requests,
            p50=percentile(microseconds, 50) / 1e3,
            p99=percentile(microseconds, 99) / 1e3,
            memory=after.mebibytes,
        )


class _Subject(NamedTuple):
    """A scenario of a contender."""

    ground: Ground
    batches: Batches
    contender: Contender
    serving: Serving
    scenario: Scenario
    name: str

    def check(self) -> None:
        """Has every port answer rightly. Raises WrongAnswerError."""
        for port in self.serving.ports:
            name = f"{self.name}-{port}"
            number = 0
            if self.scenario.writes:
                [number] = self.batches.numbers(self.scenario, name, 1)
            client = Client(self.ground, self.contender.transport, port)
            if self.contender.is_real:
                client.check(self.scenario, number, name)
            else:
                client.check_floor(self.scenario, number, name)

    def load(self, rate: float) -> Run:
        """As much as it can take, where a rate is what it can at least."""
        plan = self.ground.plan
        if self.scenario.writes:
            return self.own("load", plan.prepared)
        number = max(plan.warm_up, round(rate * plan.load_seconds))
        # Native lookups differ in their bodies; what is compared is sent by one generator.
        if self.scenario == GET:
            return h2load.put(self.serving.ports, self._h2load(), number)
        return self.own("load", number)

    def paced(self) -> Run:
        """A fixed rate."""
        plan = self.ground.plan
        return self.own("paced", round(plan.rate * plan.rate_seconds), plan.rate)

    def own(self, name: str, count: int, rate: float = 0) -> Run:
        """Requests of the benchmark's own load generator."""
        is_grpc = self.contender.transport == "gRPC"
        name = f"{self.name}-{name}"
        requests = self.batches.batch(self.scenario, self.contender.transport, name, count)
        status = self.scenario.status
        if not self.contender.is_real:
            requests = [request._replace(wanted=b"") for request in requests]
            status = HTTPStatus.OK
        path = PATH + self.scenario.rpc if is_grpc else ""
        protocol = Protocol(path, self.ground.caller, status)
        clients = _WRITERS if self.scenario.writes else _READERS
        streams = 1
        if is_grpc and not self.scenario.writes and not rate:
            streams = clients // _READING_CONNECTIONS
        pressure = Pressure(clients // streams, self._lengths(), streams, rate)
        return put(self.ground.folder, self.serving.ports, protocol, pressure, requests)

    def _h2load(self) -> h2load.Load:
        folder, caller = self.ground.folder, self.ground.caller
        if self.contender.transport == "REST":
            uris = self.batches.uris(self.scenario, self.name)
            return h2load.Load(folder, caller, _READERS, self._lengths(), uris)
        return h2load.Load(
            folder,
            caller | {"content-type": "application/grpc", "te": "trailers"},
            _READING_CONNECTIONS,
            self._lengths(),
            path=PATH + self.scenario.rpc,
            body=self.batches.body(self.scenario, self.name),
            streams=_READERS // _READING_CONNECTIONS,
        )

    def _lengths(self) -> tuple[int, int]:
        """The least and most bytes that an answer should have."""
        lengths = self.ground.lengths[self.contender.transport]
        customers = PAGE if self.scenario.key == "page" else 1
        return (
            round(min(lengths) * customers * (1 - _SLACK)),
            round(max(lengths) * customers * (1 + _SLACK)),
        )
