"""HTTP as clients expect it: HEAD, Location, compressed bodies, null, queries, errors of gRPC."""

import gzip
import json
import socket
import zlib
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.gateway.errors import Error, error_of
from tests.gateway.stacks import StackFactory, http_headers
from tests.support.builders import NO_CUSTOMER, new_email
from tests.support.client import SECONDS, as_tenant, failure
from tests.support.http_client import http_client, http_request
from twc_customer_gateway.supervisor.stack import Stack

JSON = {"content-type": "application/json"}
MALFORMED = Error(400, 3, "MALFORMED_REQUEST", [])
PREFIX = "/services/customerservice"


@pytest.fixture
def stored(http: httpx.Client) -> dict[str, Any]:
    """A stored customer with a phone, a name and two addresses."""
    given = {
        "email": new_email(),
        "phone": "+491701234567",
        "firstName": "Ada",
        "taxExemptions": ["CA-BC"],
        "addresses": [{"city": "Rom", "address1": "Via"}, {"city": "Bonn"}],
    }
    customer: dict[str, Any] = http.post("/customers", json=given).json()
    return customer


def test_head(http: httpx.Client, stored: dict[str, Any]) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    paths = [f"/customers/{stored['id']}", NO_CUSTOMER, "/customers/none/ref", "/customers/x"]
    for path in [*paths, f"/customers/search?email={stored['email']}", "/nothing"]:
        got, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        for name in ("content-type", "etag", "content-length"):
            assert head.headers.get(name) == got.headers.get(name) or name == "content-length"
    head = http.head(paths[0])
    assert int(head.headers["content-length"]) == len(http.get(paths[0]).content)
    tag = {"if-none-match": head.headers["etag"]}
    assert http.head(paths[0], headers=tag).status_code == 304


@pytest.mark.parametrize("name", ["X+Foo", "x!", "#$&*^`|~", "a'b", "a%20"])
def test_header_that_grpc_does_not_know(
    http: httpx.Client, stored: dict[str, Any], name: str
) -> None:
    """A header whose name HTTP allows and gRPC does not is ignored."""
    response = http.get(f"/customers/{stored['id']}", headers={name: "x"})
    assert (response.status_code, response.json()) == (200, stored)


def test_head_without_token(http: httpx.Client) -> None:
    """HEAD needs a token as GET does."""
    assert http.head(NO_CUSTOMER, headers={"authorization": ""}).status_code == 401


@pytest.mark.parametrize("slash", ["", "/"])
def test_location(http: httpx.Client, slash: str) -> None:
    """A new customer's place is told, relative to the path that was called."""
    created = http.post(f"/customers{slash}", json={"email": new_email()})
    assert http.get(created.url.join(created.headers["location"])).json() == created.json()


def test_location_of_repeat(http: httpx.Client) -> None:
    """A repeat with an idempotency key has the place of the customer that was created."""
    content, key = {"email": new_email()}, {"idempotency-key": "key"}
    first, again = (http.post("/customers", json=content, headers=key) for _ in range(2))
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]


def test_prefix(start_stack: StackFactory) -> None:
    """With PATH_PREFIX every route is served below it as well, and links stay below it."""
    with start_stack(path_prefix=PREFIX) as stack:
        base = f"http://127.0.0.1:{stack.settings.gateway_port}"
        with http_client(base_url=base, headers=http_headers("prefix")) as http:
            given = {"email": new_email(), "lastName": "Same", "customerRef": "A=1"}
            created = http.post(f"{PREFIX}/api/v2/customers", json=given)
            http.post("/api/v2/customers", json={"email": new_email(), "lastName": "Same"})
            assert http.get(created.url.join(created.headers["location"])).status_code == 200
            key = f"{PREFIX}/api/v2/customers/customerRef=A=1"
            assert http.put(key, json={"firstName": "Ada"}).json()["firstName"] == "Ada"
            large = {"email": new_email(), "addresses": [{"city": "x" * 1000}] * 20}
            assert http.post(f"{PREFIX}/api/v2/customers", json=large).status_code == 201
            page = http.get(f"{PREFIX}/api/v2/customers/search?lastName=same&pageSize=1")
            link = page.url.join(page.links["next"]["url"])
            assert link.path == f"{PREFIX}/api/v2/customers/search"
            assert len(http.get(link).json()) == 1
            assert http.get(f"{PREFIX}x/api/v2/customers/search?lastName=x").status_code == 404


@pytest.mark.parametrize("coding", ["gzip", "GZIP"])
@pytest.mark.parametrize("path", ["/customers", "/customers/validate"])
def test_compressed_body(http: httpx.Client, path: str, coding: str) -> None:
    """A body in gzip is read."""
    content = gzip.compress(json.dumps({"email": new_email()}).encode())
    response = http.post(path, content=content, headers=JSON | {"content-encoding": coding})
    assert response.status_code in {200, 201}


def test_compressed_upload(http: httpx.Client) -> None:
    """So is an upload."""
    content = gzip.compress(json.dumps([{"email": new_email()} for _ in range(100)]).encode())
    headers = JSON | {"content-encoding": "gzip"}
    assert len(http.post("/upload-customers", content=content, headers=headers).json()) == 100


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (gzip.compress(b" " * 50_000_000), 413, "REQUEST_TOO_LARGE"),
        (gzip.compress(b'{"email": "x"')[:-12], 400, "INVALID_INPUT"),
        (b"no gzip", 400, "INVALID_INPUT"),
    ],
    ids=["bomb", "cut short", "not compressed"],
)
def test_bad_compressed_body(http: httpx.Client, content: bytes, status: int, reason: str) -> None:
    """A body that is too large when it is read, or is no gzip, is refused."""
    headers = JSON | {"content-encoding": "gzip"}
    error = error_of(http.post("/customers", content=content, headers=headers))
    assert (error.status, error.reason) == (status, reason)


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "compress"])
def test_other_encodings(http: httpx.Client, coding: str) -> None:
    """Other encodings are refused, and the error says which is taken."""
    content = zlib.compress(b"{}")
    response = http.post("/customers", content=content, headers=JSON | {"content-encoding": coding})
    assert error_of(response) == Error(415, 3, "UNSUPPORTED_MEDIA_TYPE", [])
    assert response.json()["message"] == "the header Content-Encoding must be gzip or absent"


def test_compressed_body_without_token(http: httpx.Client) -> None:
    """A compressed body is not read before the token is verified."""
    content = gzip.compress(b" " * 50_000_000)
    headers = JSON | {"content-encoding": "gzip", "authorization": "Bearer x"}
    assert http.post("/customers", content=content, headers=headers).status_code == 401


def test_byte_order_mark(http: httpx.Client) -> None:
    """A byte order mark before the JSON is skipped."""
    content = b"\xef\xbb\xbf" + json.dumps({"email": new_email()}).encode()
    assert http.post("/customers", content=content, headers=JSON).status_code == 201


def test_null_in_update(http: httpx.Client, stored: dict[str, Any]) -> None:
    """A member of an update that is null is cleared, as in a JSON merge patch (RFC 7396)."""
    changes = {"id": stored["id"], "phone": None, "addresses": None, "taxExemptions": None}
    updated = http.put("/customers", json=changes | {"lastName": "L", "dob": None}).json()
    assert "phone" not in updated
    assert (updated["addresses"], updated["taxExemptions"]) == ([], [])
    assert (updated["firstName"], updated["lastName"]) == ("Ada", "L")


def test_null_in_update_beside_mask(http: httpx.Client, stored: dict[str, Any]) -> None:
    """With a mask only its fields change."""
    changes = {"id": stored["id"], "phone": None, "firstName": None}
    updated = http.put("/customers?updateMask=firstName", json=changes).json()
    assert "firstName" not in updated
    assert updated["phone"] == stored["phone"]


def test_null_of_required_field(http: httpx.Client, stored: dict[str, Any]) -> None:
    """A field that a customer must have is not cleared."""
    response = http.put("/customers", json={"id": stored["id"], "email": None})
    assert error_of(response) == Error(400, 3, "INVALID_INPUT", ["email"])


def test_null_in_large_update(http: httpx.Client, stored: dict[str, Any]) -> None:
    """A large update is no different."""
    changes = {"id": stored["id"], "phone": None, "addresses": [{"city": "x" * 1000}] * 20}
    updated = http.put("/customers", json=changes).json()
    assert "phone" not in updated
    assert len(updated["addresses"]) == 20


def test_null_in_address(http: httpx.Client, stored: dict[str, Any]) -> None:
    """A member of one address that is null is cleared."""
    path = f"/customers/{stored['id']}/address/{stored['addresses'][0]['id']}"
    [address, _] = http.put(path, json={"address1": None, "level": "3"}).json()["addresses"]
    assert "address1" not in address
    assert (address["city"], address["level"]) == ("Rom", "3")


QUERIES = {
    "twice": "/customers/search?email=a@example.com&email=b@example.com",
    "twice, in both spellings": "/customers/search?lastName=a&page_size=1&pageSize=2",
    "no number": "/customers/search?lastName=x&pageSize=abc",
    "a number with a point": "/customers/search?lastName=x&pageSize=1.0",
    "a number too large": "/customers/search?lastName=x&pageSize=99999999999",
    "no value": "/customers/search?email",
    "unknown": "/customers/search?mail=x",
}


@pytest.mark.parametrize("path", QUERIES.values(), ids=QUERIES)
def test_bad_query(http: httpx.Client, path: str) -> None:
    """A query that cannot be read is refused, and the error says what it may have."""
    response = http.get(path)
    assert error_of(response) == MALFORMED
    assert "name=value, each name once, of email, firstName" in response.json()["message"]
    assert "pageSize (a whole number)" in response.json()["message"]


@pytest.mark.parametrize("path", ["/customers/%00", "/customers/a%00b/ref", "/%00"])
def test_nul_in_path(http: httpx.Client, path: str) -> None:
    """A path with NUL is refused, and the error says so."""
    response = http.get(path)
    assert error_of(response) == MALFORMED
    assert response.json()["message"].endswith("the path must not have NUL, which no text may")


def test_ignored_members(http: httpx.Client) -> None:
    """Members that the API does not know are named, as far as there are few, and not stored."""
    given = {
        "email": new_email(),
        "wishList": [1],
        "addresses": [{"city": "Rom", "geo": {"x": 1}}],
        "attributeGroups": {"g": {"attributes": {}, "kind": "\u00e4"}},
    }
    response = http.post("/customers", json=given)
    assert response.status_code == 201
    assert response.headers["x-ignored-members"] == (
        'wishList, addresses[0].geo, attributeGroups["g"].kind'
    )
    assert "x-ignored-members" not in http.post("/customers", json={"email": new_email()}).headers
    many = {f"\u00e4:{n}": 1 for n in range(100)}
    headers = http.post("/customers", json={"email": new_email(), **many}).headers
    *named, rest = headers["x-ignored-members"].split(", ")
    assert (len(named), rest) == (10, "and 90 more")


def test_refused_members(start_stack: StackFactory) -> None:
    """They are refused if the settings say so."""
    with start_stack(unknown_members="refuse") as stack:
        base = f"http://127.0.0.1:{stack.settings.gateway_port}/api/v2"
        with http_client(base_url=base, headers=http_headers("strict")) as http:
            given = {"email": new_email(), "wishList": [1], "addresses": [{"city": "x", "y": 1}]}
            error = error_of(http.post("/customers", json=given))
            assert error == Error(400, 3, "INVALID_INPUT", ["wishList", "addresses[0].y"])


def _call(channel: grpc.Channel, path: str) -> object:
    rpc: Any = channel.unary_unary(path)
    return rpc(b"", SECONDS, as_tenant("acme"))


NATIVE: dict[str, tuple[Callable[[grpc.Channel], object], grpc.StatusCode, str]] = {
    "large message": (
        lambda channel: CustomerServiceStub(channel).CreateCustomer(
            pb.CreateCustomerRequest(customer=Customer(email="x" * 3_000_000)),
            SECONDS,
            as_tenant("acme"),
        ),
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_TOO_LARGE",
    ),
    "unknown method": (
        lambda channel: _call(channel, "/twc.customer.v2.CustomerService/Nothing"),
        grpc.StatusCode.UNIMPLEMENTED,
        "ROUTE_NOT_FOUND",
    ),
    "unknown service": (
        lambda channel: _call(channel, "/a.B/C"),
        grpc.StatusCode.UNIMPLEMENTED,
        "ROUTE_NOT_FOUND",
    ),
}


@pytest.mark.parametrize(("act", "code", "reason"), NATIVE.values(), ids=NATIVE)
def test_native_errors_of_gateway(
    native: grpc.Channel, act: Callable[[grpc.Channel], object], code: grpc.StatusCode, reason: str
) -> None:
    """What the gateway refuses is an error of gRPC with its reason, and a sentence."""
    refused = failure(lambda: act(native))
    assert (refused.code, refused.reason) == (code, reason)
    assert "{" not in refused.message


@pytest.mark.parametrize("media", ["application/json", "application/connect+json", "text/html"])
def test_rpc_of_another_protocol(origin: str, media: str) -> None:
    """A call of an RPC that is no gRPC is refused, and the error says what is taken."""
    url = f"{origin}/twc.customer.v2.CustomerService/GetCustomer"
    headers = http_headers("acme") | {"content-type": media}
    response = http_request("POST", url, content=b"{}", headers=headers)
    assert error_of(response) == Error(415, 3, "UNSUPPORTED_MEDIA_TYPE", [])
    assert "application/grpc or application/grpc-web" in response.json()["message"]


def test_grpc_over_http1(origin: str) -> None:
    """GRPC over HTTP/1.1, whose answers would lack their status, is refused with a status."""
    url = f"{origin}/twc.customer.v2.CustomerService/GetCustomer"
    headers = http_headers("acme") | {"content-type": "application/grpc"}
    response = http_request("POST", url, content=bytes(5), headers=headers)
    assert response.headers["grpc-status"] == str(grpc.StatusCode.UNIMPLEMENTED.value[0])
    assert "HTTP/2" in response.headers["grpc-message"]


def _answer(stack: Stack, request: bytes) -> bytes:
    """What the gateway answers to bytes."""
    address = (stack.settings.bind, stack.settings.gateway_port)
    with socket.create_connection(address, SECONDS) as connection:
        connection.sendall(request)
        return connection.recv(4096)


def test_tunnel(stack: Stack) -> None:
    """A request for a tunnel is answered at once: there are none."""
    answer = _answer(stack, b"CONNECT 192.0.2.1:80 HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"ROUTE_NOT_FOUND" in answer


def test_old_http(stack: Stack) -> None:
    """HTTP/1.0, which some proxies forward, is refused with the versions that are served."""
    answer = _answer(stack, b"GET /healthz HTTP/1.0\r\nhost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 426")
    assert b"HTTP/1.1 or HTTP/2" in answer
