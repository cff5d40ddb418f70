"""The server inside Envoy: a cross-section of what the other suites test, and what is its own.

With SERVE=inprocess all of the suites run on it.
"""

import importlib.util
import os
import queue
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.gateway.service import Service
from tests.gateway.stacks import http_headers
from tests.support.builders import NO_CUSTOMER, UNKNOWN_ID, customer
from tests.support.client import SECONDS, Client, as_tenant
from tests.support.http2 import Http2
from tests.support.http_client import http_client
from tests.support.import_stream import Batch, batch, outcomes
from tests.support.inside_envoy import ServerInsideEnvoy
from tests.support.server_process import wait_until
from twc_customer_gateway import python_in_envoy
from twc_customer_gateway.python_in_envoy import UnsuitablePythonError
from twc_customer_server.contract import MAX_BATCH_BYTES, MAX_WAIT_SECONDS

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pyvoy") is None and os.environ.get("CI") != "true",
    reason="pyvoy is not installed: make .venv/inprocess",
)


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInsideEnvoy]:
    """A service of two Envoys with the server inside."""
    folder = tmp_path_factory.mktemp("inprocess")
    with ServerInsideEnvoy(data_dir=folder, workers=2) as server:
        yield server


@pytest.fixture
def native(inside: ServerInsideEnvoy, tenant: str) -> Client:
    """A client on the native port."""
    return Client(inside.channel, tenant)


@pytest.fixture
def rest(inside: ServerInsideEnvoy, tenant: str) -> Iterator[httpx.Client]:
    """A REST client; paths are relative to `/api/v2`."""
    base = f"http://{inside.stack.settings.gateway_address}/api/v2"
    with http_client(base_url=base, headers=http_headers(tenant)) as client:
        yield client


def _raw(inside: ServerInsideEnvoy, method: str) -> Any:
    """A unary call of an RPC with encoded messages."""
    return inside.channel.unary_unary(f"/twc.customer.v2.CustomerService/{method}")


def test_rest_and_native(rest: httpx.Client, native: Client) -> None:
    """What REST writes native gRPC reads, with the same tag, and a missing customer is blank."""
    created = rest.post("/customers", json={"email": "ada@example.com"})
    assert created.status_code == 201
    assert created.headers["location"] == f"customers/{created.json()['id']}"

    assert native.get(created.json()["id"]).email == "ada@example.com"
    read = rest.get(f"/customers/{created.json()['id']}")
    assert read.headers["etag"] == created.headers["etag"]
    tag = {"if-none-match": read.headers["etag"]}
    assert rest.get(f"/customers/{created.json()['id']}", headers=tag).status_code == 304
    assert rest.get(f"/customers/{UNKNOWN_ID}").status_code == 204


def test_error_with_details(rest: httpx.Client, inside: ServerInsideEnvoy, tenant: str) -> None:
    """Errors have their details by both ways, whoever makes them."""
    refused = rest.post("/customers", json={"email": "nobody"})
    assert (refused.status_code, refused.json()["code"]) == (400, 3)
    assert refused.json()["details"][1]["fieldViolations"][0]["field"] == "email"

    assert rest.get("/nowhere").json()["details"][0]["reason"] == "ROUTE_NOT_FOUND"
    with pytest.raises(grpc.RpcError) as error:
        _raw(inside, "GetCustomer")(b"\xff", metadata=as_tenant(tenant), timeout=SECONDS)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert rpc_status.from_call(cast("Any", error.value)).details


def test_streams(native: Client) -> None:
    """An upload is collected, and an export yields all of it."""
    customers = [customer(email=f"c{number}@example.com") for number in range(300)]
    assert len(native.upload(customers)) == len(customers)
    assert sum(len(response.customers) for response in native.export()) == len(customers)


def test_end_of_waiting_stream(inside: ServerInsideEnvoy, tenant: str) -> None:
    """A stream that waits for changes ends when its client cancels it, and frees its place."""
    stub: Any = CustomerServiceStub(inside.channel)
    metadata = as_tenant(tenant)
    # As many as a tenant may have at a time, of a server.
    for _ in range(12):
        watch = stub.WatchCustomers(pb.WatchCustomersRequest(), metadata=metadata)
        assert watch.initial_metadata() is not None
        watch.cancel()

    def is_free() -> bool:
        watch = stub.WatchCustomers(pb.WatchCustomersRequest(), metadata=metadata, timeout=0.5)
        with pytest.raises(grpc.RpcError) as error:
            next(watch)
        return bool(error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED)

    wait_until(is_free)


def test_end_of_waiting_call(inside: ServerInsideEnvoy, tenant: str) -> None:
    """Calls that wait for changes end when their client cancels them, and free their places."""
    stub: Any = CustomerServiceStub(inside.channel)
    request = pb.ListCustomerChangesRequest(from_now=True, wait_seconds=MAX_WAIT_SECONDS)
    begin = partial(stub.ListCustomerChanges.future, request, SECONDS, as_tenant(tenant))
    ask = pb.ListCustomerChangesRequest(from_now=True)
    # One more than a tenant may have at a time, of a server.
    waiting = [begin() for _ in range(17)]
    wait_until(lambda: any(call.done() for call in waiting))
    for call in waiting:
        call.cancel()
    began = time.monotonic()

    def is_free() -> bool:
        try:
            stub.ListCustomerChanges(ask, SECONDS, as_tenant(tenant))
        except grpc.RpcError:
            return False
        return True

    wait_until(is_free)
    assert time.monotonic() - began < MAX_WAIT_SECONDS


def test_deadline(inside: ServerInsideEnvoy, tenant: str) -> None:
    """A call ends at the deadline that its client has given."""
    stub: Any = CustomerServiceStub(inside.channel)
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as error:
        stub.ListCustomerChanges(
            pb.ListCustomerChangesRequest(wait_seconds=20),
            metadata=as_tenant(tenant),
            timeout=0.5,
        )
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < SECONDS


def test_compressed_message(inside: ServerInsideEnvoy, tenant: str) -> None:
    """A message that is compressed by gzip is read."""
    stub: Any = CustomerServiceStub(inside.channel)
    created = stub.CreateCustomer(
        pb.CreateCustomerRequest(customer=customer(email="zip@example.com", first_name="x" * 900)),
        metadata=as_tenant(tenant),
        compression=grpc.Compression.Gzip,
        timeout=SECONDS,
    )
    assert created.email == "zip@example.com"


def test_call_without_te(inside: ServerInsideEnvoy, tenant: str) -> None:
    """A call that does not say that it takes trailers is refused, since it would get no status."""
    with Http2(inside.address) as connection:
        stream = connection.begin(
            "/twc.customer.v2.CustomerService/GetCustomer", as_tenant(tenant), takes_trailers=False
        )
        connection.send(stream, b"")
        assert connection.end() == (stream, grpc.StatusCode.INTERNAL.value[0])


def test_large_message(inside: ServerInsideEnvoy, tenant: str) -> None:
    """A message that is larger than any may be is refused, and other calls go on."""
    create = _raw(inside, "CreateCustomer")
    with pytest.raises(grpc.RpcError) as error:
        create(bytes(MAX_BATCH_BYTES + (1 << 21)), metadata=as_tenant(tenant), timeout=SECONDS)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert inside.client(tenant).get(UNKNOWN_ID).email == ""


def test_reflection(inside: ServerInsideEnvoy) -> None:
    """Reflection lists the service."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(inside.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [answer] = stub.ServerReflectionInfo(iter([request]), timeout=SECONDS)
    listed = {service.name for service in answer.list_services_response.service}
    assert "twc.customer.v2.CustomerService" in listed


def test_many_health_checks(inside: ServerInsideEnvoy) -> None:
    """As many checks of health as may be at once are all answered."""
    stub: Any = health_pb2_grpc.HealthStub(inside.channel)
    checks = [stub.Check.future(health_pb2.HealthCheckRequest(), SECONDS) for _ in range(16)]
    told = {check.result(SECONDS).status for check in checks}
    assert told == {health_pb2.HealthCheckResponse.SERVING}


def test_lost_process(inside: ServerInsideEnvoy) -> None:
    """While one process is lost the other serves, and the lost one is restarted."""
    stack = inside.stack
    first = stack._servers[0]  # noqa: SLF001 - to kill it
    first.kill()
    wait_until(lambda: not first.is_running)
    for _ in range(5):
        with grpc.insecure_channel(inside.address) as channel:
            assert Client(channel, "other").get(UNKNOWN_ID).email == ""

    def is_back() -> bool:
        stack.restart_ended()
        return first.is_running

    wait_until(is_back)


def test_end_of_one_process(tmp_path: Path) -> None:
    """A process that is to end lets its call end; what comes meanwhile goes to the other one."""
    batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
    batches.put(batch(customer()))
    with (
        Service(tmp_path, serve="inprocess", grace_seconds=300) as service,
        service.native() as channel,
    ):
        client = Client(channel, "acme")
        running = client.import_(iter(batches.get, None))
        assert outcomes(next(running)) == ["created"]
        client.given(x_request_id="before").get(UNKNOWN_ID)
        wait_until(lambda: bool(service.served("before")))
        [ending] = [psutil.Process(pid) for pid in service.served("before")]
        listening = _listeners(ending)
        ending.terminate()
        wait_until(lambda: _listeners(ending) < listening)
        for _ in range(10):
            with service.http("acme", "meanwhile") as http:
                assert http.get(NO_CUSTOMER).status_code == 204
            batches.put(batch(customer()))
            assert outcomes(next(running)) == ["created"]
        batches.put(None)
        assert list(running) == []
        wait_until(lambda: not ending.is_running())
        wait_until(lambda: len(service.servers()) == 2)
        assert ending.pid not in service.served("meanwhile")
        assert len(service.restarts()) == 1


def _listeners(process: psutil.Process) -> int:
    """The number of ports that a process listens on."""
    states = [it.status for it in process.net_connections()]
    return states.count(psutil.CONN_LISTEN)


def test_python_without_shared_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that cannot run inside Envoy is refused by name, with what would help."""
    monkeypatch.setattr("find_libpython.find_libpython", lambda: None)
    with pytest.raises(UnsuitablePythonError, match=r"libpython3\.\d+\.so.*--enable-shared"):
        python_in_envoy.environment()


def test_missing_pyvoy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start without pyvoy says what is missing, and how to install it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UnsuitablePythonError, match=r"pyvoy 1\.3\.0.*make \.venv/inprocess"):
        python_in_envoy.environment()
