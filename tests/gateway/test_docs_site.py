"""The gateway serves the OpenAPI description and the page to try the API on, without a token."""

import gzip
from collections.abc import Iterator
from importlib import resources
from typing import Any

import httpx
import pytest
import yaml

from tests.gateway.errors import Error, error_of
from tests.gateway.stacks import StackFactory, http_headers
from tests.support.builders import new_email
from tests.support.http_client import http_client
from twc_customer_gateway.supervisor.stack import Stack

PACKAGE = resources.files("twc.customer.v2")
DEVELOPMENT = {"development": True, "issuer": None, "jwks": None}
TYPES = {
    "/openapi.json": "application/json",
    "/openapi.yaml": "application/yaml",
    "/docs": "text/html; charset=utf-8",
    "/docs/page.css": "text/css; charset=utf-8",
    "/docs/page.js": "text/javascript; charset=utf-8",
    "/docs/plugins.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui.css": "text/css; charset=utf-8",
    "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/docs/favicon-32x32.png": "image/png",
}


@pytest.fixture
def anyone(origin: str) -> Iterator[httpx.Client]:
    """A client without a token."""
    with http_client(base_url=origin) as client:
        yield client


def client_of(stack: Stack, **options: Any) -> httpx.Client:
    """A client of the gateway of a service."""
    return http_client(base_url=f"http://127.0.0.1:{stack.settings.gateway_port}", **options)


@pytest.mark.parametrize("path", TYPES)
def test_files(anyone: httpx.Client, path: str) -> None:
    """Each file is served with its type, compressed for those who read gzip, and by HEAD."""
    plain = anyone.get(path, headers={"accept-encoding": "identity"})
    assert (plain.status_code, plain.headers["content-type"]) == (200, TYPES[path])
    assert int(plain.headers["content-length"]) == len(plain.content) > 0
    with anyone.stream("GET", path, headers={"accept-encoding": "br, gzip"}) as response:
        assert response.headers["content-encoding"] == "gzip"
        assert gzip.decompress(b"".join(response.iter_raw())) == plain.content
    head = anyone.head(path, headers={"accept-encoding": "identity"})
    assert head.content == b""
    for name in ("content-type", "content-length", "etag", "vary"):
        assert head.headers[name] == plain.headers[name]
    assert "Accept-Encoding" in plain.headers["vary"]


@pytest.mark.parametrize("codings", ["gzip;q=0", "gzip;q=0.0, br", "x-gzip", "deflate", ""])
def test_client_without_gzip(anyone: httpx.Client, codings: str) -> None:
    """A client that does not read gzip gets the file as it is."""
    response = anyone.get("/openapi.json", headers={"accept-encoding": codings})
    assert "content-encoding" not in response.headers
    assert response.text == PACKAGE.joinpath("openapi.json").read_text()


def test_description(anyone: httpx.Client) -> None:
    """Both forms of the description are those of the contract."""
    document = anyone.get("/openapi.json").json()
    assert document == yaml.safe_load(anyone.get("/openapi.yaml").text)
    assert "/api/v2/customers" in document["paths"]


@pytest.mark.parametrize("path", TYPES)
def test_unchanged(anyone: httpx.Client, path: str) -> None:
    """Who has a file and asks by its entity tag gets 304, in either form; others get the file."""
    first = anyone.get(path)
    assert first.headers["cache-control"] == "public, no-cache"
    for tags in (first.headers["etag"], f'"x", {first.headers["etag"]}'):
        again = anyone.get(path, headers={"if-none-match": tags})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert "location" not in again.headers
    assert anyone.get(path, headers={"if-none-match": 'W/"x"'}).status_code == 200


@pytest.mark.parametrize("path", [*TYPES, "/"])
def test_policy(anyone: httpx.Client, path: str) -> None:
    """The page may load and call only what is of the service, without inline code or styles."""
    response = anyone.get(path, follow_redirects=True)
    policy = dict(
        it.split(" ", 1) for it in response.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/docs/"])
def test_redirect(anyone: httpx.Client, path: str) -> None:
    """The root leads to the page."""
    response = anyone.get(path)
    assert (response.status_code, response.headers["location"]) == (302, "/docs")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_method(anyone: httpx.Client, method: str) -> None:
    """The files are read only."""
    response = anyone.request(method, "/openapi.json")
    assert error_of(response) == Error(405, 12, "METHOD_NOT_ALLOWED", [])
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    ["/docs/index.html", "/docs/x", "/docs/..%2fopenapi.json", "/docs/%2e%2e/%2e%2e/public.yaml"],
)
def test_other_path(anyone: httpx.Client, path: str) -> None:
    """There are no other files."""
    assert error_of(anyone.get(path)) == Error(404, 5, "ROUTE_NOT_FOUND", [])


def test_other_origin(anyone: httpx.Client) -> None:
    """Pages of origins that may call read the description."""
    response = anyone.get("/openapi.json", headers={"origin": "https://shop.example"})
    assert response.headers["access-control-allow-origin"] == "https://shop.example"
    response = anyone.get("/openapi.json", headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in response.headers


def test_no_token(anyone: httpx.Client) -> None:
    """Outside of development mode the page has no token."""
    assert "data-development" not in anyone.get("/docs").text
    assert anyone.get("/docs/development.json").status_code == 404


def test_development_token(start_stack: StackFactory) -> None:
    """In development mode the page has a valid token, which no other site can read."""
    with start_stack(**DEVELOPMENT, cors_origins=["https://shop.example"]) as stack:
        with client_of(stack) as anyone:
            assert 'data-development="docs/development.json"' in anyone.get("/docs").text
            response = anyone.get("/docs/development.json")
            assert response.headers["cache-control"] == "private, no-store"
            given = response.json()
            for headers in (
                {"host": "rebound.example"},
                {"host": f"127.0.0.1.example:{stack.settings.gateway_port}"},
                {"sec-fetch-site": "cross-site", "origin": "https://shop.example"},
                {"sec-fetch-site": "same-site"},
            ):
                refused = anyone.get("/docs/development.json", headers=headers)
                assert refused.status_code == 404
        headers = http_headers(given["tenant"]) | {"authorization": f"Bearer {given['token']}"}
        with client_of(stack, headers=headers) as http:
            created = http.post("/api/v2/customers", json={"email": new_email()})
            assert created.status_code == 201


def test_many_requests(start_stack: StackFactory) -> None:
    """Requests for a file beyond a number are refused, and no others."""
    with start_stack() as stack, client_of(stack) as anyone:
        responses = [anyone.get("/docs/page.js") for _ in range(60)]
        refused = [it for it in responses if it.status_code != 200]
        assert len(refused) > 10
        assert all(error_of(it) == Error(429, 8, "RATE_LIMITED", []) for it in refused)
        assert anyone.get("/docs/page.css").status_code == 200
        assert anyone.get("/api/v2/customers").status_code == 401


def test_docs_off(start_stack: StackFactory) -> None:
    """With DOCS=false there is neither page nor description, nor a token of development."""
    with start_stack(**DEVELOPMENT, docs=False) as stack, client_of(stack) as anyone:
        for path in [*TYPES, "/", "/docs/", "/docs/development.json"]:
            assert error_of(anyone.get(path)) == Error(404, 5, "ROUTE_NOT_FOUND", [])
