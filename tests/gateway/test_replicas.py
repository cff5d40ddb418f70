"""The tokens of reads of replicas by REST: each kind of response has one, in a header."""

from collections.abc import Iterator

import httpx
import pytest

from tests.gateway.stacks import http_headers, running
from tests.support.http_client import http_client
from tests.support.server_process import wait_until
from tests.support.standby import Pair, pair

HEADER = "X-TWC-Consistency-Token"
ORIGIN = "https://shop.example"


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    """A primary, and a standby that no commit waits for."""
    with pair(is_synchronous=False) as servers:
        yield servers


@pytest.fixture(scope="module")
def http(servers: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service of both with two workers, which sends `latest` by default."""
    url = servers.database()
    database = {
        "data_dir": tmp_path_factory.mktemp("service"),
        "database_url": url,
        "database_read_urls": [servers.replica(url)],
        "database_read_max_lag_seconds": 3600,
    }
    headers = http_headers("acme") | {HEADER: "latest"}
    with running(database, workers=2, cors_origins=[ORIGIN]) as stack:
        base = f"http://{stack.settings.bind}:{stack.settings.gateway_port}/api/v2"
        with http_client(base_url=base, headers=headers) as http:
            yield http


def last_name(http: httpx.Client, customer: str, token: str) -> str:
    """The last name that a read with a token sees."""
    found = http.get(f"/customers/{customer}", headers={HEADER: token})
    assert found.status_code == 200
    return str(found.json()["lastName"])


def test_every_response(http: httpx.Client) -> None:
    """Each kind of response has a token, also one without a body."""
    new = {"email": "ada@example.com", "customerRef": "r-1", "lastName": "King"}
    created = http.post("/customers", json=new)
    place = f"/customers/{created.json()['id']}"
    tag = created.headers["etag"]
    responses = [
        created,
        http.post("/upload-customers", json=[{"email": "bob@example.com"}]),
        http.post("/customers/validate", json={"email": "eve@example.com"}),
        http.put("/customers", json={"customerRef": "r-1", "firstName": "Ada"}),
        http.get(place),
        http.get(place, headers={"If-None-Match": tag}),
        http.get("/customers/r-1/ref"),
        http.get("/customers/search?lastName=King"),
        http.get("/customers/search?lastName=nobody"),
        http.get("/customers"),
        http.get("/customers/changes"),
        http.delete(place),
        http.get(place),
    ]
    assert [it.status_code for it in responses] == [
        *(201, 201, 200, 200, 200, 200, 200, 200, 200, 200, 200, 204, 204)
    ]
    assert [it.request.url.path for it in responses if HEADER not in it.headers] == []


def test_without_header(http: httpx.Client) -> None:
    """A request without the header has a response without it."""
    headers = {name: value for name, value in http.headers.items() if name != HEADER.lower()}
    with http_client(base_url=http.base_url, headers=headers) as other:
        assert HEADER not in other.get("/customers").headers


def test_own_write(http: httpx.Client, servers: Pair) -> None:
    """Whichever worker answers, a read with the token of a write sees that."""
    created = http.post("/customers", json={"email": "own@example.com", "lastName": "Old"}).json()
    servers.await_replay()
    with servers.paused_replay():
        changed = http.put("/customers", json={"id": created["id"], "lastName": "New"})
        token = changed.headers[HEADER]
        wait_until(lambda: last_name(http, created["id"], "any") == "Old")
        assert {last_name(http, created["id"], token) for _ in range(8)} == {"New"}


def test_pages(http: httpx.Client) -> None:
    """A page of another origin may send the header, and read it."""
    preflight = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": HEADER.lower(),
    }
    allowed = http.options("/customers", headers=preflight).headers
    assert HEADER.lower() in allowed["access-control-allow-headers"]
    exposed = http.get("/customers", headers={"Origin": ORIGIN}).headers
    assert HEADER.lower() in exposed["access-control-expose-headers"]


def test_malformed_token(http: httpx.Client) -> None:
    """What is no token is refused by its name."""
    refused = http.get("/customers", headers={HEADER: "x"})
    assert refused.status_code == 400
    assert HEADER in refused.text
