"""What a server tells Prometheus of its calls, and whom it tells."""

import http.client
import queue
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.support.backends import any_backend
from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import SECONDS, as_tenant, failure, tenant_header
from tests.support.in_process import InProcessServer
from tests.support.ports import held_port
from tests.support.scraping import Scrape, labels_of
from tests.support.server_process import ServerProcess, Start, run, wait_until
from tests.support.servers import Server
from tests.support.tokens import token_for
from twc_customer_server.storage.changes import ChangeStore

pytestmark = any_backend


@pytest.fixture
def port() -> Iterator[int]:
    """A port for metrics."""
    with held_port() as port:
        yield port


@pytest.fixture
def server(own_database: dict[str, Any], port: int) -> Iterator[InProcessServer]:
    """A server with metrics on the port."""
    with Server(**own_database, metrics_port=port) as server:
        yield server


@pytest.fixture
def server_process(start: Start, port: int) -> ServerProcess:
    """A process that serves metrics on the port."""
    return start(METRICS_PORT=str(port))


def test_call(server: InProcessServer, port: int) -> None:
    """A call is counted under its RPC and code when it is answered, with the time it took."""
    client = server.client("acme")
    created = client.create(customer())
    for _ in range(3):
        client.get(created.id)
    scrape = Scrape(port)

    assert scrape.calls("GetCustomer", "OK") == 3
    assert scrape.calls("CreateCustomer", "OK") == 1
    assert scrape.calls("DeleteCustomer", "OK") == 0
    seconds = scrape.value("grpc_server_handling_seconds_sum", **labels_of("GetCustomer"))
    assert seconds is not None
    assert 0 < seconds < SECONDS


REFUSALS: dict[str, Callable[[InProcessServer], object]] = {
    "NotFound": lambda server: server.client("acme").get_by_ref("nobody"),
    "InvalidArgument": lambda server: server.client("acme").get_by_ref(""),
    "PermissionDenied": lambda server: CustomerServiceStub(server.channel).GetCustomerByRef(
        pb.GetCustomerByRefRequest(customer_ref="x"),
        SECONDS,
        (as_tenant("acme")[0], tenant_header("globex")),
    ),
    "Unauthenticated": lambda server: CustomerServiceStub(server.channel).GetCustomerByRef(
        pb.GetCustomerByRefRequest(customer_ref="x"), SECONDS
    ),
}


@pytest.mark.parametrize(("code", "call"), REFUSALS.items(), ids=REFUSALS)
def test_failed_call(
    server: InProcessServer, port: int, code: str, call: Callable[[InProcessServer], object]
) -> None:
    """A call that fails is counted under the code it fails with, and no other."""
    assert (
        failure(lambda: call(server)).code.name == re.sub("(?<=[a-z])(?=[A-Z])", "_", code).upper()
    )
    scrape = Scrape(port)

    assert scrape.calls("GetCustomerByRef", code) == 1
    assert scrape.calls("GetCustomerByRef", "OK") == 0


def test_stream(server: InProcessServer, port: int) -> None:
    """A stream is in progress until it ends, and is counted then."""
    batches: queue.Queue[pb.ImportCustomersRequest | None] = queue.Queue()

    def sent() -> Iterator[pb.ImportCustomersRequest]:
        while batch := batches.get(timeout=SECONDS):
            yield batch

    answers = server.client("acme").import_(sent())
    for _ in range(2):
        batches.put(pb.ImportCustomersRequest(items=[pb.ImportItem(customer=customer())]))
        next(answers)
        scrape = Scrape(port)
        assert scrape.in_progress("ImportCustomers") == 1
        assert scrape.in_progress("ExportCustomers") == 0
        assert scrape.calls("ImportCustomers", "OK") == 0
    batches.put(None)
    assert list(answers) == []
    scrape = Scrape(port)

    assert scrape.in_progress("ImportCustomers") == 0
    assert scrape.calls("ImportCustomers", "OK") == 1


def test_stream_broken_off(server: InProcessServer, port: int) -> None:
    """A stream that its client breaks off is no longer in progress, and counted as Canceled."""
    batches: queue.Queue[pb.ImportCustomersRequest] = queue.Queue()
    stub = CustomerServiceStub(server.channel)
    call = stub.ImportCustomers(iter(batches.get, None), SECONDS, as_tenant("acme"))
    wait_until(lambda: Scrape(port).in_progress("ImportCustomers") == 1)

    call.cancel()

    wait_until(lambda: Scrape(port).in_progress("ImportCustomers") == 0)
    assert Scrape(port).calls("ImportCustomers", "Canceled") == 1


def test_personal_data(server: InProcessServer, port: int) -> None:
    """No value of a call, nor who made it, is in the metrics."""
    client = server.client("tenant-canary").given(x_request_id="request-canary")
    created = client.create(Customer(email="canary@example.com", customer_ref="ref-canary"))
    client.get(created.id)
    failure(lambda: client.create(Customer(email="canary@example.com")))
    failure(lambda: client.get_by_ref("nobody-canary"))
    stranger = (("authorization", "Bearer token-canary"), tenant_header("stranger-canary"))
    stub = CustomerServiceStub(server.channel)
    failure(lambda: stub.GetCustomer(pb.GetCustomerRequest(id=UNKNOWN_ID), SECONDS, stranger))
    said = Scrape(port).text

    assert 'grpc_code="AlreadyExists"' in said
    assert "canary" not in said
    assert created.id not in said
    assert token_for("tenant-canary") not in said


@pytest.mark.usefixtures("server")
def test_version(port: int) -> None:
    """The metrics tell the version of the server that has them."""
    assert Scrape(port).value("twc_customer_build_info", version="2.0.0") == 1


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("path", ["/", "/metrics/", "/metricsx", "/favicon.ico"])
def test_other_path(port: int, path: str) -> None:
    """There is nothing beside the metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()


def test_silent_clients(server: InProcessServer, port: int) -> None:
    """Clients that connect and ask nothing keep neither scrapes nor calls waiting."""
    with ExitStack() as silent:
        for _ in range(10):
            silent.enter_context(socket.create_connection(("127.0.0.1", port)))
        server.client("acme").get(UNKNOWN_ID)
        assert Scrape(port).calls("GetCustomer", "OK") == 1


def test_disconnected_client(server_process: ServerProcess, port: int) -> None:
    """A client that does not wait for its answer leaves no trace, on standard error or the port."""
    client = "127.0.0.3"
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port), source_address=(client, 0)) as hasty:
            hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            hasty.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    Scrape(port)
    assert server_process.stop() == 0
    assert "Traceback" not in server_process.log()
    assert client not in server_process.log()
    # Nor does anything listen once the server has ended.
    with socket.create_server(("127.0.0.1", port), reuse_port=False):
        pass


def test_taken_port(start: Start, own_database: dict[str, Any], port: int) -> None:
    """A port of metrics that is taken is said in a sentence, and the server ends with status 1."""
    first = start(METRICS_PORT=str(port))
    ended = run(own_database, "127.0.0.1:0", METRICS_PORT=str(port))

    assert ended.returncode == 1
    said = f"cannot listen on 127.0.0.1:{port}: is something else listening there?"
    assert f"{said} Stop it, or set METRICS_PORT to another port\n" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert first.process.poll() is None
    Scrape(port)


def test_off_by_default(start: Start) -> None:
    """A server that is not told to serves no metrics: it listens on its own ports alone."""
    server = start()
    process = psutil.Process(server.process.pid)
    listening = {
        each.laddr.port
        for it in (process, *process.children(recursive=True))
        for each in it.net_connections()
        if each.status == psutil.CONN_LISTEN
    }
    assert listening == server.ports


def test_bind_address(start: Start, port: int) -> None:
    """Metrics are served on the address that BIND names, and no other."""
    server = start(METRICS_PORT=str(port), BIND="127.0.0.2")
    assert server.process.poll() is None
    socket.create_connection(("127.0.0.2", port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_imports(server: InProcessServer, port: int) -> None:
    """Customers of imports are counted by what became of them."""
    ada, invalid = customer(), Customer(email="nowhere")
    batch = [pb.ImportItem(customer=it) for it in (ada, ada, invalid)]
    checked = pb.ImportCustomersRequest(
        items=[pb.ImportItem(customer=customer())], validate_only=True
    )
    list(server.client("acme").import_([pb.ImportCustomersRequest(items=batch), checked]))
    scrape = Scrape(port)

    found = {
        result: scrape.value("twc_customer_import_items_total", result=result)
        for result in ("created", "updated", "unchanged", "skipped", "valid", "error")
    }
    expected = {"created": 1, "unchanged": 1, "error": 1, "valid": 1}
    assert found == {result: expected.get(result, 0) for result in found}


def test_statements(server: InProcessServer, port: int) -> None:
    """Statements are counted by operation and table, with the time that they took."""
    client = server.client("acme")
    before = Scrape(port)
    created = client.create(customer())
    for _ in range(3):
        client.get(created.id)
    after = Scrape(port)

    def more(operation: str, unit: str) -> float:
        name, labels = f"twc_customer_statement_seconds_{unit}", {"table": "customer"}
        values = [it.value(name, operation=operation, **labels) or 0 for it in (before, after)]
        return values[1] - values[0]

    assert (more("insert", "count"), more("select", "count")) == (1, 3)
    assert 0 < more("select", "sum") < SECONDS


def test_tokens(server: InProcessServer, port: int) -> None:
    """Tokens are counted: those verified now, those verified before, and those that are refused."""
    for _ in range(3):
        server.client("acme").get(UNKNOWN_ID)
    stub = CustomerServiceStub(server.channel)
    forged = (("authorization", "Bearer forged"), tenant_header("acme"))
    failure(lambda: stub.GetCustomer(pb.GetCustomerRequest(id=UNKNOWN_ID), SECONDS, forged))
    scrape = Scrape(port)

    found = [
        scrape.value("twc_customer_tokens_total", result=it)
        for it in ("verified", "cached", "refused")
    ]
    assert found == [1, 2, 1]


def test_refusals(own_database: dict[str, Any], port: int) -> None:
    """A call beyond a limit is counted as refused by that limit, and as ResourceExhausted."""
    limits = {"tenant_streams": 1, "tenant_waiting_rpcs": 1}
    with Server(**own_database, metrics_port=port, **limits) as server:
        batches: queue.Queue[pb.ImportCustomersRequest | None] = queue.Queue()
        call = CustomerServiceStub(server.channel).ImportCustomers(
            iter(batches.get, None), SECONDS, as_tenant("acme")
        )
        wait_until(lambda: Scrape(port).in_progress("ImportCustomers") == 1)
        wait_until(lambda: Scrape(port).value("twc_customer_admitted_calls", kind="bulk") == 1)
        failure(lambda: list(server.client("acme").import_([])))
        scrape = Scrape(port)
        batches.put(None)
        assert list(call) == []

    assert scrape.value("twc_customer_refusals_total", limit="tenant_bulk") == 1
    assert scrape.value("twc_customer_refusals_total", limit="bulk") == 0
    assert scrape.calls("ImportCustomers", "ResourceExhausted") == 1


def test_age_of_keys(server: InProcessServer, port: int) -> None:
    """The age of the issuer's keys is told from the start."""
    assert server.is_healthy()
    wait_until(lambda: bool(Scrape(port).value("twc_customer_keys_age_seconds")))


def test_unnumbered_changes(
    server: InProcessServer, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes that a reader has not come to are counted while it reads, and none of others."""
    name = "twc_customer_unnumbered_changes"
    client = server.client("acme")
    for _ in range(3):
        client.create(customer())
        server.client("globex").create(customer())
    assert Scrape(port).value(name) == 0

    monkeypatch.setattr(ChangeStore, "_number_pending", lambda *_: None)
    stub = CustomerServiceStub(server.channel)
    stub.ListCustomerChanges(pb.ListCustomerChangesRequest(), SECONDS, as_tenant("acme"))
    wait_until(lambda: Scrape(port).value(name) == 3)
