"""The server as a process: how it starts, what it tells of itself, and how it ends."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Attribute, AttributeGroup, Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.support.backends import any_backend
from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import SECONDS, SERVICE, Client, as_tenant, failure
from tests.support.ports import held_port
from tests.support.server_process import ServerProcess, Start, run, wait_until
from tests.support.servers import Server

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# Each signal on one kind of database.
STOPPING = pytest.mark.parametrize(
    ("backend", "number"),
    [("sqlite", signal.SIGINT), ("postgresql", signal.SIGTERM)],
    indirect=["backend"],
)


@any_backend
@pytest.mark.parametrize("service", ["", SERVICE.full_name])
def test_health(channel: grpc.Channel, service: str) -> None:
    """A server that serves says so, of itself and of its service."""
    request = health_pb2.HealthCheckRequest(service=service)
    stub: Any = health_pb2_grpc.HealthStub(channel)
    wait_until(lambda: stub.Check(request, timeout=SECONDS).status == SERVING)


@any_backend
def test_reflection_of_services(channel: grpc.Channel) -> None:
    """Reflection lists the service, so that tools need not be given the contract."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    [answer] = stub.ServerReflectionInfo(iter([request]), timeout=SECONDS)
    names = {it.name for it in answer.list_services_response.service}
    assert {SERVICE.full_name, "grpc.health.v1.Health"} <= names


@any_backend
def test_reflection_of_contract(channel: grpc.Channel) -> None:
    """Reflection gives the file of the service, as the contract compiles to."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE.full_name)
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    [answer] = stub.ServerReflectionInfo(iter([request]), timeout=SECONDS)
    files = answer.file_descriptor_response.file_descriptor_proto
    assert SERVICE.file.serialized_pb in files


@STOPPING
def test_stop_and_restart(start: Start, number: signal.Signals) -> None:
    """A signal ends an idle server with status 0, and the next one has its customers."""
    first = start()
    created = first.client("acme").create(customer())
    assert first.stop(number) == 0
    assert "Traceback" not in first.log()
    assert start().client("acme").get(created.id) == created


@STOPPING
def test_stop_with_running_call(
    start: Start, own_database: dict[str, Any], number: signal.Signals
) -> None:
    """A server that is stopped takes no new calls, and ends when a running one has its answer."""
    server = start()
    sent, go_on = threading.Event(), threading.Event()
    given = [customer(), customer()]

    def items() -> Iterator[pb.UploadCustomersRequest]:
        yield pb.UploadCustomersRequest(customer=given[0])
        sent.set()
        go_on.wait(SECONDS)
        yield pb.UploadCustomersRequest(customer=given[1])

    stub = CustomerServiceStub(server.channel)
    running = stub.UploadCustomers(items(), SECONDS, as_tenant("acme"))
    assert sent.wait(SECONDS)
    # One connection keeps the order: when this is answered the upload has begun.
    server.client("acme").get(UNKNOWN_ID)
    server.process.send_signal(number)
    wait_until(lambda: not server.listens())
    go_on.set()
    stored = [it.customer for it in running]
    assert [it.email for it in stored] == [it.email for it in given]
    assert server.process.wait(SECONDS) == 0
    assert "Traceback" not in server.log()
    with Server(**own_database) as again:
        assert [again.client("acme").get(it.id) for it in stored] == stored


@any_backend
def test_health_before_stop(start: Start, own_database: dict[str, Any]) -> None:
    """Before a server takes no more calls it says for a while that it will not."""
    server = start(DRAIN_SECONDS="4")
    watch = server.health.Watch(health_pb2.HealthCheckRequest(service=SERVICE.full_name))
    assert next(watch).status == SERVING
    server.process.send_signal(signal.SIGTERM)
    assert next(watch).status == NOT_SERVING
    assert server.health.Check(health_pb2.HealthCheckRequest()).status == NOT_SERVING
    created = server.client("acme").create(customer())
    watch.cancel()
    assert server.process.wait(SECONDS) == 0
    with Server(**own_database) as again:
        assert again.client("acme").get(created.id) == created


@any_backend
def test_stop_with_stuck_call(start: Start) -> None:
    """A call that outlasts the time it gets does not keep the server from ending."""
    server = start(GRACE_SECONDS="0")
    dates = {
        f"{number}": Attribute(attribute_value="2001-05-28", value_type=Attribute.DATE)
        for number in range(110)
    }
    groups = {f"{number}": AttributeGroup(attributes=dates) for number in range(100)}
    sent = threading.Event()

    def items() -> Iterator[pb.UploadCustomersRequest]:
        for _ in range(60):
            yield pb.UploadCustomersRequest(customer=customer(attribute_groups=groups))
        sent.set()

    stub = CustomerServiceStub(server.channel)
    running = stub.UploadCustomers(items(), SECONDS, as_tenant("acme"))
    assert sent.wait(SECONDS)
    server.client("acme").get(UNKNOWN_ID)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(SECONDS) == 0
    failed = failure(lambda: list(running))
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNKNOWN, "OUTCOME_UNKNOWN")
    assert failed.message.startswith("the server stopped while it ran the change")
    assert "Traceback" not in server.log()


def test_answered_creates_after_kill(start: Start, own_database: dict[str, Any]) -> None:
    """Every create that was answered before a server was killed is there when it is back."""
    server = start()
    created: list[Customer] = []

    def create_on() -> None:
        client = server.client("acme")
        with suppress(grpc.RpcError):
            while True:
                created.append(client.create(customer()))

    with ThreadPoolExecutor(8) as threads:
        creating = [threads.submit(create_on) for _ in range(8)]
        wait_until(lambda: len(created) > 300)
        server.process.kill()
    assert [it.exception() for it in creating] == [None] * 8
    with Server(**own_database) as again:
        client = again.client("acme")
        assert [client.get(it.id) for it in created] == created


def test_shared_database(own_database: dict[str, Any]) -> None:
    """Servers that start at once on a new database serve it together, each value once."""
    given = [Customer(email=f"rush-{number}@example.com") for number in range(100)]
    servers = [ServerProcess(own_database) for _ in range(2)]
    try:
        for server in servers:
            server.wait_ready()
        clients = [server.client("acme") for server in servers]
        with ThreadPoolExecutor(2) as threads:
            uploads = list(threads.map(lambda client: client.upload(given), clients))
        for results in zip(*uploads, strict=True):
            [stored] = [it.customer for it in results if it.HasField("customer")]
            assert [client.get(stored.id) for client in clients] == [stored] * 2
        assert [server.stop() for server in servers] == [0] * 2
    finally:
        for server in servers:
            server.end()


@any_backend
def test_several_addresses(start: Start, tmp_path: Path) -> None:
    """A server listens on every address it is given, Unix sockets among them."""
    path = f"unix:{tmp_path}/s"
    created = start(path).client("acme").create(customer())
    with grpc.insecure_channel(path) as channel:
        request = pb.GetCustomerRequest(id=created.id)
        stub = CustomerServiceStub(channel)
        assert stub.GetCustomer(request, SECONDS, as_tenant("acme")) == created


@any_backend
def test_taken_port(start: Start, own_database: dict[str, Any]) -> None:
    """A server whose port another has says which, and ends with status 1; the other serves on."""
    other = start()
    ended = run(own_database, other.address)
    assert ended.returncode == 1
    assert f"cannot listen on {other.address}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert other.client("acme").get(UNKNOWN_ID) == Customer()


@any_backend
def test_shared_port(start: Start, own_database: dict[str, Any]) -> None:
    """Servers that share a port serve it together, and keep out one that does not."""
    with held_port() as port:
        address = f"127.0.0.1:{port}"
        first, _ = (start(address, SHARE_PORT="true") for _ in range(2))
        ended = run(own_database, address)
        assert ended.returncode == 1
        assert f"cannot listen on {address}" in ended.stderr
        assert first.stop() == 0
        with grpc.insecure_channel(address) as channel:
            assert Client(channel, "acme").get(UNKNOWN_ID) == Customer()
