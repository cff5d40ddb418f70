"""`python -m twc_customer_gateway` as a process of its own."""

import json
import os
import re
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

import grpc
import httpx
import psutil
import yaml

from tests.gateway.stacks import http_headers
from tests.support import forks
from tests.support.client import SECONDS
from tests.support.http_client import http_client
from tests.support.jobs import Job
from tests.support.processes import RUN, die_with_parent
from tests.support.server_process import wait_until
from tests.support.servers import require_workers
from tests.support.tokens import trust
from tests.support.way_to_serve import SERVE
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_gateway.supervisor import envoy_admin

ROOT = Path(__file__).parents[2]

# Channels that do not share connections.
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


MODULE = ["-m", "twc_customer_gateway"]

_PUBLIC_CONFIG = re.compile(r"/public(-\d+)?\.yaml$")


class Service:
    """A service with two workers, on ports of its own, unless settings say otherwise.

    In a `with` block it is ready. Its processes of Python are forked, from one that has imported
    it, and else what they would be.
    """

    # Settings that its settings file has, and its environment does not.
    of_file: frozenset[str] = frozenset()

    def __init__(self, folder: Path, **settings: Any) -> None:
        """Starts the process, and does not wait until it serves."""
        folder.mkdir(parents=True, exist_ok=True)
        own: dict[str, Any] = {"data_dir": folder / "data", "gateway_port": 0, "grpc_port": 0}
        own |= {"serve": SERVE, "workers": 2} | ({} if "development" in settings else trust())
        self.settings = GatewaySettings(**own | settings)
        self._output = folder / f"{uuid.uuid4()}.log"
        self._read = 0
        self._log: list[dict[str, Any]] = []
        variables = {
            name: value
            for name, value in self.settings.environment().items()
            if name not in self.of_file
        }
        environment = os.environ | variables | {"TMPDIR": os.environ[RUN]}
        with self._output.open("wb") as output:
            self.process = self._start(environment, output)

    def _start(
        self, environment: dict[str, str], output: IO[bytes]
    ) -> "forks.ForkedProcess | subprocess.Popen[bytes]":
        job = Job(MODULE, environment, str(ROOT))
        return forks.fork(job, output.fileno(), output.fileno())

    def __enter__(self) -> Self:
        try:
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_ready(self) -> None:
        """Waits until the service says that it is ready, and where."""
        wait_until(lambda: "is ready" in self.output() or self.process.poll() is not None)
        found = re.search(r" on 127\.0\.0\.1:(\d+), gRPC on 127\.0\.0\.1:(\d+)", self.output())
        assert found, self.output()
        ports = dict(zip(("gateway_port", "grpc_port"), map(int, found.groups()), strict=True))
        self.settings = self.settings.model_copy(update=ports)

    def close(self) -> None:
        """Ends the service, if it runs, at once and with all its processes."""
        if self.process.poll() is None:
            children = self.children()
            self.process.kill()
            self.process.wait()
            for child in children:
                # A worker that is stopped does not end with its parent.
                with suppress(psutil.NoSuchProcess):
                    child.kill()

    def status(self) -> int:
        """Waits for the service to end by itself, and returns its status."""
        try:
            return self.process.wait(SECONDS)
        finally:
            self.close()

    def http(self, tenant: str, label: str = "") -> httpx.Client:
        """A REST client of a tenant, whose calls the log has under a label."""
        origin = f"http://127.0.0.1:{self.settings.gateway_port}/api/v2"
        headers = http_headers(tenant) | ({"x-request-id": label} if label else {})
        return http_client(base_url=origin, headers=headers)

    def native(self) -> grpc.Channel:
        """A connection of its own to the native port."""
        return grpc.insecure_channel(self.settings.native_address, _OWN_CONNECTION)

    def children(self) -> list[psutil.Process]:
        """All processes of the service but the first."""
        return psutil.Process(self.process.pid).children()

    def servers(self) -> dict[int, psutil.Process]:
        """The processes that have the server, and run: workers, or the Envoys it is inside of."""
        has_server = _is_worker
        if self.settings.serve == "inprocess":
            has_server = _is_public_envoy
        return {child.pid: child for child in self.children() if has_server(child)}

    def workers(self) -> dict[int, psutil.Process]:
        """The workers that run, by their process ids; without workers the test is skipped."""
        require_workers()
        return self.servers()

    def envoy(self, name: str) -> psutil.Process:
        """The Envoy with a name."""
        [found] = [child for child in self.children() if _is_envoy(child, name)]
        return found

    def requests(self) -> int:
        """How many requests to the gateway have not been answered yet."""
        arguments = [it for child in self.children() for it in _command(child)]
        places = {it for it in arguments if _PUBLIC_CONFIG.search(it)}
        configs = [yaml.safe_load(Path(it).read_text()) for it in places]
        admins = [it["admin"]["address"]["pipe"]["path"] for it in configs]
        return sum(envoy_admin.stat(it, "http.public.downstream_rq_active") or 0 for it in admins)

    def served(self, label: str) -> set[int]:
        """The ids of the processes that served calls with a label."""
        return {
            line["pid"]
            for line in self.log()
            if line.get("event") == "call" and line["request_id"] == label
        }

    def restarts(self) -> list[str]:
        """The lines of the log about processes that ended and are restarted."""
        events = [line.get("event", "") for line in self.log()]
        return [event for event in events if "; restarting it in " in event]

    def log(self) -> list[dict[str, Any]]:
        """The lines of the log that are not Envoy's.

        Envoy writes in pieces, with which others' lines may begin in the midst of one.
        """
        with self._output.open("rb") as output:
            output.seek(self._read)
            # Those who wait for a line read often: each time what is new, up to its last line.
            whole, end, _ = output.read().rpartition(b"\n")
        self._read += len(whole + end)
        lines = re.findall(rb'\{"level": .*?"time": "[^"]*"\}\n', whole + end)
        self._log += [json.loads(line) for line in lines]
        return self._log

    def output(self) -> str:
        """All that the service has written."""
        return self._output.read_text()


class UnsharedService(Service):
    """A service whose processes share no memory, as that of users, which may be measured."""

    def _start(self, environment: dict[str, str], output: IO[bytes]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, *MODULE],
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent,
        )


def _is_envoy(process: psutil.Process, name: str) -> bool:
    return any(argument.endswith(f"/{name}.yaml") for argument in _command(process))


def _is_public_envoy(process: psutil.Process) -> bool:
    return any(_PUBLIC_CONFIG.search(argument) for argument in _command(process))


def _is_worker(process: psutil.Process) -> bool:
    return "serve" in _command(process)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # It has ended.
