"""Bodies that are large, or do not tell their size: read only for callers who are known."""

import http.client
import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import grpc
import httpx
import psutil
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.gateway.errors import Error, error_of
from tests.gateway.stacks import StackFactory, http_headers
from tests.support.builders import NO_CUSTOMER, UNKNOWN_ID, customer
from tests.support.client import SECONDS, as_tenant, failure
from tests.support.http_client import http_request
from tests.support.server_process import wait_until
from twc_customer_gateway.filters import SMALL_BODY_BYTES
from twc_customer_gateway.supervisor import envoy_admin
from twc_customer_gateway.supervisor.stack import Stack
from twc_customer_server import contract
from twc_customer_server.transport.body_shares import MOST, MOST_WAITING

JSON = {"content-type": "application/json"}
UNAUTHENTICATED = Error(401, 16, "UNAUTHENTICATED", [])
SMALL = SMALL_BODY_BYTES


def _answer(stack: Stack, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    """Sends a request without the body that its headers announce, and returns the response."""
    address = (stack.settings.bind, stack.settings.gateway_port)
    head = [f"{method} {path} HTTP/1.1", "host: localhost"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(address, SECONDS) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.read())


LARGE = {"content-length": str(SMALL + 1)}
CHUNKED = {"transfer-encoding": "chunked"}
UPLOAD = "/api/v2/upload-customers"
ONE = "/api/v2/customers"
# What is announced, and never sent.
ANNOUNCED: dict[str, tuple[str, str, dict[str, str]]] = {
    "large create": ("POST", ONE, LARGE),
    "create of 2 MB": ("POST", ONE, {"content-length": "2000000"}),
    "create of unknown length": ("POST", ONE, CHUNKED),
    "large update": ("PUT", ONE, LARGE),
    "large address": ("POST", f"{ONE}/x/address", LARGE),
    "small upload": ("POST", UPLOAD, {"content-length": "100"}),
    "upload of 15 MB": ("POST", UPLOAD, {"content-length": "15000000"}),
    "upload of unknown length": ("POST", UPLOAD, CHUNKED),
}
each_announced = pytest.mark.parametrize("name", ANNOUNCED)


@each_announced
def test_forged_token(stack: Stack, tenant: str, name: str) -> None:
    """A caller with a forged token is refused before any of the body is there."""
    method, path, announced = ANNOUNCED[name]
    identity = {"authorization": "Bearer x", "x-twc-tenant": tenant}
    answer = _answer(stack, method, path, JSON | identity | announced)

    assert error_of(answer) == UNAUTHENTICATED
    assert answer.json()["message"] == "the token cannot be verified"
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@each_announced
def test_token_of_another_tenant(stack: Stack, tenant: str, name: str) -> None:
    """A caller with another tenant's token is refused before any of the body is there."""
    method, path, announced = ANNOUNCED[name]
    identity = http_headers("other") | {"x-twc-tenant": tenant}
    answer = _answer(stack, method, path, JSON | identity | announced)

    assert error_of(answer) == Error(403, 7, "TENANT_FORBIDDEN", [])


@each_announced
def test_missing_tenant(stack: Stack, tenant: str, name: str) -> None:
    """A caller who names no tenant is told so before any of the body is there."""
    method, path, announced = ANNOUNCED[name]
    identity = {"authorization": http_headers(tenant)["authorization"]}
    answer = _answer(stack, method, path, JSON | identity | announced)

    assert error_of(answer) == Error(400, 3, "INVALID_TENANT", [])


REFUSED: dict[str, tuple[str, str, dict[str, str], int]] = {
    "no token": ("POST", ONE, {"authorization": ""}, 401),
    "unknown path": ("POST", "/nowhere", {}, 404),
    "wrong method": ("PATCH", ONE, {}, 405),
    "wrong media type": ("POST", ONE, {"content-type": "text/plain"}, 415),
    "wrong query": ("POST", f"{ONE}?x=y", {}, 400),
}


@pytest.mark.parametrize("announced", [LARGE, CHUNKED], ids=["large", "chunked"])
@pytest.mark.parametrize(("method", "path", "headers", "status"), REFUSED.values(), ids=REFUSED)
def test_refused_head(  # noqa: PLR0913, PLR0917 - one for each part of a case
    stack: Stack,
    tenant: str,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    announced: dict[str, str],
) -> None:
    """What the head of a request gets wrong is answered without waiting for its body."""
    answer = _answer(stack, method, path, JSON | http_headers(tenant) | announced | headers)

    assert error_of(answer).status == status


def test_body_of_get(http: httpx.Client) -> None:
    """A request that should have no body, and has a large one, is refused as too large."""
    answer = http.request("GET", NO_CUSTOMER, content=b"x" * (SMALL + 1))

    assert error_of(answer) == Error(413, 3, "REQUEST_TOO_LARGE", [])


def _customer(size: int) -> dict[str, Any]:
    """A customer of about so many bytes of JSON."""
    return {"email": "ada@example.com", "addresses": [{"city": "x" * 1000}] * (size // 1015)}


@pytest.mark.parametrize("size", [SMALL - 1000, 4 * SMALL], ids=["small", "large"])
@pytest.mark.parametrize("chunked", [False, True], ids=["known length", "chunked"])
def test_good_token(http: httpx.Client, size: int, chunked: bool) -> None:  # noqa: FBT001
    """A customer is stored, read and refused alike, however its body comes."""
    encoded = json.dumps(_customer(size)).encode()

    def send(body: bytes) -> httpx.Response:
        return http.post("/customers", content=iter([body]) if chunked else body, headers=JSON)

    created, again = send(encoded), send(encoded)
    wrong = send(encoded.replace(b"ada@example.com", b"nobody"))
    broken = send(encoded[:-1])

    assert created.status_code == 201
    assert created.headers["etag"]
    assert http.get(f"/customers/{created.json()['id']}").json() == created.json()
    assert error_of(again) == Error(409, 6, "ALREADY_EXISTS", [])
    assert error_of(wrong) == Error(400, 3, "INVALID_INPUT", ["email"])
    assert error_of(broken).status == 400


def test_too_large_body(http: httpx.Client) -> None:
    """A body beyond the limit of its route is refused as such, however it comes."""
    large = b" " * (2 * 1024 * 1024 + 1)
    answers = [
        http.post("/customers", content=content, headers=JSON) for content in (large, iter([large]))
    ]

    assert [error_of(answer) for answer in answers] == [Error(413, 3, "REQUEST_TOO_LARGE", [])] * 2


def test_cost_of_small_body(stack: Stack, http: httpx.Client) -> None:
    """For a create of usual size the server is not asked about the token first."""

    def asked() -> int:
        [admin, _] = stack.settings.admin_sockets
        return envoy_admin.stat(admin, "http.public.ext_authz.ok", "Counters") or 0

    before = asked()
    http.post("/customers", json=_customer(2000))
    assert asked() == before
    http.post("/customers", json=_customer(2 * SMALL))
    assert asked() == before + 1


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages(stack: Stack, tenant: str, compression: grpc.Compression) -> None:
    """A native client of the gateway may compress its messages."""
    with grpc.insecure_channel(stack.settings.gateway_address) as channel:
        stub: Any = CustomerServiceStub(channel)
        request = pb.CreateCustomerRequest(customer=customer(first_name="a" * 1000))
        created = stub.CreateCustomer(request, SECONDS, as_tenant(tenant), compression=compression)
        read = pb.GetCustomerRequest(id=created.id)
        assert stub.GetCustomer(read, SECONDS, as_tenant(tenant)) == created


class Unfinished:
    """Uploads of a tenant that do not end, on connections of their own."""

    def __init__(self, stack: Stack, tenant: str, count: int) -> None:
        address = (stack.settings.bind, stack.settings.gateway_port)
        head = f"POST {UPLOAD} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n"
        head += "".join(f"{k}: {v}\r\n" for k, v in (JSON | http_headers(tenant)).items())
        self._held = [socket.create_connection(address, SECONDS) for _ in range(count)]
        for connection in self._held:
            connection.sendall(f"{head}\r\n[".encode())

    def answered(self) -> list[bytes]:
        """The beginnings of the answers so far."""
        readable, _, _ = select.select(self._held, [], [], 0)
        return [each.recv(12, socket.MSG_PEEK) for each in readable]

    def close(self) -> None:
        """Gives them up."""
        for connection in self._held:
            connection.close()


def test_unfinished_bodies(stack: Stack, tenant: str) -> None:
    """A tenant whose large bodies do not end is refused more of them, others none of theirs.

    Once it has given them up it is served.
    """
    url = f"http://{stack.settings.gateway_address}{UPLOAD}"
    held = Unfinished(stack, tenant, MOST + MOST_WAITING + 2)
    with closing(held):
        wait_until(lambda: held.answered() == [b"HTTP/1.1 429"] * 2)
        refused = httpx.post(url, json=[], headers=http_headers(tenant))
        assert error_of(refused) == Error(429, 8, "RATE_LIMITED", [])
        assert refused.headers["retry-after"] == "1"
        for number in range(64):
            other = http_headers(f"{tenant}-{number}")
            assert httpx.post(url, json=[], headers=other).status_code == 201
        small = url.replace(UPLOAD, f"{ONE}/{UNKNOWN_ID}")
        assert httpx.get(small, headers=http_headers(tenant)).status_code == 204
    assert httpx.post(url, json=[], headers=http_headers(tenant)).status_code == 201


def test_name_in_the_count(stack: Stack, tenant: str) -> None:
    """Who names another tenant in the header of the count is counted as what the token says."""
    url = f"http://{stack.settings.gateway_address}{UPLOAD}"
    with closing(Unfinished(stack, tenant, MOST + MOST_WAITING + 1)) as held:
        wait_until(lambda: held.answered() == [b"HTTP/1.1 429"])
        named = http_headers(tenant) | {contract.LARGE_BODIES_HEADER: "other"}
        assert httpx.post(url, json=[], headers=named).status_code == 429


def test_native_stream(native: grpc.Channel, tenant: str) -> None:
    """A native stream with a forged token is refused before it has sent a message."""
    done = threading.Event()

    def items() -> Iterator[pb.UploadCustomersRequest]:
        done.wait(SECONDS)
        yield pb.UploadCustomersRequest()

    identity = (("authorization", "Bearer x"), ("x-twc-tenant", tenant))
    stub = CustomerServiceStub(native)
    refused = failure(lambda: list(stub.UploadCustomers(items(), SECONDS, identity)))
    done.set()

    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert refused.message == "the token cannot be verified"
    assert (refused.reason, refused.domain) == ("UNAUTHENTICATED", "customer.twc")


def test_memory_of_forged_uploads(stack: Stack, tenant: str) -> None:
    """Uploads of callers with forged tokens leave nothing in the memory of any process."""
    processes = [it for it in psutil.Process().children() if "envoy" in it.name()]
    before = sum(it.memory_info().rss for it in processes)
    identity = {"authorization": "Bearer x", "x-twc-tenant": tenant}
    body = b"[" + b" " * 15_000_000 + b"]"
    url = f"http://{stack.settings.gateway_address}{UPLOAD}"
    for _ in range(10):
        # Who is refused before the request is complete may read no answer.
        try:
            answer = httpx.post(url, content=body, headers=JSON | identity)
        except httpx.TransportError:
            continue
        assert answer.status_code == 401

    after = sum(it.memory_info().rss for it in processes)
    assert after - before < 2 * len(body)


def test_upload_at_the_start(start_stack: StackFactory) -> None:
    """A large body is read as soon as the service is ready."""
    with start_stack() as stack:
        url = f"http://{stack.settings.bind}:{stack.settings.gateway_port}{UPLOAD}"
        uploaded = [{"email": "ada@example.com"}]
        answer = http_request("POST", url, headers=http_headers("acme"), json=uploaded)
    assert answer.status_code == 201
