"""What clients see while the server is away, slow or overrun."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import psutil
import pytest

from tests.gateway.errors import Error, error_of
from tests.gateway.stacks import StackFactory, http_headers, running
from tests.support.backends import Backend, each_backend
from tests.support.builders import NO_CUSTOMER
from tests.support.concurrency import at_once
from tests.support.http_client import http_client
from tests.support.server_process import wait_until
from tests.support.servers import Server, of_workers
from twc_customer_gateway.config import ENVOYS, LARGE_BODIES, PUBLIC
from twc_customer_gateway.routes import LARGE_BODIES_CLUSTER
from twc_customer_gateway.supervisor import envoy_admin, envoy_process
from twc_customer_gateway.supervisor.stack import Stack

UNAVAILABLE = Error(503, 14, "SERVICE_UNAVAILABLE", [])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service whose processes tests stop and kill."""
    with running({"data_dir": tmp_path_factory.mktemp("data")}) as stack:
        yield stack


@pytest.fixture
def whole(service: Stack) -> Iterator[Stack]:
    """That service, with all of its processes, which it has again for the next test."""
    yield service

    def is_whole() -> bool:
        service.restart_ended()
        return _serves(http) and _takes_large_bodies(http)

    with _client(service) as http:
        wait_until(is_whole)


@of_workers
def test_frozen_server(whole: Stack) -> None:
    """A server that hangs is 504 for who waits and 503 for who comes; it recovers by itself."""
    with _client(whole) as http:
        server = _server_of(whole)
        os.kill(server, signal.SIGSTOP)
        try:
            waiting = http.get(NO_CUSTOMER)
            coming = http.get(NO_CUSTOMER)
        finally:
            os.kill(server, signal.SIGCONT)

        assert error_of(waiting) == Error(504, 4, "DEADLINE_EXCEEDED", [])
        assert error_of(coming) == UNAVAILABLE
        wait_until(lambda: http.get(NO_CUSTOMER).status_code == 204)


def test_hung_envoy(whole: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Envoy that hangs is killed after a time, and another serves in its place."""
    monkeypatch.setattr(envoy_process, "HUNG_SECONDS", 1)
    with _client(whole) as http:
        hung = _envoy_of(whole)
        os.kill(hung, signal.SIGSTOP)

        def is_replaced() -> bool:
            whole.restart_ended()
            return _envoy_of(whole) not in (hung, 0)

        wait_until(is_replaced)
        wait_until(lambda: _serves(http))


def test_killed_reader_of_large_bodies(whole: Stack) -> None:
    """Of a write with a large body it is not known what became of it when its reader ends."""
    with _client(whole) as http, ThreadPoolExecutor() as pool:
        [_, command] = whole.settings.envoy_commands
        admin = whole.settings.admin_sockets[0]
        passed_on = f"cluster.{LARGE_BODIES_CLUSTER}.upstream_rq_active"
        reader = next(it for it in psutil.Process().children() if it.cmdline() == command)
        body = {"email": "ada@example.com", "tax_exemptions": ["x" * 1000] * 10}
        reader.suspend()
        answer = pool.submit(http.post, "/customers", json=body)
        wait_until(lambda: bool(envoy_admin.stat(admin, passed_on)))
        reader.kill()

        assert error_of(answer.result()) == Error(500, 2, "OUTCOME_UNKNOWN", [])


@each_backend
def test_locked_database(
    start_stack: StackFactory, backend: Backend, own_database: dict[str, Any]
) -> None:
    """While another program holds the database, reads go on and writes are refused, not lost."""
    with start_stack() as stack, _client(stack) as http:
        created = http.post("/customers", json={"email": "ada@example.com"}).json()
        with backend.held(own_database):
            refused = http.post("/customers", json={"email": "bob@example.com"})
            read = http.get(f"/customers/{created['id']}")

        assert error_of(refused) == UNAVAILABLE
        assert read.json() == created
        assert http.post("/customers", json={"email": "bob@example.com"}).status_code == 201


@of_workers
def test_killed_server(whole: Stack) -> None:
    """With the server gone, callers get 503 and nothing of the inside, until it is back."""
    with _client(whole) as http:
        os.kill(_server_of(whole), signal.SIGKILL)
        wait_until(lambda: http.get(NO_CUSTOMER).status_code == 503)
        refused = http.get(NO_CUSTOMER)

        assert error_of(refused) == UNAVAILABLE
        assert refused.json()["message"] == "the service cannot be reached now; try again"

        def is_back() -> bool:
            whole.restart_ended()
            return http.get(NO_CUSTOMER).status_code == 204

        wait_until(is_back)


def test_large_bodies_without_their_reader(whole: Stack) -> None:
    """With the Envoy of large bodies gone, those that come at once are 503, not too many."""
    connections = f"cluster.{LARGE_BODIES_CLUSTER}.upstream_cx_active"
    with _client(whole) as http:
        os.kill(_envoy_of(whole, LARGE_BODIES), signal.SIGKILL)
        wait_until(lambda: _envoy_of(whole, LARGE_BODIES) == 0)
        # What is sent on a connection that is not known to be gone may have run.
        wait_until(lambda: not envoy_admin.stat(whole.settings.admin_sockets[0], connections))
        refused = at_once([partial(http.post, "/upload-customers", json=[])] * 8)

        assert [error_of(it) for it in refused] == [UNAVAILABLE] * 8


def test_rate_limit(start_stack: StackFactory) -> None:
    """Beyond the rate limit the answer is 429, and says when to try again."""
    with start_stack(rate_limit=1) as stack, _client(stack) as http:
        answers = [http.get(NO_CUSTOMER) for _ in range(20)]

        refused = next(answer for answer in answers if answer.status_code != 204)
        assert error_of(refused) == Error(429, 8, "RATE_LIMITED", [])
        assert refused.headers["retry-after"] == "1"
        time.sleep(int(refused.headers["retry-after"]))
        assert http.get(NO_CUSTOMER).status_code == 204


def test_personal_data_in_access_log(
    start_stack: StackFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    """The logs tell tenant, RPC and outcome of a request, and no value that it carried."""
    with start_stack() as stack, _client(stack) as http:
        http.post("/customers", json={"email": "secret@example.com", "customerRef": "secret-ref"})
        http.get("/customers/search", params={"email": "secret@example.com"})
        http.get("/customers/secret-ref/ref")
        http.get("/customers/secret-ref/nothing?email=secret@example.com")
    log = capfd.readouterr().out

    assert '"route":"CreateCustomer"' in log
    assert '"tenant": "acme"' in log
    assert '"status":201' in log
    assert "secret" not in log


def test_forged_log(start_stack: StackFactory, capfd: pytest.CaptureFixture[str]) -> None:
    """No header of a client takes the place of what the log tells of its request."""
    forged = {
        "x-envoy-original-method": "canary",
        "x-envoy-original-path": "/canary",
        "x-envoy-decorator-operation": "canary",
        "x-forwarded-for": "canary",
        "x-request-id": "canary canary",
        "x-twc-tenant": "canary canary",
    }
    with start_stack() as stack, _client(stack) as http:
        assert http.get(NO_CUSTOMER, headers=forged).status_code == 400
        assert http.get(NO_CUSTOMER, headers={"x-envoy-internal": "true"}).status_code == 204
    log = capfd.readouterr().out

    assert log.count('"method":"GET"') == 2
    assert '"route":"GetCustomer"' in log
    # The request id is the client's, and printed as what it is.
    assert "canary" not in log.replace('"request_id":"canary canary"', "")


@pytest.mark.parametrize("workers", [1, 3])
def test_calls_during_stop(
    start_stack: StackFactory, own_database: dict[str, Any], workers: int
) -> None:
    """Requests that have begun when the service stops are answered, and what they said is true."""
    with ThreadPoolExecutor(8) as pool, start_stack(workers=workers) as stack:
        http = _client(stack)

        def create(number: int) -> tuple[str, int]:
            email = f"customer-{number}@example.com"
            try:
                return email, http.post("/customers", json={"email": email}).status_code
            except httpx.TransportError:
                return email, 0

        calls = [pool.submit(create, number) for number in range(2000)]
        wait_until(lambda: sum(call.done() for call in calls) > 200)
    answers = [call.result() for call in calls]
    created = {email for email, status in answers if status == 201}

    assert {status for _, status in answers} <= {201, 0}
    assert len(created) < len(answers)
    with Server(**own_database) as server:
        stored = {it.email for part in server.client("acme").export() for it in part.customers}
    assert created <= stored


def _client(stack: Stack) -> httpx.Client:
    origin = f"http://127.0.0.1:{stack.settings.gateway_port}/api/v2"
    return http_client(base_url=origin, headers=http_headers("acme"))


def _server_of(stack: Stack) -> int:
    native = f"{stack.settings.bind}:{stack.settings.grpc_port}"
    processes = psutil.Process().children(recursive=True)
    [server] = [it for it in processes if native in it.cmdline()]
    return server.pid


def _envoy_of(stack: Stack, name: str = PUBLIC) -> int:
    """The process of an Envoy; 0 while there is none."""
    command = stack.settings.envoy_commands[ENVOYS.index(name)]
    children = [it for it in psutil.Process().children() if it.status() != psutil.STATUS_ZOMBIE]
    return next((it.pid for it in children if it.cmdline() == command), 0)


def _serves(http: httpx.Client) -> bool:
    try:
        return http.get(NO_CUSTOMER).status_code == 204
    except httpx.TransportError:
        return False


def _takes_large_bodies(http: httpx.Client) -> bool:
    return http.post("/upload-customers", json=[]).status_code == 201
