"""The Envoy that reads large bodies, alone, and the time that it takes for them."""

import http.client
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.support.client import SECONDS, SERVICE
from tests.support.processes import die_with_parent
from tests.support.server_process import wait_until
from tests.support.tokens import trust
from twc_customer_gateway import config
from twc_customer_gateway.matchers import HttpRoute, http_routes
from twc_customer_gateway.places import Places
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_gateway.upstreams import Upstreams

# The routes that take a body.
ROUTES = {route.rpc.name: route for route in http_routes(SERVICE) if route.body}


class _SocketConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("envoy")
        self._path = str(path)

    def connect(self) -> None:
        """Connects, also when the last answer has closed the connection."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SECONDS)
        try:
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        self.sock = connection


class BodyReader:
    """Sends bodies to an Envoy that has no server to pass them on to."""

    def __init__(self, process: "subprocess.Popen[bytes]", path: Path) -> None:
        self._process = process
        self._connection = _SocketConnection(path)

    def connects(self) -> bool:
        """Tells whether Envoy takes connections yet."""
        try:
            self._connection.connect()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def send(self, route: HttpRoute, body: bytes) -> bytes:
        """Sends a body, and returns the answer."""
        path = re.sub(r"\{\w+\}", "x", route.path)
        headers = {"content-type": "application/json"}
        try:
            self._connection.request(route.method, path, body, headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            # So that no other test waits for it as well.
            self._process.kill()
            raise
        # Refused, or fit for the server that is not there.
        assert response.status in (400, 503), answer[:1000]
        return answer

    def seconds(self, route: HttpRoute, body: bytes, times: int) -> float:
        """Returns the CPU time that Envoy takes for a body, the mean of several requests."""
        start = cpu_seconds(self._process.pid)
        for _ in range(times):
            self.send(route, body)
        return (cpu_seconds(self._process.pid) - start) / times


def cpu_seconds(process: int) -> float:
    """Returns the CPU time that a process has taken so far, more exactly than psutil does."""
    # The number of its clock is made as by clock_getcpuclockid(3).
    return time.clock_gettime((~process << 3) | 2)


@contextmanager
def reading() -> Iterator[BodyReader]:
    """Runs an Envoy for a `with` block."""
    # A short path: that of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="twc-") as name:
        folder = Path(name)
        settings = GatewaySettings(data_dir=folder, gateway_port=0, grpc_port=0, **trust())
        places = Places.on_this_machine(folder)
        # No endpoint: to call one in vain takes Envoy longer than to read some bodies.
        upstreams = Upstreams.at_sockets([places.socket("none")])._replace(endpoints=[])
        written = config.write(settings, upstreams, places)
        configuration = written[config.ENVOYS.index(config.LARGE_BODIES)]
        command = config.envoy_command(configuration)
        with subprocess.Popen(command, preexec_fn=die_with_parent) as process:
            try:
                with closing(BodyReader(process, folder / "large-bodies.sock")) as reader:
                    wait_until(reader.connects)
                    yield reader
            finally:
                # In an endless loop it takes no other signal.
                process.kill()
