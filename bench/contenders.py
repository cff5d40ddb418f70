"""The contenders: the service, a baseline, and peers on other frameworks."""

import functools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from bench.contender import Contender
from bench.dataset import PAGE_CUSTOMERS, to_json
from bench.errors import BenchError
from bench.load.connection import Request, write_requests
from bench.processes import (
    HOST,
    RunningServers,
    environment,
    free_ports,
    running,
    running_envoy,
    servers_on_cores,
)
from bench.scenarios import Transport
from bench.services import InprocessService, Service
from bench.testbed import TENANT, Testbed

_PEERS = Path(__file__).parent / "peers"


class Baseline(Contender):
    """gRPC handlers that return the bytes of one customer, native or behind Envoy.

    A native one returns those of a page to lookups of it. It is the cost of the transport, which
    the service cannot go below.
    """

    is_baseline = True
    _PAGE = "page.binpb"

    def prepare(self, testbed: Testbed, folder: Path) -> None:
        """Writes the messages that it returns."""
        page = testbed.customers[:PAGE_CUSTOMERS]
        messages = [Request(customer.SerializeToString(), b"") for customer in page]
        write_requests(folder / self._PAGE, messages)

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
        page = str(folder / self._PAGE)
        return [sys.executable, "-m", "bench.peers.baseline", "--page", page, address]


class Peer(Contender):
    """The API on another framework, one process on each core.

    It is a command that creates its database (`seed FILE`) and serves it (`serve PORT`, or
    `serve-native PORT` for gRPC).
    """

    def __init__(self, name: str, transport: Transport, command: Sequence[str]) -> None:
        super().__init__(name, transport)
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
        """Serves on a port for each core."""
        command = "serve" if self.transport == "REST" else "serve-native"
        return servers_on_cores(
            testbed.cores,
            testbed.settings(),
            folder / "log",
            lambda port: [*self._arguments(folder), command, str(port)],
        )

    def _arguments(self, folder: Path) -> list[str]:
        return [*self._command, "--data", str(folder), "--tenant", TENANT]


class PythonPeer(Peer):
    """A peer that is a module of `bench.peers`."""

    def __init__(self, name: str, module: str) -> None:
        super().__init__(name, "REST", [sys.executable, "-m", f"bench.peers.{module}"])


class GoPeer(Peer):
    """A peer in Go, which is built if the machine has a toolchain and the packages."""

    _SOURCE = _PEERS / "go_gateway"
    # Stays after the run, so that the next one need not build everything.
    _BUILD = _PEERS.parents[1] / "build" / "bench" / "go_gateway"

    def __init__(self, name: str, transport: Transport) -> None:
        super().__init__(name, transport, [str(self._BUILD / "go_gateway")])

    def skip_reason(self) -> str:
        """Builds the program of both transports, and returns what the machine lacks for that."""
        return self._build()

    @classmethod
    @functools.cache
    def _build(cls) -> str:
        done = subprocess.run(
            [str(cls._SOURCE / "build.sh"), sys.executable, str(cls._BUILD)],
            capture_output=True,
            text=True,
            check=False,
        )
        if not done.returncode:
            return ""
        return next(iter(reversed(done.stderr.splitlines())), "it cannot be built")


# Those that targets and the chart name.
SERVICE_REST = "service REST"
SERVICE_GRPC = "service gRPC"
INPROCESS_REST = "service REST, inside Envoy"
INPROCESS_GRPC = "service gRPC, inside Envoy"
BASELINE_REST = "baseline REST"
BASELINE_GRPC = "baseline gRPC"
FASTAPI = "FastAPI + SQLAlchemy"
LITESTAR = "Litestar on Granian"
GO_REST = "Go grpc-gateway"
GO_GRPC = "Go gRPC"

# In the order of the tables.
CONTENDERS: list[Contender] = [
    Service(SERVICE_REST, "REST"),
    Service(SERVICE_GRPC, "gRPC"),
    InprocessService(INPROCESS_REST, "REST"),
    InprocessService(INPROCESS_GRPC, "gRPC"),
    Service("service REST, PostgreSQL", "REST", needs_postgres=True),
    Service("service gRPC, PostgreSQL", "gRPC", needs_postgres=True),
    Baseline(BASELINE_REST, "REST"),
    Baseline(BASELINE_GRPC, "gRPC"),
    PythonPeer(FASTAPI, "fastapi_app"),
    PythonPeer(LITESTAR, "litestar_granian"),
    GoPeer(GO_REST, "REST"),
    GoPeer(GO_GRPC, "gRPC"),
]
