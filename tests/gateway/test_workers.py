"""Several workers behind one gateway: how they share the work, start and stop."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.gateway.service import Service
from tests.support.builders import NO_CUSTOMER, UNKNOWN_ID
from tests.support.client import SECONDS
from tests.support.client import as_tenant as caller
from tests.support.damage import spoil_customers
from tests.support.ports import held_port
from tests.support.server_process import wait_until
from tests.support.servers import of_workers
from twc_customer_server.auth.development import DevelopmentIssuer
from twc_customer_server.storage.database import shut_down_after
from twc_customer_server.storage.sqlite import Sqlite


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service for the tests that leave its workers alone."""
    with Service(tmp_path_factory.mktemp("workers")) as service:
        yield service


def _is_suspended(worker: psutil.Process) -> bool:
    """Suspends a worker, unless others would wait for the turn to write that it has."""
    worker.suspend()
    has_turn = f" {worker.pid} " in Path("/proc/locks").read_text()
    if has_turn:
        worker.resume()
    return not has_turn


def test_readiness_of_all_workers(tmp_path: Path) -> None:
    """A service is not ready before every worker serves."""
    with closing(Service(tmp_path)) as service:
        wait_until(lambda: bool(service.workers()))
        late = next(iter(service.workers().values()))
        wait_until(lambda: _is_suspended(late))
        wait_until(lambda: sum(_serves(it) for it in service.workers().values() if it != late) == 1)

        with pytest.raises(subprocess.TimeoutExpired):
            service.process.wait(3)
        assert "is ready" not in service.output()

        late.resume()
        service.wait_ready()
        with service.http("acme") as http:
            assert http.get(NO_CUSTOMER).status_code == 204


def test_cores(tmp_path: Path) -> None:
    """Each worker keeps to one core, in turn, if there is a worker for every core."""
    cores = sorted(os.sched_getaffinity(0))
    with Service(tmp_path, workers=len(cores) + 1) as service:
        kept = [it.cpu_affinity() for it in service.workers().values()]
    assert sorted(kept) == sorted([core] for core in (*cores, cores[0]))


def test_unpinned_workers(tmp_path: Path) -> None:
    """Workers choose their cores if they are told to."""
    cores = os.sched_getaffinity(0)
    with Service(tmp_path, workers=len(cores), pin_workers=False) as service:
        kept = [{*it.cpu_affinity()} for it in service.workers().values()]
    assert kept == [cores] * len(cores)


def test_spread_of_calls(service: Service, tenant: str) -> None:
    """Calls through the gateway are spread over all workers."""
    with service.http(tenant, "spread") as http:

        def is_spread() -> bool:
            assert http.get(NO_CUSTOMER).status_code == 204
            return service.served("spread") == {*service.workers()}

        wait_until(is_spread)
    assert len(service.workers()) == 2


def test_spread_of_native_connections(service: Service, tenant: str) -> None:
    """Connections to the native port are spread over all workers."""
    metadata = (*caller(tenant), ("x-request-id", "native"))

    def is_spread() -> bool:
        with service.native() as channel:
            stub = CustomerServiceStub(channel)
            stub.GetCustomer(pb.GetCustomerRequest(id=UNKNOWN_ID), SECONDS, metadata)
        return service.served("native") == {*service.workers()}

    wait_until(is_spread)


def test_create_same_at_once(service: Service, tenant: str) -> None:
    """Of customers created at once with one e-mail address by several workers, one is."""
    with service.http(tenant, "rush") as http, ThreadPoolExecutor(16) as threads:

        def create(number: int) -> httpx.Response:
            email = "rush@example.com" if number % 2 else "RUSH@example.com"
            return http.post("/customers", json={"email": email})

        answers = list(threads.map(create, range(64)))
    [created] = [answer.json() for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code == 409]

    assert len(refused) == len(answers) - 1
    owners = [answer.json()["details"][0]["metadata"] for answer in refused]
    assert owners == [{"email": created["id"]}] * len(refused)
    wait_until(lambda: len(service.served("rush")) > 1)


def test_development(tmp_path: Path) -> None:
    """Workers that start on an empty folder all believe the tokens of development."""
    with Service(tmp_path, development=True) as service:
        issuer = DevelopmentIssuer(service.settings.development_folder)
        token = issuer.token("acme", service.settings.audience, service.settings.tenant_claim)
        with service.http("acme", "token") as http:
            http.headers["authorization"] = f"Bearer {token}"

            def all_believe() -> bool:
                assert http.get(NO_CUSTOMER).status_code == 204
                return service.served("token") == {*service.workers()}

            wait_until(all_believe)


@of_workers
def test_no_metrics_by_default(service: Service) -> None:
    """A service that is not told to serves no metrics: it listens on its two ports alone."""
    listening = {
        each.laddr.port
        for process in [psutil.Process(service.process.pid), *service.children()]
        for each in process.net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN
    }
    assert listening == {service.settings.gateway_port, service.settings.grpc_port}
    assert len(service.children()) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_port_of_several_workers(service: Service, tmp_path: Path, workers: int) -> None:
    """A port that another service's workers share is refused as taken, and they serve on."""
    _assert_refused(service, tmp_path / "other", workers)
    assert len(service.workers()) == 2


def test_port_of_one_worker(tmp_path: Path) -> None:
    """A port that another service's only worker has is refused as taken, and that serves on."""
    with Service(tmp_path, workers=1) as service:
        _assert_refused(service, tmp_path / "other", 2)
        assert len(service.workers()) == 1


def _assert_refused(service: Service, folder: Path, workers: int) -> None:
    """Asserts that a second service does not get the native port of one, which answers calls."""
    port = service.settings.grpc_port
    other = Service(folder, workers=workers, grpc_port=port)

    assert other.status() == 1
    refusal = f"cannot listen on 127.0.0.1:{port}: is something else listening there?"
    assert refusal in other.output()
    assert "Traceback" not in other.output()
    with service.native() as channel:
        request = pb.GetCustomerRequest(id=UNKNOWN_ID)
        CustomerServiceStub(channel).GetCustomer(request, SECONDS, caller("acme"))


def test_failed_start_of_worker(tmp_path: Path) -> None:
    """A worker that ends before the service was ready ends the service, with the reason."""
    path = tmp_path / "data" / "customers.db"
    path.mkdir(parents=True)
    service = Service(tmp_path, workers=1)

    assert service.status() == 1
    assert str(path) in service.output()
    assert "exited with status 1" in service.output()
    assert "Traceback" not in service.output()


@of_workers
def test_unsound_database(tmp_path: Path) -> None:
    """A file that is no database ends the service with one line that says so, and no restart."""
    path = tmp_path / "data" / "customers.db"
    path.parent.mkdir()
    path.write_text("no database")
    service = Service(tmp_path, workers=1)

    assert service.status() == 1
    reason, end = (line for line in service.output().splitlines() if not line.startswith("{"))
    assert reason.startswith(f"{path} is not a SQLite database")
    assert reason.endswith("python -m twc_customer_server restore FILE")
    assert end == "The Customer API stopped: server-1 exited with status 1"


def test_damaged_database(tmp_path: Path) -> None:
    """Damage that calls come upon is 500 by REST, without Retry-After, and workers go on."""
    path = tmp_path / "data" / "customers.db"
    path.parent.mkdir()
    with shut_down_after(Sqlite(path)) as database:
        database.prepare()
    spoil_customers(path)
    with Service(tmp_path, workers=1) as service, service.http("acme") as http:
        answers = [
            http.get(f"/customers/{UNKNOWN_ID}"),
            http.post("/customers", json={"email": "ada@example.com"}),
        ]
        assert [it.status_code for it in answers] == [500] * 2
        assert [it.json()["details"][0]["reason"] for it in answers] == ["DATABASE_DAMAGED"] * 2
        assert not any("retry-after" in it.headers for it in answers)
        assert service.restarts() == []


def test_killed_envoys(tmp_path: Path) -> None:
    """An Envoy that ends is started again, and serves on the same port."""
    with Service(tmp_path, workers=1) as service, service.http("acme", "back") as http:

        def is_back() -> bool:
            try:
                return http.post("/upload-customers", json=[]).status_code == 201
            except httpx.TransportError:
                return False

        said = []
        for name in ("public", "large_bodies"):
            service.envoy(name).kill()
            said.append(f"envoy-{name} was killed by SIGKILL; restarting it in 0.5 s")
            wait_until(lambda: len(service.restarts()) == len(said))
            wait_until(is_back)
            assert service.restarts() == said


@of_workers
def test_stop_of_all_workers(tmp_path: Path) -> None:
    """Workers stop after DRAIN_SECONDS, and nothing is left of them."""
    drain = 3
    with held_port() as port:
        with Service(tmp_path, drain_seconds=drain, grpc_port=port) as service:
            children = service.children()
            began = time.monotonic()
            service.process.send_signal(signal.SIGTERM)

            assert service.status() == 0
        assert time.monotonic() - began >= drain
        assert len(children) == 4
        assert not [child for child in children if child.is_running()]
        with socket.create_server(("127.0.0.1", port), reuse_port=False):
            pass


def test_children_of_killed_supervisor(tmp_path: Path) -> None:
    """When the supervisor is killed all others end: a worker that it restarted, a hung Envoy."""
    with Service(tmp_path) as service:
        before = service.workers()
        before[min(before)].kill()
        wait_until(lambda: len({*service.workers()} - {*before}) == 1)
        children = service.children()
        service.envoy("public").suspend()

        service.process.kill()
        service.process.wait()

        assert len(children) == 4
        _, alive = psutil.wait_procs(children, timeout=SECONDS)
        assert not alive


def _serves(worker: psutil.Process) -> bool:
    [address] = [argument for argument in worker.cmdline() if argument.startswith("unix:")]
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
