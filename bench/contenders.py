"""The contenders: the service, a baseline, and peers on other frameworks."""

import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from twc.customer.v2.customer_pb2 import Customer

from bench.dataset import to_json
from bench.errors import BenchError
from bench.processes import (
    HOST,
    RunningServers,
    await_ready,
    environment,
    free_ports,
    is_healthy,
    running,
    running_envoy,
    servers_on_cores,
)
from bench.scenarios import Transport
from bench.testbed import TENANT, Testbed
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.app import open_database
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import shut_down_after
from twc_customer_server.storage.store import CustomerStore

_PEERS = Path(__file__).parent / "peers"
_INSERT_BATCH = 1_000


class Contender(ABC):
    """An implementation of the API, which is started anew in every round."""

    # Keys of the scenarios that it implements.
    scenarios: tuple[str, ...] = ("get", "lookup", "create", "update")
    # True if every response has the same customer, and status 200.
    is_baseline = False
    # True if its database is PostgreSQL, a process with CPU time of its own.
    needs_postgres = False

    def __init__(self, name: str, transport: Transport) -> None:
        self.name = name
        self.transport: Transport = transport

    @property
    def slug(self) -> str:
        """The name as that of a folder."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.name).split())

    def skip_reason(self) -> str:
        """Returns why it cannot be measured on this machine, or "" if it can."""
        return ""

    @abstractmethod
    def prepare(self, testbed: Testbed, folder: Path) -> None:
        """Creates its database, in a folder of its own, with the customers."""

    @abstractmethod
    def serve(self, testbed: Testbed, folder: Path) -> AbstractContextManager[RunningServers]:
        """Serves from that database for a `with` block."""


class Service(Contender):
    """The service: REST through the gateway and its workers, or a native server on each core."""

    def __init__(self, name: str, transport: Transport, *, needs_postgres: bool = False) -> None:
        super().__init__(name, transport)
        self.needs_postgres = needs_postgres
        self._settings: GatewaySettings | None = None
        if transport == "gRPC":
            self.scenarios = (*self.scenarios, "page")

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


@contextmanager
def running_gateway(
    testbed: Testbed, settings: GatewaySettings, log: Path
) -> Iterator[RunningServers]:
    """Runs the whole service, with a worker for each core but the gateway's."""
    [port, native] = free_ports(2)
    own = {"gateway_port": port, "grpc_port": native, "workers": len(testbed.worker_cores)}
    variables = environment(settings.model_copy(update=own))
    with running([sys.executable, "-m", "twc_customer_gateway"], log, variables) as process:
        await_ready(lambda: is_healthy(port), [process], log)
        yield RunningServers([port], [process.pid])


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


class Baseline(Contender):
    """gRPC handlers that return the bytes of one customer, native or behind Envoy.

    It is the cost of the transport, which the service cannot go below.
    """

    is_baseline = True
    _BODY = "response.binpb"

    def prepare(self, testbed: Testbed, folder: Path) -> None:
        """Writes the bytes that it returns."""
        folder.joinpath(self._BODY).write_bytes(testbed.customers[0].SerializeToString())

    def serve(self, testbed: Testbed, folder: Path) -> AbstractContextManager[RunningServers]:
        """Serves REST on one port, or gRPC on a port for each core."""
        log = folder / "log"
        if self.transport == "REST":
            return self._behind_envoy(testbed, folder, log)
        return servers_on_cores(
            testbed.cores,
            testbed.settings(),
            log,
            lambda port: self._command(folder, f"{HOST}:{port}"),
        )

    @contextmanager
    def _behind_envoy(self, testbed: Testbed, folder: Path, log: Path) -> Iterator[RunningServers]:
        [port] = free_ports(1)
        settings = testbed.settings(gateway_port=port)
        with ExitStack() as stack:
            pids = []
            sockets = [folder / f"{core}.sock" for core in testbed.worker_cores]
            for core, path in zip(testbed.worker_cores, sockets, strict=True):
                command = self._command(folder, f"unix:{path}")
                process = stack.enter_context(running(command, log, environment(settings), core))
                pids.append(process.pid)
            envoy = stack.enter_context(running_envoy(settings, sockets, log))
            yield RunningServers(envoy.ports, envoy.pids + pids)

    def _command(self, folder: Path, address: str) -> Sequence[str]:
        body = str(folder / self._BODY)
        return [sys.executable, "-m", "bench.peers.baseline", "--body", body, address]


class Peer(Contender):
    """The API on another framework, one process on each core.

    It is a command that creates its database (`seed FILE`) and serves it (`serve PORT`).
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        super().__init__(name, "REST")
        self._command = command

    def prepare(self, testbed: Testbed, folder: Path) -> None:
        """Runs its command to create the database from JSON Lines."""
        customers = folder / "customers.jsonl"
        with customers.open("w", encoding="utf-8") as file:
            file.writelines(
                to_json(customer, is_response=True) + "\n" for customer in testbed.customers
            )
        done = subprocess.run(
            [*self._arguments(folder), "seed", str(customers)],
            env=environment(testbed.settings()),
            cwd=_PEERS.parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"{self.name} cannot create its database: {done.stdout}{done.stderr}")
        customers.unlink()

    def serve(self, testbed: Testbed, folder: Path) -> AbstractContextManager[RunningServers]:
        """Serves REST on a port for each core."""
        return servers_on_cores(
            testbed.cores,
            testbed.settings(),
            folder / "log",
            lambda port: [*self._arguments(folder), "serve", str(port)],
        )

    def _arguments(self, folder: Path) -> list[str]:
        return [*self._command, "--data", str(folder), "--tenant", TENANT]


class PythonPeer(Peer):
    """A peer that is a module of `bench.peers`."""

    def __init__(self, name: str, module: str) -> None:
        super().__init__(name, [sys.executable, "-m", f"bench.peers.{module}"])


class GoPeer(Peer):
    """A peer in Go, which is built if the machine has a toolchain and the packages."""

    _SOURCE = _PEERS / "go_gateway"
    # Stays after the run, so that the next one need not build everything.
    _BUILD = _PEERS.parents[1] / "build" / "bench" / "go_gateway"

    def __init__(self, name: str) -> None:
        super().__init__(name, [str(self._BUILD / "go_gateway")])

    def skip_reason(self) -> str:
        """Builds the program, and returns what the machine lacks for that."""
        done = subprocess.run(
            [str(self._SOURCE / "build.sh"), sys.executable, str(self._BUILD)],
            capture_output=True,
            text=True,
            check=False,
        )
        if not done.returncode:
            return ""
        return next(iter(reversed(done.stderr.splitlines())), "it cannot be built")


# Those that targets name.
SERVICE_REST = "service REST"
SERVICE_GRPC = "service gRPC"
BASELINE_REST = "baseline REST"
BASELINE_GRPC = "baseline gRPC"
FASTAPI = "FastAPI + SQLAlchemy"

# In the order of the tables.
CONTENDERS: list[Contender] = [
    Service(SERVICE_REST, "REST"),
    Service(SERVICE_GRPC, "gRPC"),
    Service("service REST, PostgreSQL", "REST", needs_postgres=True),
    Service("service gRPC, PostgreSQL", "gRPC", needs_postgres=True),
    Baseline(BASELINE_REST, "REST"),
    Baseline(BASELINE_GRPC, "gRPC"),
    PythonPeer(FASTAPI, "fastapi_sqlalchemy"),
    PythonPeer("FastAPI + Peewee", "fastapi_peewee"),
    PythonPeer("django-ninja", "django_ninja"),
    PythonPeer("Litestar on Granian", "litestar_granian"),
    GoPeer("Go grpc-gateway"),
]
