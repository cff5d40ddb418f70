"""The service as a contender: with workers, native, and with Python inside Envoy."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from twc.customer.v2.customer_pb2 import Customer

from bench.contender import Contender
from bench.processes import (
    HOST,
    RunningServers,
    await_ready,
    environment,
    free_ports,
    is_healthy,
    running,
    servers_on_cores,
)
from bench.scenarios import Transport
from bench.testbed import TENANT, Testbed
from twc_customer_gateway import python_in_envoy
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.databases import open_database
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import shut_down_after
from twc_customer_server.storage.store import CustomerStore

_INSERT_BATCH = 1_000


class Service(Contender):
    """The service: REST through the gateway and its workers, or a native server on each core."""

    def __init__(self, name: str, transport: Transport, *, needs_postgres: bool = False) -> None:
        super().__init__(name, transport)
        self.needs_postgres = needs_postgres
        self._settings: GatewaySettings | None = None

    def prepare(self, testbed: Testbed, folder: Path) -> None:
        """Creates its database with the service's own storage."""
        database = {}
        if self.needs_postgres and testbed.postgres:
            database["database_url"] = testbed.postgres.create_database()
        self._settings = testbed.settings(data_dir=folder / "data", **database)
        insert_customers(self._settings, testbed.customers)

    def serve(self, testbed: Testbed, folder: Path) -> AbstractContextManager[RunningServers]:
        """Serves REST on one port, or gRPC on a port for each core."""
        settings = self._settings or testbed.settings(data_dir=folder / "data")
        log = folder / "log"
        if self.transport == "REST":
            return running_gateway(testbed, settings, log)
        return servers_on_cores(testbed.cores, settings, log, server_command)


class InprocessService(Service):
    """The service with Python inside Envoy: one on each core, for REST or gRPC.

    Envoys of one service would share a port, and some get more connections than others.
    """

    def skip_reason(self) -> str:
        """Returns why Python cannot run inside Envoy here, or ""."""
        try:
            python_in_envoy.environment()
        except python_in_envoy.UnsuitablePythonError as error:
            return str(error)
        return ""

    @contextmanager
    def serve(self, testbed: Testbed, folder: Path) -> Iterator[RunningServers]:
        """Serves on a port for each core."""
        settings = testbed.settings(data_dir=folder / "data", serve="inprocess")
        with ExitStack() as stack:
            started = [
                stack.enter_context(_running_service(settings, folder / "log", core))
                for core in testbed.cores
            ]
            ports = [each.rest if self.transport == "REST" else each.native for each in started]
            yield RunningServers(ports, [each.pid for each in started])


class _RunningService(NamedTuple):
    """The ports of a whole service, and the id of the process that started the others."""

    rest: int
    native: int
    pid: int


@contextmanager
def _running_service(
    settings: GatewaySettings, log: Path, core: int | None = None
) -> Iterator[_RunningService]:
    """Runs the whole service on free ports, on one core if given."""
    rest, native = free_ports(2)
    variables = environment(settings.model_copy(update={"gateway_port": rest, "grpc_port": native}))
    with running([sys.executable, "-m", "twc_customer_gateway"], log, variables, core) as process:
        await_ready(lambda: is_healthy(rest), [process], log)
        yield _RunningService(rest, native, process.pid)


@contextmanager
def running_gateway(
    testbed: Testbed, settings: GatewaySettings, log: Path
) -> Iterator[RunningServers]:
    """Runs the whole service, with a worker for each core but the gateway's."""
    workers = settings.model_copy(update={"workers": len(testbed.worker_cores)})
    with _running_service(workers, log) as started:
        yield RunningServers([started.rest], [started.pid])


def server_command(port: int) -> Sequence[str]:
    """Returns the command of a native server on a port."""
    return [sys.executable, "-m", "twc_customer_server", "serve", f"{HOST}:{port}"]


def insert_customers(
    settings: Settings,
    customers: Iterable[Customer],
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Creates the service's database, and stores customers; reports how many are stored."""
    with shut_down_after(open_database(settings)) as database:
        database.prepare()
        store = CustomerStore(database)
        remaining = iter(customers)
        stored = 0
        while batch := list(islice(remaining, _INSERT_BATCH)):
            store.insert_each(TENANT, batch)
            stored += len(batch)
            on_progress(stored)
