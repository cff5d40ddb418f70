"""One port speaks REST, native gRPC and gRPC-Web, with the headers that clients rely on."""

import base64
import json
import re
import struct
from collections.abc import Callable

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.gateway.errors import Error, error_of
from tests.gateway.stacks import http_headers
from tests.support.builders import customer
from tests.support.http_client import http_request
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
        CustomerServiceStub(native).GetCustomer(pb.GetCustomerRequest(id="x"))

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

    assert error_of(response) == Error(404, 5, "ROUTE_NOT_FOUND", [])


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
    answer = _call(native, "/grpc.health.v1.Health/Check", request)

    response = health_pb2.HealthCheckResponse.FromString(answer)
    assert response.status == health_pb2.HealthCheckResponse.SERVING
    assert http_request("GET", f"{origin}/healthz").status_code == 200


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
        "GET", f"{origin}/api/v2/customers/x", headers=http_headers(tenant) | {"origin": ORIGIN}
    )

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "x-twc-tenant" in preflight.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "x-next-page-token" in answer.headers["access-control-expose-headers"]


def test_cors_of_another_origin(origin: str) -> None:
    """A page of any other origin gets no leave to call."""
    asked = {"origin": "https://evil.example", "access-control-request-method": "GET"}
    preflight = httpx.options(f"{origin}/api/v2/customers/x", headers=asked)

    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize("path", ["/customers/none", "/customers/none/ref", "/nothing"])
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
