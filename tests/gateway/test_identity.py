"""Nobody is let in where they do not belong, by REST as by native gRPC."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.gateway.documented import CUSTOMER
from tests.gateway.errors import Error, error_of
from tests.gateway.stacks import StackFactory, http_headers
from tests.support.builders import NO_CUSTOMER, UNKNOWN_ID
from tests.support.client import SECONDS
from tests.support.forged import forged_tokens
from tests.support.http_client import http_client, http_request
from tests.support.issuers import IssuerSite, response
from tests.support.server_process import wait_until
from tests.support.tokens import Issuer, jwks, trusted_issuer
from twc_customer_gateway.matchers import HttpRoute, http_routes
from twc_customer_server.contract import SERVICE

# Keys of unproven realms that are fetched at the same time.
FETCHES = 4

JSON = {"content-type": "application/json"}
ROUTES = http_routes(SERVICE)
each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.rpc.name)

UNAUTHENTICATED = Error(401, 16, "UNAUTHENTICATED", [])
FORBIDDEN = Error(403, 7, "TENANT_FORBIDDEN", [])


@each_route
def test_no_token(route: HttpRoute, origin: str, tenant: str) -> None:
    """Without a token every route is 401 and says what to send, whatever else is wrong."""
    response = _send(origin, route, {"x-twc-tenant": tenant})

    assert error_of(response) == UNAUTHENTICATED
    assert response.headers["www-authenticate"].startswith('Bearer realm="customer.twc"')


@each_route
def test_token_of_another_tenant(route: HttpRoute, origin: str, tenant: str) -> None:
    """With another tenant's token every route is 403, whatever else is wrong."""
    response = _send(origin, route, http_headers("other") | {"x-twc-tenant": tenant})

    assert error_of(response) == FORBIDDEN


@pytest.mark.parametrize("authorization", [None, "", "Basic eDp5", "Bearer"])
def test_identity_before_validation(authorization: str | None, origin: str, tenant: str) -> None:
    """Without a token nothing is said of a body's type or form, nor of a query."""
    headers = {"x-twc-tenant": tenant, "content-type": "text/plain"}
    if authorization is not None:
        headers["authorization"] = authorization

    posted = http_request("POST", f"{origin}/api/v2/customers?x=y", content=b"{", headers=headers)
    read = http_request("GET", f"{origin}/api/v2{NO_CUSTOMER}?y=1", headers=headers)

    assert [error_of(posted), error_of(read)] == [UNAUTHENTICATED] * 2


@pytest.mark.parametrize("name", forged_tokens(Issuer()))
def test_forged_token(name: str, http: httpx.Client) -> None:
    """A token that is not genuine is 401, says why in general terms, and is nowhere repeated."""
    token = forged_tokens(trusted_issuer())[name]
    response = http.get(NO_CUSTOMER, headers={"authorization": f"Bearer {token}".strip()})

    assert error_of(response) == UNAUTHENTICATED
    assert response.headers["www-authenticate"].startswith('Bearer realm="customer.twc"')
    assert len(token) < 8 or token not in response.text


def test_two_tokens(origin: str, tenant: str) -> None:
    """Two Authorization headers are refused, be one of them good."""
    good = http_headers(tenant)["authorization"]
    headers = [("authorization", good), ("authorization", good), ("x-twc-tenant", tenant)]

    assert (
        error_of(http_request("GET", f"{origin}/api/v2{NO_CUSTOMER}", headers=headers))
        == UNAUTHENTICATED
    )


def test_oversized_token(origin: str, tenant: str) -> None:
    """A token of 64 KiB is refused as any other that is not genuine."""
    headers = {"authorization": "Bearer " + "x" * (64 << 10), "x-twc-tenant": tenant}

    assert (
        error_of(http_request("GET", f"{origin}/api/v2{NO_CUSTOMER}", headers=headers))
        == UNAUTHENTICATED
    )


def test_realm_for_each_tenant(start_stack: StackFactory, tmp_path: Any) -> None:
    """With a realm for each tenant, a realm's tokens are good for its own tenant alone."""
    realms = {name: Issuer(f"https://login.example/realms/{name}") for name in ("acme", "other")}
    for name, issuer in realms.items():
        (tmp_path / f"{name}.json").write_bytes(jwks(issuer))
    forged = Issuer("https://login.example/realms/acme").token()
    trust = {
        "issuer": "https://login.example/realms/{tenant}",
        "jwks": f"{tmp_path}/{{tenant}}.json",
    }

    with start_stack(**trust) as stack:
        url = f"http://127.0.0.1:{stack.settings.gateway_port}/api/v2{NO_CUSTOMER}"

        def status(token: str, tenant: str) -> int:
            headers = {"authorization": f"Bearer {token}", "x-twc-tenant": tenant}
            return http_request("GET", url, headers=headers).status_code

        acme, other = (issuer.token() for issuer in realms.values())
        assert (status(acme, "acme"), status(other, "other")) == (204, 204)
        assert (status(acme, "other"), status(other, "acme")) == (403, 403)
        assert status(forged, "acme") == 401


def test_new_realm_during_flood(start_stack: StackFactory) -> None:
    """While one address names many realms that hang, a new realm that another names is next."""
    new = Issuer("https://login.example/new")
    end = threading.Event()

    def answer(connection: socket.socket, path: str) -> None:
        if path == "/new":
            connection.sendall(response(jwks(new)))
        else:
            end.wait(SECONDS)

    with IssuerSite(answer) as site:
        trust = {"issuer": "https://login.example/{tenant}", "jwks": f"{site.url}/{{tenant}}"}
        with start_stack(**trust) as stack, ThreadPoolExecutor(40) as pool:
            url = f"http://127.0.0.1:{stack.settings.gateway_port}/api/v2{NO_CUSTOMER}"

            def ask(issuer: Issuer, address: str) -> httpx.Response:
                tenant = issuer.name.rpartition("/")[2]
                headers = {"authorization": f"Bearer {issuer.token()}", "x-twc-tenant": tenant}
                with http_client(address) as client:
                    return client.get(url, headers=headers)

            forged = [Issuer(f"https://login.example/forged-{number}") for number in range(40)]
            flood = [pool.submit(ask, issuer, "127.0.0.1") for issuer in forged]
            wait_until(
                lambda: any("too many issuers" in it.result().text for it in flood if it.done())
            )
            try:
                answers = [ask(new, "127.0.0.2")]
                while answers[-1].status_code != 204:
                    answers.append(ask(new, "127.0.0.2"))
            finally:
                end.set()
            # On a busy machine the gateway may give up first.
            assert {it.result().status_code for it in flood} <= {503, 504}
    assert not any("too many issuers" in it.text for it in answers)
    # Of those that follow the first, all begin at the same time.
    assert site.paths.index("/new") < 2 * FETCHES


@pytest.fixture
def theirs(http: httpx.Client) -> dict[str, Any]:
    """A customer of the test's tenant, with all that a foreigner could ask for."""
    customer: dict[str, Any] = http.post("/customers", json=CUSTOMER).json()
    return customer


@pytest.fixture
def foreigner(origin: str, tenant: str) -> Iterator[httpx.Client]:
    """A client of a tenant that has no customers."""
    headers = http_headers(f"{tenant}-foreign")
    with http_client(base_url=f"{origin}/api/v2", headers=headers) as client:
        yield client


REQUESTS: dict[str, tuple[str, str, Any]] = {
    "get by id": ("GET", "/customers/{id}", None),
    "get by ref": ("GET", "/customers/{ref}/ref", None),
    "look up email": ("GET", "/customers/search?email={email}", None),
    "look up mobile": ("GET", "/customers/search?mobile={mobile}", None),
    "look up name": ("GET", "/customers/search?firstName=Ada", None),
    "update by id": ("PUT", "/customers", {"id": "{id}", "firstName": "Eve"}),
    "update by ref": ("PUT", "/customers", {"customerRef": "{ref}", "firstName": "Eve"}),
    "add address": ("POST", "/customers/{id}/address", {"city": "Rom"}),
    "delete by id": ("DELETE", "/customers/{id}", None),
    "delete by ref": ("DELETE", "/customers/{ref}/ref", None),
    "delete by ref and id": ("DELETE", "/customers/{ref}/ref?id={id}", None),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_foreign_keys(
    name: str, http: httpx.Client, foreigner: httpx.Client, theirs: dict[str, Any]
) -> None:
    """Another tenant's customer answers, and suffers, exactly as one that does not exist."""
    keys = {
        "id": theirs["id"],
        "ref": theirs["customerRef"],
        "email": theirs["email"],
        "mobile": theirs["mobile"],
    }
    nothing = {
        "id": UNKNOWN_ID,
        "ref": "none",
        "email": "none@example.com",
        "mobile": "+14155550100",
    }

    asked = _ask(foreigner, name, keys)
    compared = _ask(foreigner, name, nothing)

    assert (asked.status_code, asked.content) == (compared.status_code, compared.content)
    assert http.get(f"/customers/{theirs['id']}").json() == theirs


def test_foreign_unique_values(foreigner: httpx.Client, theirs: dict[str, Any]) -> None:
    """What is unique within a tenant clashes with no other tenant's."""
    assert foreigner.post("/customers/validate", json=theirs).status_code == 200
    assert foreigner.post("/customers", json=theirs).status_code == 201


def test_foreign_address_id(foreigner: httpx.Client, theirs: dict[str, Any]) -> None:
    """The id of another tenant's address means nothing: the address gets an id of its own."""
    own = foreigner.post("/customers", json={"email": "own@example.com"}).json()
    [stolen] = theirs["addresses"]

    answer = foreigner.put("/customers", json={"id": own["id"], "addresses": [stolen]}).json()

    assert answer["addresses"][0]["id"] != stolen["id"]
    assert answer["addresses"][0]["customerId"] == own["id"]


def test_foreign_page_token(http: httpx.Client, foreigner: httpx.Client) -> None:
    """Another tenant's page token is refused like any other that is not of this lookup."""
    for client in (http, foreigner):
        items = [{"email": f"p{n}@example.com", "lastName": "Page"} for n in range(3)]
        client.post("/upload-customers", json=items)
    query = {"lastName": "Page", "pageSize": "1"}
    token = http.get("/customers/search", params=query).headers["x-next-page-token"]

    refused = foreigner.get("/customers/search", params=query | {"pageToken": token})
    used = http.get("/customers/search", params=query | {"pageToken": token})

    assert error_of(refused) == Error(400, 3, "INVALID_INPUT", ["pageToken"])
    assert used.json()[0]["email"] == "p1@example.com"


def _ask(client: httpx.Client, name: str, keys: dict[str, str]) -> httpx.Response:
    method, path, body = REQUESTS[name]
    filled = json.loads(_fill(json.dumps(body), keys))
    path = _fill(path, {key: value.replace("+", "%2B") for key, value in keys.items()})
    # By one id, which errors repeat.
    return client.request(method, path, json=filled, headers={"x-request-id": "asked"})


def _fill(text: str, keys: dict[str, str]) -> str:
    for key, value in keys.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _send(origin: str, route: HttpRoute, headers: dict[str, str]) -> httpx.Response:
    """Sends a route a request that breaks every rule but those of its path."""
    path = re.sub(r"{\w+}", "x", route.path)
    body = "[{}]" if route.rpc.client_streaming else "{}"
    content, media = (body, JSON) if route.body else (None, {})
    return http_request(route.method, f"{origin}{path}", content=content, headers=headers | media)
