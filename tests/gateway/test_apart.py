"""A gateway whose servers run elsewhere: by TCP, one after another killed, stopped or started."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from cryptography import x509

from tests.gateway.stacks import http_headers, running
from tests.support.backends import only
from tests.support.certificates import Authority, Pair
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.http_client import http_client, http_request
from tests.support.ports import held_port
from tests.support.server_process import ServerProcess, wait_until
from tests.support.servers import of_workers
from twc_customer_gateway.supervisor import envoy_admin
from twc_customer_gateway.supervisor.stack import Stack

# A gateway without servers has no Python inside.
pytestmark = of_workers

TENANT = "acme"

# Between two calls of a caller, so that they leave the machine to the servers that start.
_PAUSE_SECONDS = 0.01


class Apart:
    """Servers of one PostgreSQL, each with a port for gateways, and a gateway in front of them."""

    def __init__(
        self, database: dict[str, Any], tls: dict[str, Any], own: dict[str, Any], servers: int
    ) -> None:
        self._database = database
        self._tls = tls
        self._own = own
        self._ended = ExitStack()
        self.ports = [self._ended.enter_context(held_port()) for _ in range(servers)]
        self.servers = [self.start(port) for port in self.ports]

    def start(self, port: int) -> ServerProcess:
        """Starts a server for gateways on a port, and waits for it."""
        address = f"127.0.0.1:{port}"
        server = ServerProcess(self._database, address, UPSTREAM_PORT=str(port), **self._own)
        self._ended.callback(server.end)
        return server

    def gateway(self, **settings: Any) -> Stack:
        """Starts a gateway, which need not be ready."""
        upstreams = [f"127.0.0.1:{port}" for port in self.ports]
        chosen = {"upstreams": upstreams} | self._tls | settings
        return self._ended.enter_context(running({}, **chosen))

    def close(self) -> None:
        """Ends all of it."""
        self._ended.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who certifies servers and gateways."""
    return Authority(tmp_path, "authority")


Started = Callable[..., Apart]


@pytest.fixture
def started(own_database: dict[str, Any], authority: Authority) -> Iterator[Started]:
    """Starts servers, which a gateway reaches by TLS if told so, with a certificate for all."""
    with ExitStack() as stack:

        def start(
            *,
            tls: bool,
            servers: int = 2,
            by: Authority = authority,
            name: str = "server",
            **own: Any,
        ) -> Apart:
            of_gateway: dict[str, Any] = {}
            if tls:
                server, client = by.issue(name), authority.issue("gateway")
                own |= _of_server(server, authority)
                of_gateway = _of_gateway(client, authority)
            apart = Apart(own_database, of_gateway, own, servers)
            stack.callback(apart.close)
            return apart

        yield start


def _of_server(pair: Pair, authority: Authority) -> dict[str, str]:
    return {
        "TLS_CERTIFICATE": str(pair.certificate),
        "TLS_KEY": str(pair.key),
        "UPSTREAM_CLIENT_CA": str(authority.certificate),
    }


def _of_gateway(pair: Pair, authority: Authority) -> dict[str, Any]:
    return {
        "upstream_ca": authority.certificate,
        "upstream_certificate": pair.certificate,
        "upstream_key": pair.key,
    }


def _origin(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.settings.gateway_port}"


def _status(stack: Stack, path: str) -> int:
    return http_request("GET", f"{_origin(stack)}{path}").status_code


def _http(stack: Stack, **headers: str) -> httpx.Client:
    url = f"{_origin(stack)}/api/v2"
    return http_client(base_url=url, headers=http_headers(TENANT) | headers)


def _healthy(stack: Stack) -> int:
    """The number of servers that both Envoys send calls to."""
    name = "cluster.server.membership_healthy"
    return min(envoy_admin.stat(socket, name) or 0 for socket in stack.settings.admin_sockets)


def _retries(stack: Stack) -> int:
    """The number of calls that the public Envoy has sent to a second server."""
    socket = stack.settings.admin_sockets[0]
    return envoy_admin.stat(socket, "cluster.server.upstream_rq_retry", "Counters") or 0


def _await_servers(stack: Stack, number: int) -> None:
    try:
        wait_until(lambda: _healthy(stack) == number)
    except TimeoutError as error:
        for socket in stack.settings.admin_sockets:
            error.add_note(envoy_admin.request(socket, "GET", "/clusters").decode())
        raise


class Load:
    """Callers who create a customer and find it, again and again, in a `with` block."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._is_over = False
        self.done = 0
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        self._calling = in_background([partial(self._call, caller) for caller in range(3)])
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        for calling in self._calling:
            calling.result(SECONDS)

    def go_on(self) -> None:
        """Waits until many more calls are done."""
        enough = self.done + 40
        wait_until(lambda: self.done > enough)

    def _call(self, caller: int) -> None:
        with _http(self._stack) as http:
            for number in count():
                if self._is_over:
                    break
                email = f"c{caller}-{number}@example.com"
                created = http.post("/customers", json={"email": email})
                found = http.get("/customers/search", params={"email": email})
                self.failed += [it.text for it in (created, found) if not it.is_success]
                self.done += 2
                time.sleep(_PAUSE_SECONDS)


@only("postgresql")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_killed_server(started: Started, *, tls: bool) -> None:
    """Of two servers one is killed: 50 of 50 reads and 30 of 30 creates succeed."""
    apart = started(tls=tls)
    stack = apart.gateway()
    _await_servers(stack, 2)
    with _http(stack) as http:
        known = http.post("/customers", json={"email": "known@example.com"}).json()["id"]
        apart.servers[0].process.kill()
        reads = [http.get(f"/customers/{known}").status_code for _ in range(50)]
        creates = [
            http.post("/customers", json={"email": f"c{number}@example.com"}).status_code
            for number in range(30)
        ]
        large = http.post(
            "/upload-customers", json=[{"email": f"u{n}@example.com"} for n in range(500)]
        )

    assert reads == [200] * 50
    assert creates == [201] * 30
    assert large.status_code == 201
    assert _status(stack, "/readyz") == 200


@only("postgresql")
def test_rolling_restart(started: Started) -> None:
    """One server after the other is stopped and started anew under load: none has a call late."""
    apart = started(tls=False)
    stack = apart.gateway()
    _await_servers(stack, 2)
    with Load(stack) as load:
        for port, server in zip(apart.ports, apart.servers, strict=True):
            load.go_on()
            assert server.stop() == 0
            load.go_on()
            apart.start(port)
            _await_servers(stack, 2)
    assert load.failed == []
    assert _retries(stack) == 0


@only("postgresql")
def test_renewed_certificates(started: Started, authority: Authority) -> None:
    """Servers and gateway take new certificates under load, by a new authority at last."""
    apart = started(tls=True)
    stack = apart.gateway()
    _await_servers(stack, 2)
    with Load(stack) as load:
        load.go_on()
        # Of the same names, so that the files are written anew.
        serial = _serial(apart.ports[0], authority)
        authority.issue("server"), authority.issue("gateway")
        wait_until(lambda: _serial(apart.ports[0], authority) != serial)
        load.go_on()
    assert load.failed == []
    assert _healthy(stack) == 2


def _serial(port: int, authority: Authority) -> int:
    """The serial number of the certificate that a new connection gets from a server."""
    context = ssl.create_default_context(cafile=authority.certificate)
    address = ("127.0.0.1", port)
    with (
        socket.create_connection(address, SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=address[0]) as secure,
    ):
        certificate = secure.getpeercert(binary_form=True) or b""
    return x509.load_der_x509_certificate(certificate).serial_number


@only("postgresql")
def test_large_body(started: Started) -> None:
    """The token of a large body is asked about, and the body passes on, as with workers."""
    apart = started(tls=False)
    stack = apart.gateway()
    _await_servers(stack, 2)
    upload = [{"email": f"u{number}@example.com"} for number in range(1000)]
    with _http(stack) as http, _http(stack, authorization="Bearer none") as stranger:
        assert http.post("/upload-customers", json=upload).status_code == 201
        assert stranger.post("/upload-customers", json=upload).status_code == 401


@only("postgresql")
def test_servers_that_come_later(started: Started) -> None:
    """A gateway is live without a server, ready with the first, and finds one that comes later."""
    apart = started(tls=False)
    for server in apart.servers:
        server.stop()
    with held_port() as metrics_port:
        stack = apart.gateway(metrics_port=metrics_port)
        probe = f"http://127.0.0.1:{metrics_port}"
        assert (_status(stack, "/livez"), _status(stack, "/readyz")) == (200, 503)
        assert http_request("GET", f"{probe}/readyz").status_code == 503
        with _http(stack) as http:
            refused = http.get("/customers/search", params={"email": "a@example.com"})
        assert (refused.status_code, refused.json()["code"]) == (503, 14)
        for number, port in enumerate(apart.ports, 1):
            apart.start(port)
            _await_servers(stack, number)
            assert _status(stack, "/readyz") == 200
        assert http_request("GET", f"{probe}/readyz").status_code == 200
        metrics = http_request("GET", f"{probe}/metrics").text
    assert (
        'envoy_cluster_membership_healthy{envoy="public",envoy_cluster_name="server"} 2' in metrics
    )


@only("postgresql")
@pytest.mark.parametrize(
    ("host", "tls", "name"),
    [("localhost", False, None), ("localhost", True, None), ("127.0.0.1", True, "server.example")],
    ids=["plain", "tls", "name of all"],
)
def test_server_by_name(started: Started, host: str, *, tls: bool, name: str | None) -> None:
    """A server is found by its name, which its certificate has, unless all have another one."""
    apart = started(tls=tls, servers=1, name=name or host)
    own = {"upstream_name": name} if name else {}
    stack = apart.gateway(upstreams=[f"{host}:{apart.ports[0]}"], **own)
    wait_until(lambda: _status(stack, "/readyz") == 200)
    with _http(stack) as http:
        assert http.post("/customers", json={"email": "a@example.com"}).status_code == 201


@only("postgresql")
@pytest.mark.parametrize("wrong", ["authority", "name", "no certificate"])
def test_server_that_is_not_trusted(started: Started, tmp_path: Path, wrong: str) -> None:
    """A server of another authority or name gets no call; nor does one get one without its own."""
    (tmp_path / "other").mkdir()
    other = {"by": Authority(tmp_path / "other", "other")} if wrong == "authority" else {}
    apart = started(tls=True, servers=1, **other)
    own: dict[str, Any] = {"upstream_name": "api.example"} if wrong == "name" else {}
    if wrong == "no certificate":
        own = {"upstream_certificate": None, "upstream_key": None}
    stack = apart.gateway(**own)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert _status(stack, "/readyz") == 503
        time.sleep(0.1)
