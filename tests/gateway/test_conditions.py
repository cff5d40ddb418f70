"""Entity tags, atomic uploads and repeats as HTTP has them."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.gateway.errors import Error, error_of
from tests.support.builders import NO_CUSTOMER

ORIGIN = "https://shop.example"
ADA: dict[str, Any] = {"email": "ada@example.com", "customerRef": "A-1"}
# An answer that is long enough to be compressed.
LONG = ADA | {"addresses": [{"city": f"Rom {number}"} for number in range(50)]}

STALE = Error(409, 10, "ETAG_MISMATCH", [])
REUSED = Error(400, 3, "IDEMPOTENCY_KEY_REUSED", [])

Act = Callable[[httpx.Client, str], httpx.Response]

CHANGES: dict[str, Act] = {
    "update": lambda http, it: http.put("/customers", json={"id": it, "lastName": "King"}),
    "add address": lambda http, it: http.post(f"/customers/{it}/address", json={"city": "Rom"}),
    "delete": lambda http, it: http.delete(f"/customers/{it}"),
    "delete by ref": lambda http, _: http.delete("/customers/A-1/ref"),
    "delete by ref and id": lambda http, it: http.delete(f"/customers/A-1/ref?id={it}"),
}
READS: dict[str, Act] = {
    "get": lambda http, it: http.get(f"/customers/{it}"),
    "get by ref": lambda http, _: http.get("/customers/A-1/ref"),
}
each_change = pytest.mark.parametrize("act", CHANGES.values(), ids=CHANGES)
each_read = pytest.mark.parametrize("act", READS.values(), ids=READS)
each_coding = pytest.mark.parametrize("coding", ["identity", "gzip"])


@each_read
@each_coding
def test_not_modified(http: httpx.Client, act: Act, coding: str) -> None:
    """Who has the customer as it is gets 304 and the tag, and no body, however it is encoded."""
    created = http.post("/customers", json=LONG).json()
    http.headers["accept-encoding"] = coding
    first = act(http, created["id"])
    http.headers["if-none-match"] = first.headers["etag"]

    for _ in range(2):  # on the same connection, so that no body may be left in it
        response = act(http, created["id"])

        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"].removeprefix("W/") == first.headers["etag"].removeprefix(
            "W/"
        )
        assert {"content-type", "content-encoding", "x-http-code"}.isdisjoint(response.headers)
    assert first.headers.get("content-encoding", "identity") == coding
    http.put("/customers", json={"id": created["id"], "lastName": "King"})
    changed = act(http, created["id"])
    assert (changed.status_code, changed.json()["lastName"]) == (200, "King")


@each_change
@each_coding
def test_change_of_current_version(http: httpx.Client, act: Act, coding: str) -> None:
    """The tag of an answer is leave to change that version once, also one that was compressed."""
    created = http.post("/customers", json=LONG).json()
    read = http.get(f"/customers/{created['id']}", headers={"accept-encoding": coding})
    http.headers["if-match"] = read.headers["etag"]

    assert act(http, created["id"]).status_code in (200, 204)
    late = http.put("/customers", json={"id": created["id"], "lastName": "Late"})
    assert error_of(late) in (STALE, Error(404, 5, "RESOURCE_NOT_FOUND", []))


@each_change
def test_change_of_another_version(http: httpx.Client, act: Act) -> None:
    """A change of a version that is gone is 409, and changes nothing."""
    created = http.post("/customers", json=ADA).json()
    http.headers["if-match"] = '"gone"'

    assert error_of(act(http, created["id"])) == STALE
    assert http.get(f"/customers/{created['id']}").json() == created


@each_change
@pytest.mark.parametrize("condition", ["3a57", "garbage,,,", ""])
def test_change_with_no_tag(http: httpx.Client, act: Act, condition: str) -> None:
    """If-Match without a tag in quotes is 400 and says so, since no version is meant by it."""
    created = http.post("/customers", json=ADA).json()
    http.headers["if-match"] = condition

    assert error_of(act(http, created["id"])) == Error(400, 3, "INVALID_INPUT", ["If-Match"])
    assert http.get(f"/customers/{created['id']}").json() == created


def test_tags_of_answers(http: httpx.Client) -> None:
    """Creating, changing and reading a customer give its tag; what has none gives none."""
    created = http.post("/customers", json=ADA)
    customer_id = created.json()["id"]
    answers = [created, *(READS[name](http, customer_id) for name in READS)]
    assert len({answer.headers["etag"] for answer in answers}) == 1

    updated = CHANGES["update"](http, customer_id)
    assert updated.headers["etag"] not in (created.headers["etag"], "")
    assert "etag" not in http.get("/customers/search?email=ada@example.com").headers
    assert "etag" not in http.get(NO_CUSTOMER).headers
    assert "etag" not in CHANGES["delete"](http, customer_id).headers


REPEATS: dict[str, tuple[str, str, Any, Any]] = {
    "create": ("POST", "/customers", {"email": "eve@example.com"}, {"email": "bob@example.com"}),
    "upload": ("POST", "/upload-customers", [{"email": "eve@example.com"}, None], []),
    "update": ("PUT", "/customers", {"customerRef": "A-1", "dob": "2001-05-28"}, ADA),
    "add address": ("POST", "/customers/{id}/address", {"city": "Rom"}, {"city": "Bonn"}),
}


@pytest.mark.parametrize(("method", "path", "body", "other"), REPEATS.values(), ids=REPEATS)
def test_repeat(http: httpx.Client, method: str, path: str, body: Any, other: Any) -> None:
    """A repeat with a key has the status, headers and body of the first; another is refused."""
    created = http.post("/customers", json=ADA).json()
    http.headers["idempotency-key"] = "key"
    path = path.replace("{id}", created["id"])

    first, second = (http.request(method, path, json=body) for _ in range(2))

    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert second.headers.get("etag") == first.headers.get("etag")
    assert first.status_code in (200, 201)
    assert error_of(http.request(method, path, json=other)) == REUSED


def test_bad_key(http: httpx.Client) -> None:
    """A key that is none is invalid input, named as the header is."""
    response = http.post("/customers", json=ADA, headers={"idempotency-key": "x" * 256})

    assert error_of(response) == Error(400, 3, "INVALID_INPUT", ["Idempotency-Key"])


@pytest.mark.parametrize("query", ["", "?atomic=false", "?atomic=true"])
def test_atomic(http: httpx.Client, query: str) -> None:
    """With `?atomic=true` an upload with a fault is refused as a whole."""
    http.post("/customers", json=ADA)
    bob = {"email": "bob@example.com", "lastName": "Upload"}

    response = http.post(f"/upload-customers{query}", json=[bob, None, {"email": "x"}, ADA])

    stored = http.get("/customers/search?lastName=upload").json()
    if query == "?atomic=true":
        fields = ["[1].email", "[2].email", "[3].email", "[3].customerRef"]
        error = error_of(response)
        assert (error.status, error.code, error.reason) == (400, 3, "INVALID_INPUT")
        assert sorted(error.fields) == sorted(fields)
        assert stored == []
        assert http.post(f"/upload-customers{query}", json=[bob]).status_code == 201
    else:
        assert response.status_code == 200
        assert [customer["email"] for customer in stored] == ["bob@example.com"]


def test_atomic_clash(http: httpx.Client) -> None:
    """Where customers only clash, an atomic upload is 409, and names who has what."""
    created = http.post("/customers", json=ADA).json()

    response = http.post("/upload-customers?atomic=true", json=[{"email": "b@example.com"}, ADA])

    assert error_of(response) == Error(409, 6, "ALREADY_EXISTS", [])
    taken = dict.fromkeys(("[1].email", "[1].customerRef"), created["id"])
    assert response.json()["details"][0]["metadata"] == taken


def test_10000_faults(http: httpx.Client) -> None:
    """The error of a list of which nothing can be stored comes through the gateway."""
    http.post("/customers", json=ADA | {"mobile": "+491701234567", "phone": "+493012345678"})
    clash = ADA | {"mobile": "+491701234567", "phone": "+493012345678"}
    http.timeout = httpx.Timeout(60)

    clashes = http.post("/upload-customers?atomic=true", json=[clash] * 10_000)
    faults = http.post("/upload-customers?atomic=true", json=[{"email": "x"}] * 10_000)

    assert error_of(clashes) == Error(409, 6, "ALREADY_EXISTS", [])
    assert error_of(faults)[:3] == (400, 3, "INVALID_INPUT")


@pytest.mark.parametrize("query", ["?atomic=maybe", "?atomic=true&x=1", "?customer.email=x"])
def test_bad_query(http: httpx.Client, query: str) -> None:
    """An upload takes no other parameter, and no other value of it."""
    response = http.post(f"/upload-customers{query}", json=[ADA])

    assert error_of(response)[:3] == (400, 3, "MALFORMED_REQUEST")
    assert http.get("/customers/A-1/ref").status_code == 404


@pytest.mark.parametrize("header", ["idempotency-key", "if-match", "if-none-match"])
def test_cors_of_conditions_and_keys(http: httpx.Client, origin: str, header: str) -> None:
    """A page of a known origin may send conditions and keys, and read tags."""
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "PUT",
        "access-control-request-headers": header,
    }
    preflight = httpx.options(f"{origin}/api/v2/customers", headers=asked)
    answer = http.post("/customers", json=ADA, headers={"origin": ORIGIN})

    assert header in preflight.headers["access-control-allow-headers"].split(", ")
    assert "etag" in answer.headers["access-control-expose-headers"].split(", ")
