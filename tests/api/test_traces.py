"""Calls that are traced: their spans, and that no collector keeps a call waiting."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.support.backends import Backend, SqliteBackend, any_backend, each_backend, only
from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import SECONDS, Client
from tests.support.import_stream import batch
from tests.support.in_process import InProcessServer
from tests.support.otlp_receiver import (
    Received,
    attributes,
    children,
    receiving,
    receiving_grpc,
)
from tests.support.server_process import Start, wait_until
from tests.support.tokens import trust
from twc_customer_server.settings.model import Settings
from twc_customer_server.telemetry.statement_count import MOST

RPC = "twc.customer.v2.CustomerService/"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}

ANY_LOOKUP = pb.LookupCustomersRequest(first_name="x")

Collector = tuple[Received, dict[str, str]]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector, and the variables that have spans exported to it."""
    with receiving() as collector:
        yield collector


@pytest.fixture
def received(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Received:
    """What servers of this process export from now on."""
    received, variables = collector
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return received


@pytest.fixture
def server(received: Received, own_database: dict[str, Any]) -> Iterator[InProcessServer]:
    """A server whose calls are traced."""
    assert not received.requests
    with InProcessServer(**own_database) as server:
        yield server


def _call(received: Received, rpc: str, trace: str = "") -> Span:
    """Waits for the span of a call of an RPC."""
    found = received.await_named(RPC + rpc, trace)
    return next(it for it in found if it.name == RPC + rpc)


@each_backend
def test_get(server: InProcessServer, received: Received, backend: Backend) -> None:
    """A read is a span in that of its caller, with a span for its statement."""
    client = server.client("acme")
    created = client.create(customer())
    client.given(**SAMPLED).get(created.id)
    call = _call(received, "GetCustomer", TRACE)
    [select] = children(received.spans(TRACE), call)
    system = "sqlite" if isinstance(backend, SqliteBackend) else "postgresql"
    described = attributes(select)
    described.pop("db.namespace", "")
    described.pop("server.address", "")

    assert call.parent_span_id.hex() == PARENT
    assert select.name == "SELECT customer"
    assert select.kind == Span.SPAN_KIND_CLIENT
    assert described == {
        "db.system.name": system,
        "db.operation.name": "SELECT",
        "db.collection.name": "customer",
        "db.query.summary": "SELECT customer",
    }
    assert call.start_time_unix_nano <= select.start_time_unix_nano
    assert select.end_time_unix_nano <= call.end_time_unix_nano


@each_backend
def test_update(server: InProcessServer, received: Received) -> None:
    """A change is a transaction, whose statements are in it."""
    client = server.client("acme")
    created = client.create(customer())
    created.first_name = "Grace"
    client.given(**SAMPLED).update(created)
    call = _call(received, "UpdateCustomer", TRACE)
    transaction = next(
        it for it in children(received.spans(TRACE), call) if it.name == "transaction"
    )
    names = [it.name for it in children(received.spans(TRACE), transaction)]

    assert {"SELECT customer", "UPDATE customer"} <= {*names}
    assert attributes(call)["twc.statements"] == 2


@only("sqlite")
def test_group_commit(
    server: InProcessServer, received: Received, own_database: dict[str, Any], backend: Backend
) -> None:
    """Writes of one commit are linked with it, whichever trace it is in."""
    rounds = 0
    while not any(it.links for it in received.spans()):
        rounds += 1
        # Until several happen to wait for the lock together.
        assert rounds < 50
        _create_together(server, backend.held(own_database), rounds)
    # The spans of a commit and of its writes can be exported apart.
    spans = received.await_spans(
        lambda spans: _linked(spans, "COMMIT") == _linked(spans, "transaction") != set()
    )
    commits = {it.span_id: it for it in spans if it.name == "COMMIT"}

    for write in (it for it in spans if it.name == "transaction" and it.links):
        commit = commits[write.links[0].span_id]
        assert attributes(commit)["db.operation.batch.size"] >= 2
        assert commit.trace_id != write.trace_id


def _linked(spans: list[Span], name: str) -> set[tuple[bytes, bytes]]:
    """Returns the ids of each linked commit and write, as the spans of a name tell them."""
    pairs = ((it.span_id, link.span_id) for it in spans if it.name == name for link in it.links)
    return {(one, other) if name == "COMMIT" else (other, one) for one, other in pairs}


def _create_together(
    server: InProcessServer, held: AbstractContextManager[None], number: int
) -> None:
    """Creates customers, each in a trace of its own, while nobody can write for a moment."""
    client = server.client("acme")
    writers = []
    with held:
        for each in range(5):
            traced = client.given(traceparent=f"00-{10 * number + each:032x}-{PARENT}-01")
            made = customer(email=f"{number}-{each}@example.com")
            writers.append(threading.Thread(target=traced.create, args=(made,)))
            writers[-1].start()
        time.sleep(min(0.05 * number, 2))
    for writer in writers:
        writer.join()


@each_backend
def test_upload(server: InProcessServer, received: Received) -> None:
    """A call has spans for its first statements only, and counts them all."""
    uploaded = [customer(email=f"{number}@example.com") for number in range(3 * MOST)]
    server.client("acme").given(**SAMPLED).upload(uploaded)
    call = _call(received, "UploadCustomers", TRACE)
    statements = [it for it in received.spans(TRACE) if it.name.startswith(("INS", "SEL", "UPD"))]

    assert attributes(call)["rpc.response.status_code"] == "OK"
    assert 1 <= len(statements) <= MOST
    assert attributes(call)["twc.statements"] >= len(statements)


@any_backend
def test_streams(server: InProcessServer, received: Received) -> None:
    """An import and an export are one span each, until they end or the client cancels."""
    client = server.client("acme").given(**SAMPLED)
    batches = [batch(customer(email="ada@example.com")) for _ in range(2)]
    assert len([*client.import_(batches)]) == 2
    assert [*client.export()]
    watch = client.watch()
    next(watch)
    watch.cancel()
    codes = {
        rpc: attributes(_call(received, rpc, TRACE))["rpc.response.status_code"]
        for rpc in ("ImportCustomers", "ExportCustomers", "WatchCustomers")
    }
    imported = _call(received, "ImportCustomers")
    within = {it.name for it in children(received.spans(TRACE), imported)}

    assert codes == {
        "ImportCustomers": "OK",
        "ExportCustomers": "OK",
        "WatchCustomers": "CANCELLED",
    }
    assert "transaction" in within


@any_backend
def test_failures(
    server: InProcessServer, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of the server is an error of its span, without a message; others are not."""
    client = server.client("acme")
    with pytest.raises(grpc.RpcError):
        client.delete(UNKNOWN_ID[:-1])
    refused = _call(received, "DeleteCustomer")

    def break_down(*_: object) -> None:
        raise RuntimeError("ada@example.com")

    monkeypatch.setattr("twc_customer_server.storage.sqlite.Sqlite.rows", break_down)
    with pytest.raises(grpc.RpcError) as error:
        client.get(UNKNOWN_ID)
    monkeypatch.undo()
    failed = _call(received, "GetCustomer")

    assert attributes(refused)["error.type"] == "INVALID_ARGUMENT"
    assert refused.status.code == Status.STATUS_CODE_UNSET
    assert error.value.code() is grpc.StatusCode.INTERNAL
    assert (attributes(failed)["error.type"], failed.status.code) == (
        "INTERNAL",
        Status.STATUS_CODE_ERROR,
    )
    assert not failed.status.message
    assert not failed.events
    assert b"ada@example" not in received.bytes


@each_backend
def test_failed_statement(server: InProcessServer, received: Received) -> None:
    """A statement that violates an index is a span with an error; what follows it is none."""
    client = server.client("acme")
    client.create(customer(email="ada@example.com"))
    other = client.create(customer(email="grace@example.com"))
    other.email = "ada@example.com"
    with pytest.raises(grpc.RpcError):
        client.given(**SAMPLED).update(other)
    _call(received, "UpdateCustomer", TRACE)
    statuses = {
        it.name: (it.status.code, attributes(it).get("error.type"))
        for it in received.spans(TRACE)
        if it.name in {"UPDATE customer", "SELECT customer"}
    }

    assert statuses["SELECT customer"] == (Status.STATUS_CODE_UNSET, None)
    assert statuses["UPDATE customer"][0] == Status.STATUS_CODE_ERROR
    assert statuses["UPDATE customer"][1] in {"23505", "UniqueViolationError"}


SAMPLERS: dict[str, tuple[dict[str, str], dict[str, str], bool, bool]] = {
    # Variables, headers, whether a good caller is traced, and whether an unknown one is.
    "all": ({}, {}, True, True),
    "all but what the caller does not want": ({}, NOT_SAMPLED, False, True),
    "what the caller wants": (
        {"OTEL_TRACES_SAMPLER": "parentbased_always_off"},
        SAMPLED,
        True,
        False,
    ),
    "none": ({"OTEL_TRACES_SAMPLER": "always_off"}, SAMPLED, False, False),
    "a ratio of none": (
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
        {},
        False,
        False,
    ),
    "an id that every ratio takes": (
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.000001"},
        {"traceparent": f"00-{'a' * 16}{1:016x}-{PARENT}-01"},
        True,
        False,
    ),
}


@any_backend
@pytest.mark.parametrize(
    ("variables", "headers", "is_traced", "unknown_is_traced"), SAMPLERS.values(), ids=SAMPLERS
)
def test_sampling(  # noqa: PLR0913 - a row of the table
    received: Received,
    own_database: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    headers: dict[str, str],
    *,
    is_traced: bool,
    unknown_is_traced: bool,
) -> None:
    """The standard samplers decide; a caller who is not known has no influence on them."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with InProcessServer(**own_database) as server:
        server.client("acme").given(**headers).lookup(ANY_LOOKUP)
        stub = CustomerServiceStub(server.channel)
        unknown = (("authorization", "Bearer x.y.z"), ("x-twc-tenant", "acme"), *headers.items())
        for _ in range(3):
            with pytest.raises(grpc.RpcError):
                stub.GetCustomer(pb.GetCustomerRequest(id=UNKNOWN_ID), SECONDS, unknown)
    # The stop has exported what there is.
    names = [it.name for it in received.spans()]

    assert (RPC + "LookupCustomers" in names) == is_traced
    assert (RPC + "GetCustomer" in names) == unknown_is_traced


@any_backend
def test_grpc(own_database: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are exported by gRPC if OTEL_EXPORTER_OTLP_PROTOCOL says so, with the resource."""
    with receiving_grpc() as (received, variables):
        named = {"OTEL_SERVICE_NAME": "shop", "OTEL_RESOURCE_ATTRIBUTES": "deployment=test"}
        for name, value in (variables | named).items():
            monkeypatch.setenv(name, value)
        with InProcessServer(**own_database) as server:
            server.client("acme").lookup(ANY_LOOKUP)
            _call(received, "LookupCustomers")
    resource = received.resources[0]

    assert (resource["service.name"], resource["deployment"]) == ("shop", "test")


@any_backend
def test_default_name(server: InProcessServer, received: Received) -> None:
    """Without OTEL_SERVICE_NAME spans are of twc-customer-server."""
    server.client("acme").lookup(ANY_LOOKUP)
    _call(received, "LookupCustomers")

    assert received.resources[0]["service.name"] == "twc-customer-server"


# Less than there are spans.
SHORT_QUEUE = {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "50"}

BAD_COLLECTORS = {"hangs": "hangs", "fails": "fails", "is away": "away"}


@any_backend
@pytest.mark.parametrize("how", BAD_COLLECTORS.values(), ids=BAD_COLLECTORS)
def test_bad_collector(start: Start, collector: Collector, how: str) -> None:
    """A collector that hangs, fails or is away delays no call and no stop, and is logged once."""
    received, variables = collector
    if how == "hangs":
        received.hangs.set()
    received.status = 400 if how == "fails" else 200
    if how == "away":
        variables = variables | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    server = start(**variables, OTEL_EXPORTER_OTLP_TIMEOUT="1", **SHORT_QUEUE)
    client = server.client("acme")
    client.create(customer())
    wait_until(lambda: "spans cannot be exported" in server.log())
    began = time.monotonic()
    for _ in range(150):
        client.lookup(ANY_LOOKUP)
    took = time.monotonic() - began
    began = time.monotonic()
    status = server.stop()

    assert took < 60
    assert status == 0
    assert time.monotonic() - began < 30
    assert server.log().count("spans cannot be exported") == 1
    assert "withheld" not in server.log()


@any_backend
def test_collector_recovers(start: Start, collector: Collector) -> None:
    """Once a collector answers again spans are exported, and the log says so."""
    received, variables = collector
    received.status = 400
    server = start(**variables)
    client = server.client("acme")
    client.create(customer())
    wait_until(lambda: "spans cannot be exported" in server.log())
    received.status = 200
    client.lookup(ANY_LOOKUP)
    wait_until(lambda: "again" in server.log())

    assert _call(received, "LookupCustomers")


IDS: dict[str, tuple[dict[str, str], str, str]] = {
    "none": ({}, "", ""),
    "a request's": ({"x-request-id": "mine-1"}, "mine-1", ""),
    "a trace's": (SAMPLED, "", TRACE),
    "a request's that is malformed": ({"x-request-id": "ada@example.com"}, "", ""),
}


@any_backend
def test_ids_of_errors(start: Start) -> None:
    """An error has the ids of request and trace, as the log has; a request without one gets one."""
    server = start()
    for headers, request_id, trace_id in IDS.values():
        info = _ids_of_error(server.client("acme").given(**headers))
        logged = f'"request_id": "{info.request_id}"'
        wait_until(lambda: logged in server.log())  # noqa: B023
        [line] = [it for it in server.log().splitlines() if logged in it]

        assert info.request_id == request_id if request_id else len(info.request_id) == 36
        assert info.serving_data == trace_id
        assert ("trace_id" in line) == (f'"trace_id": "{TRACE}"' in line) == bool(trace_id)
    assert "span_id" not in server.log()


def _ids_of_error(client: Client) -> error_details_pb2.RequestInfo:
    """The ids in the details of an error."""
    with pytest.raises(grpc.RpcError) as error:
        client.delete("1")
    status = rpc_status.from_call(cast("grpc.Call", error.value))
    assert status
    info = error_details_pb2.RequestInfo()
    assert status.details[-1].Unpack(info)
    return info


@any_backend
def test_last_spans(start: Start, collector: Collector) -> None:
    """A stop exports the spans that are left."""
    received, variables = collector
    server = start(**variables | {"OTEL_BSP_SCHEDULE_DELAY": "600000"})
    server.client("acme").create(customer())
    assert received.requests == 0
    server.stop()

    assert RPC + "CreateCustomer" in {it.name for it in received.spans()}


@any_backend
def test_off(own_database: dict[str, Any]) -> None:
    """Without OpenTelemetry's variables nothing of its library is loaded."""
    program = (
        "import os, sys\n"
        "from twc_customer_server.app import App\n"
        "from twc_customer_server.settings.model import Settings\n"
        "def loaded():\n"
        "    App(Settings(), ['127.0.0.1:0'])\n"
        "    return any(it.startswith('opentelemetry') for it in sys.modules)\n"
        "print(loaded())\n"
        "os.environ |= {'OTEL_SDK_DISABLED': 'true', 'OTEL_TRACES_EXPORTER': 'otlp'}\n"
        "print(loaded())\n"
        "del os.environ['OTEL_SDK_DISABLED']\n"
        "print(loaded())"
    )

    assert _python(program, own_database) == ["False", "False", "True"]


def _python(program: str, database: dict[str, Any]) -> list[str]:
    """Runs a program with the settings of a service, and returns the words it prints."""
    variables = os.environ | Settings(**database, **trust()).environment()
    return subprocess.check_output(
        [sys.executable, "-c", program], env=variables, text=True
    ).split()
