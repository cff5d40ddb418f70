"""Every route, with every status that the document lists for it."""

import re
import threading
from typing import Any, NamedTuple

import httpx
import pytest

from tests.gateway.errors import Error, error_of
from tests.support.builders import NO_CUSTOMER, UNKNOWN_ID
from tests.support.client import SECONDS
from tests.support.tokens import trusted_issuer
from twc_customer_gateway.matchers import HttpRoute, http_routes
from twc_customer_server.contract import READ_SECONDS, SERVICE

JSON = {"content-type": "application/json"}
CREATED = {
    "email": "ada@example.com",
    "customerRef": "A-1",
    "mobile": "+44 7700 900123",
    "firstName": "Ada",
    "alternateCustomerRef": "alt 1",
    "addresses": [{"city": "London"}],
}


@pytest.fixture
def ada(http: httpx.Client) -> dict[str, Any]:
    """A stored customer."""
    customer: dict[str, Any] = http.post("/customers", json=CREATED).json()
    return customer


class Row(NamedTuple):
    """A request, and what it is answered; `{id}` in a path is the stored customer's."""

    method: str
    path: str
    body: Any
    status: int
    answer: Any


def refused(code: int, reason: str, *fields: str) -> Error:
    """An error answer; its HTTP status is the row's."""
    return Error(0, code, reason, list(fields))


INVALID = "INVALID_INPUT"
_REF_REFUSED = refused(3, INVALID, "customerRef")
BOB = {"email": "bob@example.com"}
ROWS = [
    Row("POST", "/customers", BOB, 201, {"email": "bob@example.com", "active": True}),
    Row("POST", "/customers", {"email": "string"}, 400, refused(3, INVALID, "email")),
    Row("POST", "/customers", {"email": "ADA@example.com"}, 409, refused(6, "ALREADY_EXISTS")),
    Row("POST", "/upload-customers", [BOB], 201, [{"index": 0}]),
    Row("POST", "/upload-customers", [BOB, {}], 200, [{"index": 0}, {"index": 1}]),
    Row("POST", "/upload-customers", [], 201, []),
    Row("POST", "/upload-customers", BOB, 400, refused(3, INVALID, "body")),
    Row("POST", "/customers/validate", BOB, 200, {"email": "bob@example.com", "active": True}),
    Row("POST", "/customers/validate", {"email": "x"}, 400, refused(3, INVALID, "email")),
    Row("POST", "/customers/validate", CREATED, 409, refused(6, "ALREADY_EXISTS")),
    Row("PUT", "/customers", {"id": "{id}", "lastName": "King"}, 200, {"lastName": "King"}),
    Row(
        "PUT", "/customers", {"customerRef": "A-1", "dob": "1815-12-10"}, 200, {"firstName": "Ada"}
    ),
    Row("PUT", "/customers?updateMask=firstName", {"id": "{id}"}, 200, {"customerRef": "A-1"}),
    Row("PUT", "/customers", {"id": UNKNOWN_ID}, 404, refused(5, "RESOURCE_NOT_FOUND")),
    Row("PUT", "/customers", {"id": "none"}, 400, refused(3, INVALID, "id")),
    Row("PUT", "/customers/id={id}", {"lastName": "King"}, 200, {"lastName": "King"}),
    Row("PUT", "/customers/{id}", {"lastName": "King"}, 200, {"lastName": "King"}),
    Row("PUT", "/customers/customerRef=A-1", {"lastName": "K"}, 200, {"lastName": "K"}),
    Row("PUT", "/customers/email=ADA@example.com", {"lastName": "K"}, 200, {"lastName": "K"}),
    Row("PUT", "/customers/email=ada%40example.com", {"lastName": "K"}, 200, {"lastName": "K"}),
    Row("PUT", "/customers/customerRef=A-1", {"customerRef": "B"}, 400, _REF_REFUSED),
    Row("PUT", "/customers/phone=1", {}, 400, refused(3, INVALID, "key")),
    Row("PUT", "/customers", {"id": "{id}", "dob": "never"}, 400, refused(3, INVALID, "dob")),
    Row("PUT", "/customers", {"lastName": "King"}, 400, refused(3, INVALID, "id")),
    Row("POST", "/customers/{id}/address", {"city": "Rom"}, 200, {"firstName": "Ada"}),
    Row("POST", "/customers/{id}/address", {}, 400, refused(3, INVALID, "address")),
    Row(
        "POST",
        f"{NO_CUSTOMER}/address",
        {"city": "Rom"},
        404,
        refused(5, "RESOURCE_NOT_FOUND"),
    ),
    Row("PUT", "/customers/{id}/address/{address}", {"city": "Rom"}, 200, {"firstName": "Ada"}),
    Row("PUT", "/customers/{id}/address/x", {}, 400, refused(3, INVALID, "addressId")),
    Row("DELETE", "/customers/{id}/address/{address}", None, 200, {"addresses": []}),
    Row("DELETE", f"/customers/{{id}}/address/{UNKNOWN_ID}", None, 200, {"firstName": "Ada"}),
    Row("GET", "/customers/{id}", None, 200, {"mobile": "+447700900123"}),
    Row("GET", "/customers/ADA@example.com/email", None, 200, {"mobile": "+447700900123"}),
    Row("GET", "/customers/b@example.com/email", None, 404, refused(5, "RESOURCE_NOT_FOUND")),
    Row("GET", "/customers/b/email", None, 400, refused(3, INVALID, "email")),
    Row("GET", "/customers/alt%201/alternateCustomerRef", None, 200, {"firstName": "Ada"}),
    Row("GET", NO_CUSTOMER, None, 204, None),
    Row("GET", "/customers/A-1/ref", None, 200, {"email": "ada@example.com"}),
    Row("GET", "/customers/none/ref", None, 404, refused(5, "RESOURCE_NOT_FOUND")),
    Row("GET", "/customers/search?email=ADA@example.com", None, 200, [{"firstName": "Ada"}]),
    Row("GET", "/customers/search?mobile=+447700900123", None, 200, [{"firstName": "Ada"}]),
    Row("GET", "/customers/search?firstName=ada&lastName=x", None, 200, []),
    Row("GET", "/customers/search", None, 400, refused(3, INVALID, "email")),
    Row("GET", "/customers", None, 200, {"customers": [{"firstName": "Ada"}]}),
    Row("GET", "/customers?filter=state+%3D+invited", None, 200, {"customers": []}),
    Row("GET", "/customers?filter=firstName=ÁD*", None, 200, {"customers": [{"firstName": "Ada"}]}),
    Row(
        "GET",
        "/customers?order_by=lastName%20desc",
        None,
        200,
        {"customers": [{"email": "ada@example.com"}]},
    ),
    Row("GET", "/customers?filter=firstName:zz*", None, 200, {"customers": []}),
    Row(
        "GET",
        "/customers/changes?pageSize=5",
        None,
        200,
        {"changes": [{"kind": "CREATED", "customer": {"email": "ada@example.com"}}]},
    ),
    Row("GET", "/customers/changes?fromNow=true&wait_seconds=1", None, 200, {"changes": []}),
    Row(
        "GET",
        "/customers/changes?cursor=x&waitSeconds=-1",
        None,
        400,
        refused(3, INVALID, "waitSeconds"),
    ),
    Row("GET", "/customers?filter=firstName!=ada", None, 400, refused(3, INVALID, "filter")),
    Row("GET", "/customers?orderBy=email", None, 400, refused(3, INVALID, "orderBy")),
    Row(
        "GET",
        "/customers?pageSize=-1&pageToken=x",
        None,
        400,
        refused(3, INVALID, "pageSize", "pageToken"),
    ),
    Row("DELETE", "/customers/{id}", None, 204, None),
    Row("DELETE", NO_CUSTOMER, None, 204, None),
    Row("DELETE", "/customers/A-1/ref", None, 204, None),
    Row("DELETE", "/customers/A-1/ref?id={id}", None, 204, None),
    Row("DELETE", f"/customers/A-1/ref?id={UNKNOWN_ID}", None, 400, refused(9, "ID_MISMATCH")),
    Row("DELETE", "/customers/A-1/ref?id=other", None, 400, refused(3, INVALID, "id")),
    Row("POST", "/customers/{id}/restore", None, 409, refused(6, "NOT_DELETED")),
    Row("POST", f"{NO_CUSTOMER}/restore", None, 404, refused(5, "RESOURCE_NOT_FOUND")),
    Row("POST", "/customers/x/restore", None, 400, refused(3, INVALID, "id")),
    Row("POST", "/customers/{id}/restore?x=1", None, 400, refused(3, "MALFORMED_REQUEST")),
    Row("POST", "/customers/{id}/erase", None, 204, None),
    Row("POST", "/customers/{id}/erase", {}, 204, None),
    Row("POST", f"{NO_CUSTOMER}/erase", None, 204, None),
    Row("POST", "/customers/x/erase", None, 400, refused(3, INVALID, "id")),
    Row("GET", "/customers/A-1/ref?customerRef=A-1", None, 200, {"firstName": "Ada"}),
    Row("GET", "/customers/A%2D1/ref?customer_ref=A%2d1", None, 200, {"firstName": "Ada"}),
    Row("GET", "/customers/A-1/ref?customerRef=B", None, 400, refused(3, "MALFORMED_REQUEST")),
    Row("DELETE", "/customers/A-1/ref?customerRef=A-1&id={id}", None, 204, None),
    Row("DELETE", "/customers?customerRef=A-1", None, 204, None),
    Row("DELETE", "/customers?id={id}", None, 204, None),
    Row("DELETE", "/customers?id={id}&customerRef=A-1", None, 204, None),
    Row("DELETE", "/customers", None, 400, refused(3, INVALID, "customerRef")),
    Row("GET", "/customers/undefined", None, 400, refused(3, INVALID, "id")),
    Row("GET", "/customers/%7Bid%7D", None, 400, refused(3, INVALID, "id")),
    Row("DELETE", "/customers/undefined", None, 400, refused(3, INVALID, "id")),
    Row("DELETE", "/customers/id%20", None, 400, refused(3, INVALID, "id")),
    Row("GET", "/customers//ref", None, 404, refused(5, "ROUTE_NOT_FOUND")),
    Row("DELETE", "/customers/none/ref", None, 204, None),
    Row("GET", "/customer", None, 404, refused(5, "ROUTE_NOT_FOUND")),
    Row("GET", "/customers/{id}/addresses", None, 404, refused(5, "ROUTE_NOT_FOUND")),
]


@pytest.mark.parametrize("slash", ["", "/"], ids=["plain", "trailing-slash"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path} {row.status}")
def test_route(row: Row, slash: str, http: httpx.Client, ada: dict[str, Any]) -> None:
    """Each route answers with the documented status and body, with a trailing slash or without."""
    path = row.path.replace("{id}", ada["id"]).replace("{address}", ada["addresses"][0]["id"])
    path, question, query = path.partition("?")
    body = row.body
    if isinstance(body, dict) and body.get("id") == "{id}":
        body = body | {"id": ada["id"]}

    response = http.request(row.method, f"{path}{slash}{question}{query}", json=body)

    assert response.status_code == row.status
    if isinstance(row.answer, Error):
        assert error_of(response) == row.answer._replace(status=row.status)
    elif row.answer is None:
        assert response.content == b""
    else:
        assert _holds(response.json(), row.answer)


@pytest.mark.parametrize("route", http_routes(SERVICE), ids=lambda route: route.rpc.name)
def test_wrong_method(route: HttpRoute, http: httpx.Client) -> None:
    """A path of the contract refuses every method it does not have, and lists those it has."""
    taken = {other.method for other in http_routes(SERVICE) if _shape(other) == _shape(route)}
    taken |= {"HEAD"} if "GET" in taken else set()
    path = _shape(route).removeprefix("/api/v2")

    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - taken:
        response = http.request(method, path, json={})
        assert error_of(response) == Error(405, 12, "METHOD_NOT_ALLOWED", [])
        assert set(response.headers["allow"].split(", ")) == taken


@pytest.mark.parametrize(
    "body", [b'{"email": "bob@example.com"}', b"[]", b""], ids=["customer", "list", "empty"]
)
@pytest.mark.parametrize("media", ["text/plain", "application/xml", "application/jsonp", None])
@pytest.mark.parametrize(
    ("method", "path"),
    [(route.method, route.path) for route in http_routes(SERVICE) if route.body],
)
def test_media_type(
    method: str, path: str, media: str | None, body: bytes, http: httpx.Client
) -> None:
    """A body that is not declared to be JSON is refused, whatever it holds."""
    headers = {"content-type": media} if media else {}
    response = http.request(method, path.removeprefix("/api/v2"), content=body, headers=headers)

    assert error_of(response) == Error(415, 3, "UNSUPPORTED_MEDIA_TYPE", [])


def test_owner_in_conflict(http: httpx.Client, ada: dict[str, Any]) -> None:
    """A clash names every field whose value is taken, and the customer who has it."""
    response = http.post("/customers", json=CREATED | {"email": "Ada@Example.com"})

    taken = dict.fromkeys(("email", "mobile", "customerRef", "alternateCustomerRef"), ada["id"])
    assert response.json()["details"][0]["metadata"] == taken


def test_validated_customer(http: httpx.Client) -> None:
    """A validated customer comes back as it would be stored, and is not stored."""
    answer = http.post("/customers/validate", json={"email": " bob@example.com "}).json()

    assert answer["email"] == "bob@example.com"
    assert {"id", "createdDate", "lastModifiedDate"}.isdisjoint(answer)
    assert http.get("/customers/search", params={"email": "bob@example.com"}).json() == []


def test_deleted_customer(http: httpx.Client, ada: dict[str, Any]) -> None:
    """A deleted customer is in no answer, and another may have its e-mail, phone and reference."""
    http.delete(f"/customers/{ada['id']}")

    assert http.get(f"/customers/{ada['id']}").status_code == 204
    assert http.get("/customers/A-1/ref").status_code == 404
    assert http.get("/customers/search", params={"firstName": "Ada"}).json() == []
    assert http.post("/customers", json=CREATED).status_code == 201


def test_restored_customer(http: httpx.Client, ada: dict[str, Any]) -> None:
    """A deleted customer is restored with all its data, and a later date."""
    http.delete(f"/customers/{ada['id']}")

    response = http.post(f"/customers/{ada['id']}/restore")

    assert response.status_code == 200
    restored = response.json()
    assert restored.pop("lastModifiedDate") > ada.pop("lastModifiedDate")
    assert restored == ada
    again = http.get(f"/customers/{ada['id']}")
    assert again.headers["etag"] == response.headers["etag"]


def test_erased_customer(http: httpx.Client, ada: dict[str, Any]) -> None:
    """An erased customer is in no answer, and cannot be restored."""
    for _ in range(2):
        assert http.post(f"/customers/{ada['id']}/erase").status_code == 204

    assert http.get(f"/customers/{ada['id']}").status_code == 204
    restored = http.post(f"/customers/{ada['id']}/restore")
    assert error_of(restored) == Error(404, 5, "RESOURCE_NOT_FOUND", [])
    assert http.post("/customers", json=CREATED).status_code == 201


def test_erase_without_scope(http: httpx.Client, tenant: str, ada: dict[str, Any]) -> None:
    """A token without the scope does not erase, and is told which scope it lacks."""
    headers = {"authorization": f"Bearer {trusted_issuer().token(tenant=tenant)}"}

    response = http.post(f"/customers/{ada['id']}/erase", headers=headers)

    assert error_of(response) == Error(403, 7, "SCOPE_REQUIRED", [])
    assert (
        'error="insufficient_scope", scope="customers:erase"'
        in (response.headers["www-authenticate"])
    )
    assert http.get(f"/customers/{ada['id']}").json() == ada


def test_upload_results(http: httpx.Client) -> None:
    """An upload answers each item in order, with the customer or the error that create gives."""
    items = [{"email": "a@example.com"}, None, {"email": "x"}, {"email": "A@example.com"}]

    response = http.post("/upload-customers", json=items)

    results = response.json()
    assert [result["index"] for result in results] == [0, 1, 2, 3]
    assert results[0]["customer"]["email"] == "a@example.com"
    assert [result["error"]["code"] for result in results[1:]] == [3, 3, 6]
    for result, item in zip(results[2:], items[2:], strict=True):
        refused = http.post("/customers", json=item).json()
        # An item is no request of its own.
        assert refused["details"].pop()["@type"] == "type.googleapis.com/google.rpc.RequestInfo"
        assert result["error"] == refused


def test_pages(http: httpx.Client) -> None:
    """Following the next link, or the token, reads every match once, in order of creation."""
    emails = [f"page-{number}@example.com" for number in range(7)]
    http.post("/upload-customers", json=[{"email": e, "lastName": "Page"} for e in emails])

    response = http.get("/customers/search", params={"lastName": "PAGE", "pageSize": 3})
    pages = [response]
    while "next" in response.links:
        response = http.get(response.url.join(response.links["next"]["url"]))
        pages.append(response)

    assert [len(page.json()) for page in pages] == [3, 3, 1]
    assert [customer["email"] for page in pages for customer in page.json()] == emails
    assert ["x-next-page-token" in page.headers for page in pages] == [True, True, False]


def test_pages_of_list(http: httpx.Client) -> None:
    """Each page of a list has the token of the next one, and the last page has none."""
    emails = [f"page-{number}@example.com" for number in range(7)]
    http.post("/upload-customers", json=[{"email": e, "lastName": "Påge"} for e in emails])

    text = 'lastName = "pag*" AND active = true'
    query = {"filter": text, "orderBy": "lastName", "pageSize": "3"}
    pages = [http.get("/customers", params=query).json()]
    while "nextPageToken" in pages[-1]:
        token = {"pageToken": pages[-1]["nextPageToken"]}
        pages.append(http.get("/customers", params=query | token).json())

    assert [len(page["customers"]) for page in pages] == [3, 3, 1]
    assert [it["email"] for page in pages for it in page["customers"]] == emails


def test_long_poll(http: httpx.Client) -> None:
    """A page of changes that waits comes with the first, and its cursor goes on behind that."""
    cursor = http.get("/customers/changes", params={"fromNow": True}).json()["nextCursor"]
    timer = threading.Timer(0.3, lambda: http.post("/customers", json={"email": "a@example.com"}))
    timer.start()
    # Longer than any other read may take.
    query = {"cursor": cursor, "waitSeconds": 20}
    page = http.get("/customers/changes", params=query, timeout=SECONDS).json()
    timer.join()
    [change] = page["changes"]
    assert (change["kind"], change["customer"]["email"]) == ("CREATED", "a@example.com")
    http.delete(f"/customers/{change['customer']['id']}")
    after = http.get("/customers/changes", params={"cursor": page["nextCursor"]}).json()
    [gone] = after["changes"]
    assert gone["kind"] == "DELETED"
    assert gone.keys() == {"kind", "tombstone"}
    assert gone["tombstone"]["id"] == change["customer"]["id"]


def test_wait_longer_than_other_reads(http: httpx.Client) -> None:
    """A page without changes comes when its time is over, which no deadline cuts short."""
    cursor = http.get("/customers/changes", params={"fromNow": True}).json()["nextCursor"]
    query = {"cursor": cursor, "waitSeconds": READ_SECONDS + 1}
    response = http.get("/customers/changes", params=query, timeout=SECONDS)
    assert (response.status_code, response.json()["changes"]) == (200, [])


def test_large_page_of_list(http: httpx.Client) -> None:
    """A page as large as one may be passes the gateway."""
    note = {f"group-{n}": {"attribute_group": "x" * 1000} for n in range(99)}
    for number in range(3):
        emails = [f"{number}-{other}@example.com" for other in range(15)]
        http.post("/upload-customers", json=[{"email": e, "attributeGroups": note} for e in emails])

    page = http.get("/customers", params={"pageSize": 1000}).json()

    assert len(page["customers"]) == 10
    rest = http.get("/customers", params={"pageToken": page["nextPageToken"]}).json()
    assert len(rest["customers"]) == 10


def _shape(route: HttpRoute) -> str:
    """The path of a route, the same for every name of its variables."""
    return re.sub(r"{\w+}", "x", route.path)


def _holds(whole: Any, part: Any) -> bool:
    """Tells whether an answer is a list of as many items, or an object, that hold the expected."""
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(_holds, whole, part))
    if isinstance(part, dict):
        return all(name in whole and _holds(whole[name], value) for name, value in part.items())
    return bool(whole == part)
