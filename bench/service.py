"""The service itself, on either database, and how its database is filled."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from twc.customer.v2.customer_pb2 import Customer

from bench.contender import Contender, Transport
from bench.ground import TENANT, Ground, environment
from bench.processes import await_ready, running
from bench.serving import HOST, Serving, free_ports, is_healthy, on_cores
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.app import open_database
from twc_customer_server.settings import Settings
from twc_customer_server.storage.database import shut_down_after
from twc_customer_server.storage.store import CustomerStore

_BATCH = 1_000


class Service(Contender):
    """REST through its gateway and workers, or native gRPC of a server a core."""

    def __init__(self, name: str, transport: Transport, *, is_postgres: bool = False) -> None:
        super().__init__(name, transport)
        self.has_database_process = is_postgres
        self._settings: GatewaySettings | None = None
        if transport == "gRPC":
            self.scenarios = (*self.scenarios, "page")

    def prepare(self, ground: Ground, folder: Path) -> None:
        """Stores the customers as the service does."""
        database = {}
        if self.has_database_process and ground.postgres:
            database["database_url"] = ground.postgres.database()
        self._settings = ground.settings(data_dir=folder / "data", **database)
        fill(self._settings, ground.customers)

    def serving(self, ground: Ground, folder: Path) -> AbstractContextManager[Serving]:
        """Serves one port through the gateway, or a native port a core."""
        settings = self._settings or ground.settings(data_dir=folder / "data")
        log = folder / "log"
        if self.transport == "REST":
            return gateway(ground, settings, log)
        return on_cores(ground.cores, settings, log, serve)


@contextmanager
def gateway(ground: Ground, settings: GatewaySettings, log: Path) -> Iterator[Serving]:
    """Runs the whole service with a worker for each core but the gateway's."""
    [port, native] = free_ports(2)
    own = {"gateway_port": port, "grpc_port": native, "workers": len(ground.behind_gateway)}
    variables = environment(settings.model_copy(update=own))
    with running([sys.executable, "-m", "twc_customer_gateway"], log, variables) as process:
        await_ready(lambda: is_healthy(port), [process], log)
        yield Serving([port], [process.pid])


def serve(port: int) -> Sequence[str]:
    """The command of a server on a native port."""
    return [sys.executable, "-m", "twc_customer_server", "serve", f"{HOST}:{port}"]


def fill(settings: Settings, customers: Sequence[Customer]) -> None:
    """Makes a database ready and stores customers in it."""
    with shut_down_after(open_database(settings)) as database:
        database.prepare()
        store = CustomerStore(database)
        for begin in range(0, len(customers), _BATCH):
            store.insert_each(TENANT, customers[begin : begin + _BATCH])
