"""One port with the metrics of all workers and of Envoy, whatever becomes of the workers."""

import queue
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import psutil
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.gateway.service import Service
from tests.support.builders import NO_CUSTOMER, customer
from tests.support.client import SECONDS
from tests.support.client import as_tenant as caller
from tests.support.ports import held_port
from tests.support.scraping import Scrape
from tests.support.server_process import wait_until
from tests.support.servers import of_workers
from tests.support.tokens import token_for
from twc_customer_gateway import metrics_exporter
from twc_customer_gateway.supervisor import envoy_admin

# The labels of the workers, as each Envoy has them.
SERVERS = [{"envoy": name, "envoy_cluster_name": "server"} for name in ("public", "large_bodies")]


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[Service, int]]:
    """A service with metrics, and the port of these."""
    with held_port() as port, Service(folder, metrics_port=port) as service:
        yield service, port


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, int]]:
    """A service, and the port of its metrics, for the tests that leave it as it was."""
    with _serving(tmp_path_factory.mktemp("metrics")) as serving:
        yield serving


@pytest.fixture
def whole(serving: tuple[Service, int], tenant: str) -> Iterator[tuple[Service, int]]:
    """The same for tests that kill workers, with others in their place for the next test."""
    yield serving
    service, port = serving
    name = "envoy_cluster_membership_healthy"

    def is_whole() -> bool:
        http.get(NO_CUSTOMER)
        workers = {*service.workers()}
        return len(workers) == 2 and service.served(f"after-{tenant}") == workers

    with service.http("acme", f"after-{tenant}") as http:
        wait_until(is_whole)
    wait_until(lambda: all(Scrape(port).value(name, **server) == 2 for server in SERVERS))


def _read_everywhere(service: Service, label: str) -> int:
    """Has every worker answer a GetCustomer, and tells how many were sent in all."""
    sent = 0
    with service.http("acme", label) as http:

        def is_everywhere() -> bool:
            nonlocal sent
            sent += 1
            assert http.get(NO_CUSTOMER).status_code == 204
            return service.served(label) == {*service.workers()}

        wait_until(is_everywhere)
    return sent


def _exporter(service: Service) -> psutil.Process:
    module = "twc_customer_gateway.metrics_exporter"
    [found] = [child for child in service.children() if module in child.cmdline()]
    return found


def test_sum_of_all_workers(serving: tuple[Service, int]) -> None:
    """The calls of all workers are counted together, exactly."""
    service, port = serving
    before = Scrape(port).calls("GetCustomer", "OK") or 0
    sent = _read_everywhere(service, "spread")

    assert sent >= 2
    assert Scrape(port).calls("GetCustomer", "OK") == before + sent


def test_restarted_worker(whole: tuple[Service, int]) -> None:
    """A worker that is killed, and the one in its place, lose no counts."""
    service, port = whole
    before = Scrape(port).calls("GetCustomer", "OK") or 0
    sent = _read_everywhere(service, "before")
    worker = next(iter(service.workers().values()))
    worker.kill()
    worker.wait(SECONDS)
    assert Scrape(port).calls("GetCustomer", "OK") == before + sent

    wait_until(lambda: len(service.workers()) == 2)
    sent += _read_everywhere(service, "after")
    assert Scrape(port).calls("GetCustomer", "OK") == before + sent


@of_workers
def test_stream_of_killed_worker(whole: tuple[Service, int]) -> None:
    """A stream is in progress in whatever worker it is, until that is killed."""
    batches: queue.Queue[pb.ImportCustomersRequest] = queue.Queue()
    batches.put(pb.ImportCustomersRequest(items=[pb.ImportItem(customer=customer())]))
    service, port = whole
    with service.native() as channel:
        stub = CustomerServiceStub(channel)
        call = stub.ImportCustomers(iter(batches.get, None), SECONDS, caller("acme"))
        next(call)
        assert Scrape(port).in_progress("ImportCustomers") == 1

        for worker in service.workers().values():
            worker.kill()

        wait_until(lambda: Scrape(port).in_progress("ImportCustomers") == 0)
        with pytest.raises(grpc.RpcError):
            next(call)


@of_workers
def test_envoys(serving: tuple[Service, int]) -> None:
    """What both Envoys count of clients and workers comes along, apart, as one valid text."""
    notes = {"notes": {"attributes": {"text": {"attribute_value": "x" * 12_000}}}}
    service, port = serving
    before = Scrape(port)
    with service.http("acme") as http:
        assert http.get(NO_CUSTOMER).status_code == 204
        assert http.get("/nowhere").status_code == 404
        large = http.post("/customers", json={"email": "a@example.com", "attributeGroups": notes})
        assert large.status_code in {201, 400}
    scrape = Scrape(port)

    def counted(name: str, **labels: str) -> float:
        return (scrape.value(name, **labels) or 0) - (before.value(name, **labels) or 0)

    public, large_bodies = (
        {"envoy": name, "envoy_http_conn_manager_prefix": name}
        for name in ("public", "large_bodies")
    )
    classes = [{**public, "envoy_response_code_class": each} for each in ("2", "4", "5")]
    # The parser gives all counters names that end so.
    answered = [counted("envoy_http_downstream_rq_xx_total", **each) for each in classes]
    assert sum(answered) == 3
    assert counted("envoy_http_downstream_rq_total", **public) == 3
    assert counted("envoy_http_downstream_rq_total", **large_bodies) == 1
    for server in SERVERS:
        assert counted("envoy_cluster_upstream_rq_total", **server) >= 1
        assert scrape.value("envoy_cluster_membership_healthy", **server) == 2
    assert scrape.value("twc_customer_build_info", version="2.0.0") == 1
    types = [line.split()[2] for line in scrape.text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len({*types})
    samples = [line.split(" ")[0] for line in scrape.text.splitlines() if not line.startswith("#")]
    assert len(samples) == len({*samples})
    assert '"admin"' not in scrape.text


def test_without_envoy(tmp_path: Path) -> None:
    """While Envoy does not answer there are no metrics of it, and no error."""
    assert metrics_exporter.envoy_metrics([str(tmp_path / "nothing.sock")]) == b""


def test_hung_envoy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Envoys that hang are waited for no longer than a scraper waits, and are no error either."""
    assert envoy_admin.TIMEOUT_SECONDS < 10
    monkeypatch.setattr(envoy_admin, "TIMEOUT_SECONDS", 0.5)
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / "admin.sock"))
        hung.listen()

        began = time.monotonic()
        assert metrics_exporter.envoy_metrics([str(tmp_path / "admin.sock")] * 8) == b""
        assert time.monotonic() - began < 8 * 0.5


def test_hung_worker(serving: tuple[Service, int]) -> None:
    """A worker that hangs keeps no scrape waiting, and its counts are there."""
    service, port = serving
    before = Scrape(port).calls("GetCustomer", "OK") or 0
    sent = _read_everywhere(service, "hung")
    for worker in service.workers().values():
        worker.suspend()
    try:
        assert Scrape(port).calls("GetCustomer", "OK") == before + sent
    finally:
        for worker in service.workers().values():
            worker.resume()


def test_restarted_exporter(serving: tuple[Service, int]) -> None:
    """An exporter that ends is restarted, and calls in the meantime are counted."""
    service, port = serving
    before = Scrape(port).calls("GetCustomer", "OK") or 0
    sent = _read_everywhere(service, "restart")
    _exporter(service).kill()
    with service.http("acme") as http:
        assert http.get(NO_CUSTOMER).status_code == 204

    # The port stays open: a scrape in the meantime waits for the next process.
    assert Scrape(port).calls("GetCustomer", "OK") == before + sent + 1
    exporter = [line for line in service.restarts() if line.startswith("metrics-exporter")]
    assert exporter == ["metrics-exporter was killed by SIGKILL; restarting it in 0.5 s"]


def test_personal_data(serving: tuple[Service, int]) -> None:
    """No value of a request, nor who made it, is in the metrics of workers or Envoy."""
    service, port = serving
    with service.http("tenant-canary", "request-canary") as http:
        created = http.post("/customers", json={"email": "canary@example.com"}).json()
        found = http.get("/customers/search", params={"email": "canary@example.com"}).json()
        assert found == [created]
        http.get("/customers/canary/ref")
        http.get("/canary?canary=canary")
        http.get(NO_CUSTOMER, headers={"authorization": "Bearer canary"})
        http.get(NO_CUSTOMER, headers={"user-agent": "canary", "x-twc-tenant": "canary"})
    said = Scrape(port).text

    assert 'grpc_method="CreateCustomer"' in said
    assert "canary" not in said
    assert created["id"] not in said
    assert token_for("tenant-canary") not in said


def test_other_ports(serving: tuple[Service, int]) -> None:
    """Neither the gateway's port nor the native one has the metrics."""
    service, port = serving
    public = f"http://127.0.0.1:{service.settings.gateway_port}/metrics"
    assert httpx.get(public).status_code == 404
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{service.settings.native_address}/metrics")
    Scrape(port)


@of_workers
def test_exporter_of_stopped_service(tmp_path: Path) -> None:
    """When the service is told to end, so does what serves its metrics."""
    with _serving(tmp_path) as (service, port):
        Scrape(port)
        children = service.children()
        service.process.terminate()

        assert service.status() == 0
    assert len(children) == 5
    assert not [child for child in children if child.is_running()]
    with socket.create_server(("127.0.0.1", port), reuse_port=False):
        pass


def test_exporter_of_killed_supervisor(tmp_path: Path) -> None:
    """When the supervisor is killed outright, what serves the metrics ends as well."""
    with _serving(tmp_path) as (service, _):
        exporter = _exporter(service)
        service.process.kill()

        _, alive = psutil.wait_procs([exporter], timeout=SECONDS)
        assert not alive


def test_taken_port(tmp_path: Path) -> None:
    """A port of metrics that is taken is said in a sentence, and nothing stays running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = Service(tmp_path, metrics_port=port)

        assert service.status() == 1
    said = f"cannot listen on 127.0.0.1:{port}: is something else listening there?"
    assert f"The Customer API stopped: {said}" in service.output()
    assert "Traceback" not in service.output()
