"""Runs the service as processes: workers, which are gRPC servers, and Envoys in front of them.

Started and stopped as one, so that no call is lost: the workers serve before
an Envoy sends them any, and clients' Envoy accepts no more before they stop.
"""

import logging
import math
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from twc_customer_gateway.supervisor import cores, ports
from twc_customer_gateway.supervisor.envoy_process import EnvoyProcess
from twc_customer_gateway.supervisor.inprocess_envoy import InprocessEnvoy
from twc_customer_gateway.supervisor.processes import (
    Process,
    RestartedProcess,
    stop,
    wait_for_all,
)
from twc_customer_gateway.supervisor.renewal import Renewal
from twc_customer_gateway.supervisor.shared_metrics import SharedMetrics
from twc_customer_gateway.supervisor.stack_settings import SETTINGS_FILE, StackSettings
from twc_customer_server.process.signals import DRAIN_SIGNAL, STOP_WAITING_SIGNAL
from twc_customer_server.transport.ports import cannot_listen, listen

_POLL_SECONDS = 0.05
# Time in which servers become ready that can.
_UNREADY_SECONDS = 3
# Envoy's number of the state in which it serves.
_LIVE = 0
# Time for processes to stop beyond that which calls in progress have to end, and all such times
# of a stop: less than that after which docs/operations.md has the service killed.
_SLACK_SECONDS = 5
_STOP_SLACK_SECONDS = 9

_log = logging.getLogger(__name__)


class StackError(Exception):
    """The service cannot run; the message says why."""


class Stack:
    """The processes of a service, which run within a `with` block.

    `folder` holds what `twc_customer_gateway.config.write_all` has written. `environment`
    is added to that of the workers, which read their settings from it. `pause` waits
    for a time and may raise, which ends the start or the `wait`.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = StackSettings.read(folder)
        self._folder = folder
        self._environment = environment or {}
        self._pause = pause
        self._is_ready = False
        # When all has to be stopped, once it is to stop.
        self._deadline = math.inf
        self._held = ExitStack()
        self._metrics = SharedMetrics(self.settings)
        self._renewal = Renewal(folder, self.settings)
        # Processes that have the server: workers, or Envoys with it inside.
        self._servers: Sequence[RestartedProcess] = []
        self._workers: list[RestartedProcess] = []
        # Clients connect to the first ones.
        self._envoys: list[EnvoyProcess] = []
        # The reserved ports that those listen on.
        self._envoy_ports: list[socket.socket] = []

    def __enter__(self) -> Self:
        """Starts everything. Raises StackError if the service does not become ready."""
        try:
            self._reserve_ports()
            self._serve_metrics()
            self._make_processes()
            for process in (*self._workers, *self._envoys):
                process.start()
            self._wait_until_ready()
            self._is_ready = True
        except StackError:
            self._stop(self._envoys)
            raise
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Serves until DRAIN_SECONDS are over, lets calls in progress end, and stops everything."""
        seconds = self.settings.drain_seconds + 2 * self.settings.grace_seconds
        self._deadline = time.monotonic() + seconds + _STOP_SLACK_SECONDS
        self._renewal.stop()
        envoys = [*self._envoys]
        # There may be clients before it is known that all is ready.
        if self._is_ready or any(it.stat("server.state") == _LIVE for it in envoys[:1]):
            self._drain()
            self._end_requests()
        self._stop(envoys)

    def _stop(self, envoys: Iterable[EnvoyProcess]) -> None:
        """Stops everything, Envoys before the servers behind them."""
        # Those with the server inside stop as workers do.
        envoys = [it for it in envoys if it not in self._servers]
        for envoy in envoys:
            envoy.quit()
        wait_for_all(envoys, self._at_most(_SLACK_SECONDS))
        # Workers that were restarted meanwhile do not know that the service has drained.
        self._tell_workers(DRAIN_SIGNAL)
        stop(self._servers, self._at_most(self.settings.grace_seconds + _SLACK_SECONDS))
        self._metrics.stop(self._at_most(_SLACK_SECONDS))
        self._held.close()

    def _at_most(self, seconds: float) -> float:
        """Returns the time that a step of the stop may take, which takes `seconds` at most."""
        return min(seconds, self._deadline - time.monotonic())

    def wait(self) -> None:
        """Keeps the service running until `pause` raises."""
        while True:
            self._pause(_POLL_SECONDS)
            self.restart_ended()
            self._renewal.look()

    def restart_ended(self) -> None:
        """Restarts processes that have ended, and Envoys that hang."""
        self._metrics.clear_ended(self._servers)
        self._metrics.restart_ended()
        for envoy in self._envoys:
            envoy.kill_if_hung()
        for process in (*self._workers, *self._envoys):
            process.restart_if_ended()

    def _reserve_ports(self) -> None:
        """Keeps other services from both ports, even while no process listens on them."""
        native = self.settings.grpc_port
        if self.settings.worker_sockets:
            native_port = self._bind(ports.reserve, "GRPC_PORT")
            native = native_port.getsockname()[1]
            if self.settings.python_environment:
                self._envoy_ports.append(native_port)
        gateway_port = self._bind(ports.reserve, "GATEWAY_PORT")
        gateway = gateway_port.getsockname()[1]
        self._envoy_ports.append(gateway_port)
        # So that an Envoy that is restarted has the same ones.
        for name in self.settings.envoys[:-1]:
            configuration = self._folder / f"{name}.yaml"
            chosen = configuration.read_text().replace("port_value: 0", f"port_value: {gateway}")
            chosen = chosen.replace('"port_value": 0', f'"port_value": {native}')
            configuration.write_text(chosen)
        self.settings = self.settings._replace(grpc_port=native, gateway_port=gateway)

    def _serve_metrics(self) -> None:
        if self.settings.metrics_port:
            self._metrics.serve(self._bind(listen, "METRICS_PORT"))

    def _bind(self, bind: Callable[[str, int], socket.socket], setting: str) -> socket.socket:
        """Binds the port of a setting until the service stops. Raises StackError if it cannot."""
        port = getattr(self.settings, setting.lower())
        try:
            return self._held.enter_context(bind(self.settings.bind, port))
        except OSError as error:
            raise StackError(
                cannot_listen(f"{self.settings.host}:{port}", setting, error)
            ) from error

    def _make_processes(self) -> None:
        """Makes the workers and Envoys, or the Envoys that have the server inside."""
        environment = self._server_environment()
        if self.settings.python_environment:
            self._servers = self._inprocess_envoys(environment)
        else:
            self._servers = self._workers = self._new_workers(environment)
        inside = [envoy for envoy in self._servers if isinstance(envoy, EnvoyProcess)]
        others = self.settings.envoy_arguments()[len(inside) :]
        self._envoys = [*inside, *(EnvoyProcess(*arguments) for arguments in others)]

    def _inprocess_envoys(self, environment: Mapping[str, str]) -> list[InprocessEnvoy]:
        """Returns the Envoys with the server inside, which share the ports."""
        variables = {**environment, **self.settings.python_environment}
        return [
            InprocessEnvoy(*arguments, variables, memory, core, self.settings.ready_seconds)
            for arguments, memory, core in zip(
                self.settings.envoy_arguments(),
                self._metrics.memories,
                cores.of_each(self.settings),
                strict=False,
            )
        ]

    def _server_environment(self) -> dict[str, str]:
        # All count RPCs in the memory of one exporter, and serve no metrics themselves.
        # By the names that count more than others, which may be set as well.
        environment = {**self._environment, "TWC_SHARE_PORT": "true", "TWC_METRICS_PORT": "0"}
        if (file := self._folder / SETTINGS_FILE).exists():
            environment["TWC_SETTINGS_FILE"] = str(file)
        return environment

    def _new_workers(self, environment: Mapping[str, str]) -> list[RestartedProcess]:
        workers = []
        for path, memory, core in zip(
            self.settings.worker_sockets,
            self._metrics.memories,
            cores.of_each(self.settings),
            strict=False,
        ):
            command = [sys.executable, "-m", "twc_customer_server", "serve"]
            command += ["--metrics-fd", str(memory), f"unix:{path}", self.settings.native_address]
            workers.append(RestartedProcess(Path(path).stem, command, environment, [memory], core))
        return workers

    def _wait_until_ready(self) -> None:
        serving_since = math.inf

        def is_ready() -> bool:
            nonlocal serving_since
            _require_none_failed([*self._workers, *self._envoys])
            self.restart_ended()
            if all(self._has_servers(envoy) for envoy in self._envoys):
                return True
            if not self._serves():
                serving_since = math.inf
            serving_since = min(serving_since, time.monotonic())
            return time.monotonic() > serving_since + _UNREADY_SECONDS

        seconds = self.settings.ready_seconds
        if not _poll(is_ready, seconds, self._pause):
            raise StackError(f"the service did not become ready in {seconds} seconds")
        if not self._healthy(self._envoys[0]):
            _log.warning("no server is ready: calls are refused, and /readyz is 503, until one is")

    def _has_servers(self, envoy: EnvoyProcess) -> bool:
        """Tells whether an Envoy sends calls to all workers, or to a server elsewhere."""
        healthy = self._healthy(envoy)
        return healthy == len(self._servers) if self._servers else bool(healthy)

    def _serves(self) -> bool:
        """Tells whether the processes do what they can, even if no call can be served yet.

        Workers may lack keys of their issuer. Servers elsewhere are started by themselves.
        """
        if self._servers:
            serving = self._envoys[0].stat("cluster.serving.membership_healthy")
            return serving == len(self._servers)
        return all(envoy.stat("server.state") == _LIVE for envoy in self._envoys)

    def _healthy(self, envoy: EnvoyProcess) -> int | None:
        """Returns the number of servers that an Envoy sends calls to."""
        return envoy.stat("cluster.server.membership_healthy")

    def _drain(self) -> None:
        """Fails health checks and serves on, until DRAIN_SECONDS are over."""
        self._tell_workers(DRAIN_SIGNAL)

        def is_over() -> bool:
            self.restart_ended()
            for envoy in self._public_envoys():
                envoy.fail_health()
            return False

        _poll(is_over, self.settings.drain_seconds, time.sleep)

    def _tell_workers(self, number: signal.Signals) -> None:
        for server in self._servers:
            server.send(number)

    def _end_requests(self) -> None:
        """Has clients' Envoys accept no more connections, and waits until requests have ended.

        What they need is restarted until then; they are not any more.
        """
        # Clients' Envoys first: late clients find no port, rather than no server behind it.
        public = self._public_envoys()
        del self._envoys[: len(public)]
        seconds = max(envoy.closing_seconds for envoy in public)
        with ExitStack() as ignoring:
            for port in self._envoy_ports:
                ignoring.enter_context(ports.ignoring_connections(port, len(public)))
            time.sleep(seconds)
            for envoy in public:
                envoy.close_listeners()
            time.sleep(seconds)
        self._tell_workers(STOP_WAITING_SIGNAL)

        def is_over() -> bool:
            self.restart_ended()
            return not [it for it in public if it.is_running and not it.is_quiet()]

        _poll(is_over, self.settings.grace_seconds, time.sleep)

    def _public_envoys(self) -> list[EnvoyProcess]:
        """Returns the Envoys that clients connect to: all but one."""
        return self._envoys[:-1]


def _require_none_failed(processes: Iterable[Process]) -> None:
    """Raises StackError if a process has given up; one that was killed is restarted."""
    for process in processes:
        if (process.status or 0) > 0:
            raise StackError(process.exit_message)


def _poll(condition: Callable[[], bool], seconds: float, pause: Callable[[float], None]) -> bool:
    """Returns whether a condition came true within a time."""
    deadline = time.monotonic() + seconds
    while not (is_true := condition()) and time.monotonic() < deadline:
        pause(_POLL_SECONDS)
    return is_true
