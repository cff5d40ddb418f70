"""One port speaks REST, native gRPC and gRPC-Web, with the headers that clients rely on."""

import base64
import json
import re
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.gateway.errors import Error, error_of
from tests.gateway.stacks import StackFactory, http_headers
from tests.support.builders import NO_CUSTOMER, UNKNOWN_ID, customer
from tests.support.http_client import http_request
from tests.support.ports import held_port
from tests.support.server_process import wait_until
from twc_customer_gateway.supervisor.stack import Stack

SERVICE = "twc.customer.v2.CustomerService"
ORIGIN = "https://shop.example"


def test_native_grpc(native: grpc.Channel, tenant: str, http: httpx.Client) -> None:
    """A native client creates and reads through the gateway what REST reads as well."""
    stub = CustomerServiceStub(native)
    metadata = tuple(http_headers(tenant).items())

    created = stub.CreateCustomer(
        pb.CreateCustomerRequest(customer=customer(first_name="Ada")), metadata=metadata
    )
    found = list(
        stub.LookupCustomers(pb.LookupCustomersRequest(first_name="Ada"), metadata=metadata)
    )

    assert found == [created]
    assert http.get(f"/customers/{created.id}").json()["email"] == created.email


def test_native_upload(native: grpc.Channel, tenant: str) -> None:
    """A native client streams an upload through the gateway."""
    items = (pb.UploadCustomersRequest(customer=customer()) for _ in range(3))
    metadata = tuple(http_headers(tenant).items())
    results = CustomerServiceStub(native).UploadCustomers(items, metadata=metadata)

    assert [result.index for result in results if result.HasField("customer")] == [0, 1, 2]


def test_native_error(native: grpc.Channel) -> None:
    """A native client gets the server's status as it is."""
    with pytest.raises(grpc.RpcError) as error:
        CustomerServiceStub(native).GetCustomer(pb.GetCustomerRequest(id=UNKNOWN_ID))

    assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert "Authorization" in str(error.value.details())


def test_unknown_rpc(native: grpc.Channel) -> None:
    """An RPC that the contract does not have is UNIMPLEMENTED."""
    with pytest.raises(grpc.RpcError) as error:
        _call(native, f"/{SERVICE}/Nothing", b"")

    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_json_on_rpc_path(origin: str) -> None:
    """JSON posted to the path of an RPC is refused: REST has its own paths."""
    response = http_request("POST", f"{origin}/{SERVICE}/CreateCustomer", json={})

    assert error_of(response) == Error(415, 3, "UNSUPPORTED_MEDIA_TYPE", [])


@pytest.mark.parametrize("port", ["gateway_port", "grpc_port"])
def test_reflection(port: str, stack: Stack, buf: Callable[..., str]) -> None:
    """An engineer calls any RPC with no more than the port, through reflection."""
    url = f"http://127.0.0.1:{getattr(stack.settings, port)}/{SERVICE}"

    created = json.loads(buf(f"{url}/CreateCustomer", '{"customer": {"email": "ada@example.com"}}'))
    buf(f"{url}/UpdateCustomer", json.dumps({"customer": {"id": created["id"], "lastName": "K"}}))
    buf(f"{url}/AddCustomerAddress", json.dumps({"id": created["id"], "address": {"city": "Rom"}}))
    found = json.loads(buf(f"{url}/LookupCustomers", '{"lastName": "k"}'))
    buf(f"{url}/DeleteCustomer", json.dumps({"id": created["id"]}))

    assert found["defaultAddress"]["city"] == "Rom"
    assert json.loads(buf(f"{url}/GetCustomer", json.dumps({"id": created["id"]}))) == {}


def test_health(native: grpc.Channel, origin: str) -> None:
    """The gateway answers health checks over gRPC, and over HTTP for load balancers."""
    request = health_pb2.HealthCheckRequest(service=SERVICE).SerializeToString()

    def is_ready() -> bool:
        answer = _call(native, "/grpc.health.v1.Health/Check", request)
        response = health_pb2.HealthCheckResponse.FromString(answer)
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    wait_until(is_ready)
    assert http_request("GET", f"{origin}/healthz").status_code == 200


def test_many_health_streams(native: grpc.Channel, http: httpx.Client) -> None:
    """Streams of health have a limit of their own; beyond it calls and checks are answered."""
    watch = native.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=bytes,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    streams: list[Any] = []
    codes = set()
    try:
        for _ in range(80):
            streams.append(watch(b""))
            try:
                next(streams[-1])
            except grpc.RpcError as refused:
                codes.add(refused.code())

        assert http.get(NO_CUSTOMER).status_code == 204
        assert _call(native, "/grpc.health.v1.Health/Check", b"")
    finally:
        for stream in streams:
            stream.cancel()
    assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED}


def _has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as bound:
        bound.bind(("::1", 0))
        return socket.has_dualstack_ipv6()
    return False


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
def test_addresses_of_both_families(start_stack: StackFactory) -> None:
    """With BIND=:: each port is reached by IPv6 and by IPv4."""
    with held_port() as metrics_port, start_stack(bind="::", metrics_port=metrics_port) as stack:
        ports = {stack.settings.gateway_port: "/healthz", metrics_port: "/metrics"}
        for host in ("127.0.0.1", "[::1]"):
            found = {
                httpx.get(f"http://{host}:{it}{path}").status_code for it, path in ports.items()
            }
            assert found == {200}
            with grpc.insecure_channel(f"{host}:{stack.settings.grpc_port}") as channel:
                health: Any = HealthStub(channel)
                checked = health.Check(health_pb2.HealthCheckRequest())
            assert checked.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("size", [70_000, 90_000])
def test_large_header(native: grpc.Channel, tenant: str, size: int) -> None:
    """A single header of up to 96 KiB ends no other call of its connection."""
    stub = CustomerServiceStub(native)
    metadata = tuple(http_headers(tenant).items())
    stub.CreateCustomer(pb.CreateCustomerRequest(customer=customer()), metadata=metadata)
    waiting = stub.WatchCustomers(pb.WatchCustomersRequest(), metadata=metadata)
    assert next(waiting)
    request = pb.GetCustomerRequest(id=UNKNOWN_ID)
    stub.GetCustomer(request, metadata=(*metadata, ("x-note", "x" * size)))
    assert waiting.is_active()
    waiting.cancel()


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
def test_grpc_web(text: bool, origin: str, tenant: str) -> None:  # noqa: FBT001
    """A browser's gRPC-Web client is served, in both of its encodings."""
    message = pb.CreateCustomerRequest(customer=customer(first_name="Web")).SerializeToString()
    frame = struct.pack(">BI", 0, len(message)) + message
    media = "application/grpc-web-text" if text else "application/grpc-web+proto"
    response = http_request(
        "POST",
        f"{origin}/{SERVICE}/CreateCustomer",
        content=base64.b64encode(frame) if text else frame,
        headers={"content-type": media, "accept": media, **http_headers(tenant)},
    )

    body = response.content
    if text:  # Each part of the answer is encoded by itself.
        body = b"".join(map(base64.b64decode, re.findall(rb"[^=]+=*", body)))
    size = struct.unpack(">BI", body[:5])[1]
    assert Customer.FromString(body[5 : 5 + size]).first_name == "Web"
    assert b"grpc-status:0" in body[5 + size :]


def test_cors_of_a_known_origin(origin: str, tenant: str) -> None:
    """A page of a configured origin may call with the headers it needs, and read ours."""
    asked = {"origin": ORIGIN, "access-control-request-method": "PUT"}
    preflight = httpx.options(f"{origin}/api/v2/customers", headers=asked)
    answer = http_request(
        "GET",
        f"{origin}/api/v2{NO_CUSTOMER}",
        headers=http_headers(tenant) | {"origin": ORIGIN},
    )

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "x-twc-tenant" in preflight.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "x-next-page-token" in answer.headers["access-control-expose-headers"]


ANSWERS: dict[str, tuple[str, str, dict[str, str], int]] = {
    "no token": ("GET", f"/api/v2{NO_CUSTOMER}", {"authorization": ""}, 401),
    "forged token": ("GET", f"/api/v2{NO_CUSTOMER}", {"authorization": "Bearer x"}, 401),
    "forged token of an upload": (
        "POST",
        "/api/v2/upload-customers",
        {"authorization": "Bearer x", "content-type": "application/json"},
        401,
    ),
    "other tenant": ("GET", f"/api/v2{NO_CUSTOMER}", {"x-twc-tenant": "other"}, 403),
    "no tenant": ("GET", f"/api/v2{NO_CUSTOMER}", {"x-twc-tenant": ""}, 400),
    "unknown path": ("GET", "/nowhere", {}, 404),
    "wrong method": ("DELETE", "/api/v2/customers/search", {}, 405),
    "wrong media type": ("POST", "/api/v2/customers", {"content-type": "text/plain"}, 415),
    "no JSON": ("POST", "/api/v2/customers", {"content-type": "application/json"}, 400),
    "wrong query": ("GET", f"/api/v2{NO_CUSTOMER}?y=1", {}, 400),
    "blank": ("GET", f"/api/v2{NO_CUSTOMER}", {}, 204),
    "health": ("GET", "/healthz", {}, 200),
}


@pytest.mark.parametrize(("method", "path", "headers", "status"), ANSWERS.values(), ids=ANSWERS)
def test_cors_of_every_answer(  # noqa: PLR0913, PLR0917 - one for each part of a case
    origin: str, tenant: str, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """A page can read every answer, whoever makes it, and nothing stores one."""
    sent = http_headers(tenant) | {"origin": ORIGIN} | headers
    answer = http_request(method, f"{origin}{path}", headers=sent)

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "retry-after" in answer.headers["access-control-expose-headers"]
    assert "Origin" in answer.headers["vary"]
    assert answer.headers["cache-control"] == "private, no-store"


PATHS = [f"/api/v2{NO_CUSTOMER}", f"/{SERVICE}/GetCustomer", f"/{SERVICE}/LookupCustomers"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "name",
    ["traceparent", "tracestate", "baggage", "x-requested-with", "x-grpc-web", "x-user-agent"],
)
def test_cors_of_headers(origin: str, name: str, path: str) -> None:
    """A page may send the headers that tracing, frameworks and gRPC-Web add."""
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "GET",
        "access-control-request-headers": name,
    }
    preflight = httpx.options(f"{origin}{path}", headers=asked)

    assert preflight.status_code == 200
    assert name in preflight.headers["access-control-allow-headers"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("other", ["https://evil.example", "https://shop.example.evil", "null"])
def test_cors_of_another_origin(origin: str, tenant: str, other: str, path: str) -> None:
    """A page of any other origin gets no leave to call, and is told why."""
    asked = {"origin": other, "access-control-request-method": "GET"}
    preflight = httpx.options(f"{origin}{path}", headers=asked)
    answer = http_request(
        "GET", f"{origin}{path}", headers=http_headers(tenant) | {"origin": other}
    )

    assert error_of(preflight) == Error(403, 7, "ORIGIN_FORBIDDEN", [])
    assert "CORS_ORIGINS" in preflight.json()["message"]
    for each in (preflight, answer):
        assert "access-control-allow-origin" not in each.headers
        assert "Origin" in each.headers["vary"]


@pytest.mark.parametrize("path", [NO_CUSTOMER, "/customers/none/ref", "/nothing"])
def test_echoed_request_id(path: str, http: httpx.Client) -> None:
    """A client's request id comes back with every answer; without one the gateway makes it."""
    given = http.get(path, headers={"x-request-id": "my-request-1"})
    made = http.get(path)

    assert given.headers["x-request-id"] == "my-request-1"
    assert len(made.headers["x-request-id"]) == 36


def test_gzip(http: httpx.Client) -> None:
    """A long answer is compressed for clients that accept it."""
    long = {"email": "long@example.com", "addresses": [{"city": "Rom"}] * 50}
    http.post("/customers", json=long)

    packed = http.get("/customers/search?email=long@example.com")
    plain = http.get(
        "/customers/search?email=long@example.com", headers={"accept-encoding": "identity"}
    )

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()


def test_no_header_of_the_inside(http: httpx.Client) -> None:
    """An answer has no header that tells how the service is built."""
    created = http.post("/customers", json={"email": "ada@example.com"})

    assert {"server", "x-http-code", "grpc-status", "x-envoy-upstream-service-time"}.isdisjoint(
        created.headers
    )


def _call(channel: grpc.Channel, path: str, request: bytes) -> bytes:
    """Calls any RPC with an encoded request, and returns the encoded answer."""
    call = channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
    return call(request)
