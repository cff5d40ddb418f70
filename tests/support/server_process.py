"""A server as a process of its own: `python -m twc_customer_server serve`, or inside Envoy."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support import forks
from tests.support.client import SECONDS, Client
from tests.support.ports import held_port
from tests.support.processes import RUN, die_with_parent
from tests.support.tokens import trust
from tests.support.way_to_serve import SERVE
from twc_customer_server.settings.model import Settings

# A client that tries again at once finds a server as soon as it is there.
_EAGER = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 50))


SERVER = "twc_customer_server"


def command(*addresses: str, program: str = SERVER) -> list[str]:
    """The command that runs a server on addresses."""
    return [sys.executable, "-m", program, "serve", *addresses]


def _inside_envoy(native: int, gateway: int) -> tuple[list[str], dict[str, str]]:
    """The command that runs a server inside Envoy, on two ports, and its variables."""
    variables = {"SERVE": "inprocess", "GRPC_PORT": str(native), "GATEWAY_PORT": str(gateway)}
    # Its files would be larger than some servers may write.
    variables["DOCS"] = "false"
    # It ends with its supervisor, which may leave files.
    return [sys.executable, "-m", "twc_customer_gateway"], variables | {"TMPDIR": os.environ[RUN]}


def _limited(
    arguments: list[str], environment: dict[str, str], log: IO[bytes], file_blocks: int
) -> subprocess.Popen[bytes]:
    """Starts a process whose files grow to a number of blocks at most, if that is not 0."""
    limit = ["/bin/sh", "-c", f'ulimit -f {file_blocks} && exec "$0" "$@"']
    return subprocess.Popen(
        [*(limit if file_blocks else ()), *arguments],
        env=environment,
        stdout=log,
        stderr=log,
        preexec_fn=die_with_parent,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for a condition to hold. Raises TimeoutError."""
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


class ServerProcess:
    """A server on a port of its own, with the database that it is given the settings of."""

    def __init__(
        self,
        database: dict[str, Any],
        *more_addresses: str,
        file_blocks: int = 0,
        program: str = SERVER,
        **environment: str,
    ) -> None:
        """Starts the process, and does not wait until it serves.

        It is inside Envoy if the tests run on that, unless addresses or a program are given.
        Its files grow to `file_blocks` blocks of 512 bytes at most, if that is given.
        `program` is a module that runs the server.
        """
        settings = Settings(**database, **trust())
        self._ended = ExitStack()
        port = self._ended.enter_context(held_port())
        # All that it is to listen on.
        self.ports = {port}
        self.address = f"{environment.get('BIND', '127.0.0.1')}:{port}"
        self._log = settings.data_dir / f"{port}.log"
        arguments = command(self.address, *more_addresses, program=program)
        variables: dict[str, str] = {}
        self._has_supervisor = SERVE == "inprocess" and not more_addresses and program == SERVER
        if self._has_supervisor:
            gateway = self._ended.enter_context(held_port())
            self.ports.add(gateway)
            arguments, variables = _inside_envoy(port, gateway)
        environment = os.environ | settings.environment() | variables | environment
        with self._log.open("wb") as log:
            self.process: subprocess.Popen[bytes] | forks.ForkedProcess
            if self._has_supervisor:
                self.process = _limited(arguments, environment, log, file_blocks)
            else:
                self.process = forks.start(arguments[1:], environment, log, log, file_blocks)
        self.channel = grpc.insecure_channel(self.address, _EAGER)
        # Its stubs do not say its methods.
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)

    def wait_ready(self) -> None:
        """Waits until the server serves."""
        request = health_pb2.HealthCheckRequest()
        self.health.Check(request, timeout=SECONDS, wait_for_ready=True)

    def client(self, tenant: str) -> Client:
        """A client of the server for a tenant."""
        return Client(self.channel, tenant)

    def listens(self) -> bool:
        """Tells whether the server takes connections."""
        host, port = self.address.split(":")
        try:
            socket.create_connection((host, int(port))).close()
        except OSError:
            return False
        return True

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stops the server by a signal and returns its exit status."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def log(self) -> str:
        """What the server has written."""
        return self._log.read_text()

    def end(self) -> None:
        """Kills the process, if it runs, and frees its port."""
        self.channel.close()
        self.process.kill()
        self.process.wait()
        self._ended.close()


Start = Callable[..., ServerProcess]


@contextmanager
def starting(database: dict[str, Any]) -> Iterator[Start]:
    """Yields a function that starts servers on a database, and kills them all at the end.

    It waits until a server serves, unless `wait` is false.
    """
    with ExitStack() as started:

        def start(*more_addresses: str, wait: bool = True, **options: Any) -> ServerProcess:
            server = ServerProcess(database, *more_addresses, **options)
            started.callback(server.end)
            if wait:
                server.wait_ready()
            return server

        yield start


def run(
    database: dict[str, Any], *addresses: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a server that is to end by itself."""
    settings = Settings(**database, **trust())
    variables = os.environ | settings.environment() | environment
    return forks.run(command(*addresses)[1:], variables)
