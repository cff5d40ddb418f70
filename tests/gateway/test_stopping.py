"""The stop of a service, and what ends by itself while it starts or stops."""

import signal
import socket
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.gateway.errors import Error, error_of
from tests.gateway.service import Service
from tests.gateway.stacks import prepared
from tests.support.builders import NO_CUSTOMER
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.http2_frames import FRAME_HEADER, PREFACE, SETTINGS, settings
from tests.support.http_client import http_request
from tests.support.server_process import wait_until
from tests.support.servers import of_envoy
from twc_customer_gateway.supervisor.stack import Stack

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING

ENVOYS = ("public", "large_bodies")


def test_drain(tmp_path: Path) -> None:
    """A service that stops fails its health checks, and serves all clients for DRAIN_SECONDS."""
    drain = 8
    with Service(tmp_path, drain_seconds=drain) as service:
        assert _health(service) == (200, SERVING)
        began = _stop(service)
        wait_until(lambda: _health(service) == (503, NOT_SERVING))
        while time.monotonic() - began < drain / 3:
            # On a new connection each.
            with service.http("acme") as http:
                assert http.get(NO_CUSTOMER).status_code == 204
                assert http.post("/upload-customers", json=[]).status_code == 201
            assert _health(service) == (503, NOT_SERVING)
        assert service.status() == 0
        assert time.monotonic() - began > drain


def test_stop_before_ready(own_database: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is told to stop before it is known to be ready drains, too."""
    closed: list[Any] = []
    # Else it may be known before the first client.
    monkeypatch.setattr(Stack, "_has_servers", lambda *_: False)

    def pause(seconds: float) -> None:
        time.sleep(seconds)
        if _is_live(stack.settings.gateway_port):
            told = time.monotonic()
            closed.extend(in_background([lambda: _seconds_until_closed(stack, told)]))
            raise _Told

    with prepared(own_database, pause, drain_seconds=2) as stack, pytest.raises(_Told), stack:
        pass
    [seconds] = [it.result(SECONDS) for it in closed]
    assert seconds > 2


class _Told(Exception):
    """The service is to stop."""


def _is_live(port: int) -> bool:
    try:
        return http_request("GET", f"http://127.0.0.1:{port}/livez").status_code == 200
    except httpx.TransportError:
        return False


def _seconds_until_closed(stack: Stack, since: float) -> float:
    while _is_live(stack.settings.gateway_port):
        time.sleep(0.05)
    return time.monotonic() - since


def test_connection_before_close(tmp_path: Path) -> None:
    """A connection that is made as the port is closed is answered."""
    with Service(tmp_path, drain_seconds=0.5, workers=1) as service:
        _stop(service)
        request = f"GET /api/v2{NO_CUSTOMER} HTTP/1.1\r\nhost: test\r\n\r\n".encode()
        answers = _connect_until_refused(service.settings.gateway_port, request, 12)
        assert {*answers} == {b"HTTP/1.1 401"}
        assert service.status() == 0


@of_envoy
def test_native_connection_before_close(tmp_path: Path) -> None:
    """A connection to the port of native gRPC that is made as it is closed is taken, too."""
    with Service(tmp_path, drain_seconds=0.5) as service:
        _stop(service)
        answers = _connect_until_refused(
            service.settings.grpc_port, PREFACE + settings(), FRAME_HEADER.size
        )
        assert {answer[3:4] for answer in answers} == {bytes([SETTINGS])}
        assert service.status() == 0


def _connect_until_refused(port: int, request: bytes, size: int) -> list[bytes]:
    """Makes connections to a port until it is closed; returns the beginning of each answer."""
    sockets: list[socket.socket] = []
    with suppress(ConnectionRefusedError):
        while True:
            sockets.append(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))
            sockets[-1].sendall(request)
            time.sleep(0.001)
    answers = []
    for each in sockets:
        with closing(each):
            answers.append(each.recv(size))
    return answers


def test_wait_for_changes(tmp_path: Path) -> None:
    """A request that waits for changes is answered when the service stops, and delays it not."""
    with Service(tmp_path, workers=1) as service, service.http("acme") as http:

        def ask() -> httpx.Response:
            query = {"fromNow": "true", "waitSeconds": "30"}
            return http.get("/customers/changes", params=query, timeout=SECONDS)

        [asked] = in_background([ask])
        wait_until(lambda: service.requests() == 1)
        began = _stop(service)
        assert service.status() == 0
        assert time.monotonic() - began < 20
        assert asked.result(SECONDS).status_code == 200


@pytest.mark.parametrize("names", [["public"], ["large_bodies"], [*ENVOYS]], ids="+".join)
def test_envoys_that_hang_at_stop(tmp_path: Path, names: list[str]) -> None:
    """Envoys that hang do not delay a stop beyond the time after which systemd kills."""
    with Service(tmp_path, workers=1, grace_seconds=5) as service:
        children = service.children()
        for name in names:
            service.envoy(name).suspend()
        began = _stop(service)
        assert service.status() == 0
        assert time.monotonic() - began < 2 * 5 + 10
        assert not [child for child in children if child.is_running()]


def test_envoys_killed_at_start(tmp_path: Path) -> None:
    """Envoys that are killed before the service is ready are started again."""
    with closing(Service(tmp_path, workers=1)) as service:
        wait_until(lambda: all(_runs(service, name) for name in ENVOYS))
        for name in ENVOYS:
            service.envoy(name).kill()
        service.wait_ready()
        with service.http("acme") as http:
            assert http.post("/upload-customers", json=[]).status_code == 201
        assert len(service.restarts()) == len(ENVOYS)


def test_envoy_killed_at_stop(tmp_path: Path) -> None:
    """An Envoy that is killed while the service drains is started again, and is not healthy."""
    with Service(tmp_path, drain_seconds=300, workers=1) as service:
        _stop(service)
        wait_until(lambda: _health(service)[0] == 503)
        for number, name in enumerate(ENVOYS, 1):
            service.envoy(name).kill()
            wait_until(lambda: len(service.restarts()) == number)  # noqa: B023 - waited for here
            wait_until(lambda: _serves(service))
            wait_until(lambda: _health(service)[0] == 503)


def test_worker_killed_at_stop(tmp_path: Path) -> None:
    """A worker that is killed while the service drains is started again."""
    with Service(tmp_path, drain_seconds=300, workers=1) as service:
        _stop(service)
        [worker] = service.workers().values()
        worker.kill()
        wait_until(lambda: bool({*service.workers()} - {worker.pid}))
        wait_until(lambda: _serves(service))


def test_envoy_killed_while_requests_end(tmp_path: Path) -> None:
    """An Envoy that is killed when it takes no more connections is not started again."""
    with Service(tmp_path, workers=1) as service, service.http("acme") as http:
        [worker] = service.workers().values()
        worker.suspend()
        [asked] = in_background([lambda: http.get(NO_CUSTOMER)])
        wait_until(lambda: service.requests() == 1)
        _stop(service)
        wait_until(lambda: not _listens(service))
        service.envoy("public").kill()
        assert isinstance(asked.exception(SECONDS), httpx.TransportError)
        worker.resume()
        assert service.status() == 0
        assert service.restarts() == []


def test_health_at_limit_of_calls(tmp_path: Path) -> None:
    """A worker with all the calls that it may have refuses others, and is not taken for dead."""
    with Service(tmp_path, workers=1, max_concurrent_rpcs=1) as service:
        end = time.monotonic() + 3

        def ask() -> list[httpx.Response]:
            with service.http("acme") as http:
                answers = []
                while time.monotonic() < end:
                    answers.append(http.get(NO_CUSTOMER))
                return answers

        asking = in_background([ask] * 8)
        while time.monotonic() < end:
            assert _health(service) == (200, SERVING)
        answers = [answer for it in asking for answer in it.result(SECONDS)]
        refused = [answer for answer in answers if answer.status_code != 204]
        assert all(error_of(it) == Error(429, 8, "RATE_LIMITED", []) for it in refused)
        assert 0 < len(refused) < len(answers)


def _stop(service: Service) -> float:
    """Tells a service to stop, and returns when."""
    service.process.send_signal(signal.SIGTERM)
    return time.monotonic()


def _health(service: Service) -> tuple[int, int]:
    """What both ports say: the status of the gateway, and that of native gRPC."""
    url = f"http://127.0.0.1:{service.settings.gateway_port}/healthz"
    with service.native() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        native = stub.Check(health_pb2.HealthCheckRequest(), SECONDS).status
    try:
        return http_request("GET", url).status_code, native
    except httpx.TransportError:
        return 0, native


def _serves(service: Service) -> bool:
    """Tells whether a call is answered that needs both Envoys, and a worker."""
    try:
        with service.http("acme") as http:
            return http.post("/upload-customers", json=[]).status_code == 201
    except httpx.TransportError:
        return False


def _listens(service: Service) -> bool:
    try:
        port = service.settings.gateway_port
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True


def _runs(service: Service, name: str) -> bool:
    try:
        return service.envoy(name).is_running()
    except ValueError:
        return False
