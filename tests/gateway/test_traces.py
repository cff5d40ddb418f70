"""A REST request is one trace: from the client's span over gateway and server to the database."""

import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.gateway.stacks import StackFactory, http_headers, running
from tests.support.client import SECONDS, as_tenant
from tests.support.http_client import http_client
from tests.support.otlp_receiver import Received, attributes, children, receiving
from twc_customer_gateway.supervisor.stack import Stack

PARENT = "00f067aa0ba902b7"
RPC = "twc.customer.v2.CustomerService/"
CANARY = "zanzibar"


@pytest.fixture
def trace() -> str:
    """The id of the test's trace."""
    return uuid.uuid4().hex


@pytest.fixture
def traceparent(trace: str) -> dict[str, str]:
    """The header that has a request be in that trace."""
    return {"traceparent": f"00-{trace}-{PARENT}-01"}


@pytest.fixture
def own_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """A collector, to which the services export that the test starts."""
    with receiving() as (received, variables):
        _set(monkeypatch, variables)
        yield received


def _set(environment: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Received, Stack]]:
    """A service whose calls are traced, and the collector that it exports to."""
    database = {"data_dir": tmp_path_factory.mktemp("traced")}
    with receiving() as (received, variables), ExitStack() as started:
        with pytest.MonkeyPatch.context() as environment:
            _set(environment, variables)
            stack = started.enter_context(running(database))
        yield received, stack


@pytest.fixture
def collector(started: tuple[Received, Stack]) -> Received:
    """The collector of the service that the tests share."""
    return started[0]


@pytest.fixture
def traced(started: tuple[Received, Stack]) -> Stack:
    """The service that the tests share, each with a tenant and a trace of its own."""
    return started[1]


@pytest.fixture
def http(traced: Stack, tenant: str) -> Iterator[httpx.Client]:
    """A REST client of it."""
    with _client(traced, tenant) as client:
        yield client


def test_create(
    http: httpx.Client, collector: Received, tenant: str, trace: str, traceparent: dict[str, str]
) -> None:
    """A create is the gateway's span, in that of the client, then the call's, then statements."""
    answer = http.post("/customers", json={"email": "ada@example.com"}, headers=traceparent)
    spans = collector.await_spans(lambda spans: len(spans) == 5, trace)
    request, call, transaction = spans[:3]

    assert answer.status_code == 201
    assert request.name == "POST /api/v2/customers"
    assert request.parent_span_id.hex() == PARENT
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/api/v2/customers",
    }
    assert children(spans, request) == [call]
    assert call.name == RPC + "CreateCustomer"
    assert call.kind == Span.SPAN_KIND_SERVER
    assert attributes(call) == {
        "rpc.system.name": "grpc",
        "rpc.method": RPC + "CreateCustomer",
        "rpc.response.status_code": "OK",
        "twc.tenant": tenant,
        "twc.request_id": answer.headers["x-request-id"],
        "twc.statements": 1,
    }
    assert children(spans, call) == [transaction]
    assert {it.name for it in children(spans, transaction)} == {"COMMIT", "INSERT customer"}
    assert request.start_time_unix_nano < call.start_time_unix_nano
    assert call.end_time_unix_nano <= request.end_time_unix_nano


ROUTES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "GET /api/v2/customers/{id}": ("GET", f"/customers/{CANARY}", {}),
    "GET /api/v2/customers/{customer_ref}/ref": ("GET", f"/customers/{CANARY}/ref", {}),
    "GET /api/v2/customers/search": (
        "GET",
        "/customers/search",
        {"params": {"email": f"{CANARY}@example.com"}},
    ),
    "POST /api/v2/customers": (
        "POST",
        "/customers",
        {"json": {"email": f"{CANARY}@example.com", "lastName": CANARY * 2000}},
    ),
    "POST /api/v2/upload-customers": (
        "POST",
        "/upload-customers",
        {"json": [{"email": f"{CANARY}{number}@example.com"} for number in range(300)]},
    ),
}


def test_canaries(
    http: httpx.Client, collector: Received, tenant: str, trace: str, traceparent: dict[str, str]
) -> None:
    """Spans have templates of routes, and no value of a request, header or answer."""
    token = http.headers["authorization"].removeprefix("Bearer ")
    for route, (method, path, content) in ROUTES.items():
        http.request(method, path, headers=traceparent | {"user-agent": CANARY}, **content)
        collector.await_named(route, trace)
    twice = {"email": f"{CANARY}@example.com", "mobile": "+491701234567"}
    statuses = [
        http.post("/customers", json=twice, headers=traceparent).status_code for _ in range(2)
    ]
    _await_codes(collector, {"ALREADY_EXISTS", "INVALID_ARGUMENT"}, trace)

    assert statuses == [201, 409]
    assert tenant.encode() in collector.bytes
    for value in (CANARY, "example.com", "1701234567", "127.0.0.1", token[:40], ".sock"):
        assert value.encode() not in collector.bytes


def test_large_body(
    http: httpx.Client, collector: Received, trace: str, traceparent: dict[str, str]
) -> None:
    """A request with a large body, which another Envoy reads, is one trace as well."""
    large = {"email": "ada@example.com", "addresses": [{"street": "x" * 200}] * 60}
    answer = http.post("/customers", json=large, headers=traceparent)
    spans = collector.await_named("POST /api/v2/customers", trace)

    assert answer.status_code in {201, 400}
    assert [it.name for it in spans[:2]] == ["POST /api/v2/customers", RPC + "CreateCustomer"]


def test_slow_body(
    http: httpx.Client, collector: Received, trace: str, traceparent: dict[str, str]
) -> None:
    """The span of a request begins when the gateway got its headers, not when the call began."""
    body = b'{"email": "ada@example.com"}'

    def slowly() -> Iterator[bytes]:
        yield body[:9]
        time.sleep(0.5)
        yield body[9:]

    headers = {"content-type": "application/json", "content-length": str(len(body))}
    answer = http.post("/customers", content=slowly(), headers=traceparent | headers)
    request, call = collector.await_named("POST /api/v2/customers", trace)[:2]

    assert answer.status_code == 201
    assert call.start_time_unix_nano - request.start_time_unix_nano > 400_000_000


def test_forged_route(
    traced: Stack,
    collector: Received,
    tenant: str,
    trace: str,
    traceparent: dict[str, str],
) -> None:
    """A client cannot name the route of a span, by REST or by gRPC, nor when it began."""
    forged = {"x-twc-route": "GET /forged", "x-twc-began": "1700000000.000000"}
    with _client(traced, tenant) as http:
        http.get("/customers/1", headers=traceparent | forged)
    with grpc.insecure_channel(f"127.0.0.1:{traced.settings.gateway_port}") as channel:
        metadata = (*as_tenant(tenant), *traceparent.items(), *forged.items())
        request = pb.LookupCustomersRequest(first_name="x")
        assert [*CustomerServiceStub(channel).LookupCustomers(request, SECONDS, metadata)] == []
    names = [it.name for it in collector.await_named(RPC + "LookupCustomers", trace)]

    assert {"GET /api/v2/customers/{id}", RPC + "LookupCustomers"} <= {*names}
    assert b"forged" not in collector.bytes
    assert min(it.start_time_unix_nano for it in collector.spans()) > 1_750_000_000 * 10**9


def test_unknown_caller(
    own_collector: Received,
    start_stack: StackFactory,
    monkeypatch: pytest.MonkeyPatch,
    trace: str,
    traceparent: dict[str, str],
) -> None:
    """A caller without a good token cannot have requests traced; one with a token can."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    with start_stack() as stack, _client(stack) as http:
        bad = traceparent | {"authorization": "Bearer x.y.z"}
        statuses = [http.get("/customers/1", headers=bad).status_code for _ in range(5)]
        http.get("/customers/1", headers=traceparent)
        own_collector.await_named("GET /api/v2/customers/{id}", trace)
    calls = [it for it in own_collector.spans() if it.name == RPC + "GetCustomer"]

    assert statuses == [401] * 5
    assert [attributes(it)["rpc.response.status_code"] for it in calls] == ["INVALID_ARGUMENT"]


@pytest.mark.usefixtures("own_collector")
def test_logs(
    start_stack: StackFactory,
    capfd: pytest.CaptureFixture[str],
    trace: str,
    traceparent: dict[str, str],
) -> None:
    """The logs of gateway and server have the id of the trace."""
    with start_stack() as stack, _client(stack) as http:
        http.get("/customers/1", headers=traceparent)
    logged = capfd.readouterr().out.splitlines()
    [by_server] = [it for it in logged if '"rpc": "GetCustomer"' in it]
    [by_envoy] = [it for it in logged if "rest-GetCustomer" in it or '"route":"GetCustomer"' in it]

    assert f'"trace_id": "{trace}", "span_id": "' in by_server
    assert f'"traceparent":"{traceparent["traceparent"]}"' in by_envoy


def test_failure(
    http: httpx.Client, collector: Received, trace: str, traceparent: dict[str, str]
) -> None:
    """A span has the code of an error; only that of a failure of the server is an error."""
    http.get("/customers/1", headers=traceparent)
    found = collector.await_named("GET /api/v2/customers/{id}", trace)
    [call] = [it for it in found if it.name == RPC + "GetCustomer"]

    assert attributes(call)["error.type"] == "INVALID_ARGUMENT"
    assert call.status.code == Status.STATUS_CODE_UNSET


def test_untraced_configuration(
    stack: Stack, tenant: str, trace: str, traceparent: dict[str, str]
) -> None:
    """Without the variables of OpenTelemetry nothing tells the server of routes."""
    assert not [name for name in os.environ if name.startswith("OTEL_")]
    with _client(stack, tenant) as http:
        answer = http.get("/customers/1", headers=traceparent)
    [info] = [it for it in answer.json()["details"] if it["@type"].endswith("RequestInfo")]

    assert info["servingData"] == trace


ERRORS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "of the server": ("GET", "/customers/1", {}),
    "of the JSON check": ("POST", "/customers", {"json": {"email": 1}}),
    "of a route": ("PATCH", "/customers", {}),
    "of a path": ("GET", "/nothing", {}),
    "of identity": ("GET", "/customers/1", {"headers": {"authorization": "Bearer x"}}),
    "of a large body's identity": (
        "POST",
        "/customers",
        {"headers": {"authorization": "Bearer x"}, "json": {"email": "x" * 9000}},
    ),
}


def test_request_ids(stack: Stack, tenant: str) -> None:
    """Every error names its request as the header does, whoever makes the error."""
    with _client(stack, tenant) as http:
        for name, (method, path, content) in ERRORS.items():
            answer = http.request(method, path, **content)
            [info] = [it for it in answer.json()["details"] if "RequestInfo" in it["@type"]]
            assert info["requestId"] == answer.headers["x-request-id"], name
            assert re.fullmatch("[0-9a-f-]{36}", info["requestId"])


def _client(stack: Stack, tenant: str = "acme") -> httpx.Client:
    origin = f"http://127.0.0.1:{stack.settings.gateway_port}/api/v2"
    return http_client(base_url=origin, headers=http_headers(tenant))


def _await_codes(collector: Received, codes: set[str], trace: str) -> None:
    """Waits for spans with the codes of RPCs."""

    def are_there(spans: list[Span]) -> bool:
        return codes <= {attributes(it).get("rpc.response.status_code") for it in spans}

    collector.await_spans(are_there, trace)
