"""A merge of two customers as HTTP and JSON have it."""

from typing import Any, NamedTuple

import httpx
import pytest

from tests.gateway.errors import Error, error_of
from tests.support.builders import UNKNOWN_ID

ADA = {"email": "ada@example.com", "firstName": "Ada", "addresses": [{"city": "London"}]}
EVE = {"email": "eve@example.com", "firstName": "Eve", "vipStatus": "gold", "mobile": "+4915112345"}
INVALID = "INVALID_INPUT"


class Pair(NamedTuple):
    """The ids of two stored customers, ADA and EVE, and the entity tag of the second."""

    ada: str
    eve: str
    tag: str


@pytest.fixture
def pair(http: httpx.Client) -> Pair:
    """The stored customers."""
    ada, eve = (http.post("/customers", json=it) for it in (ADA, EVE))
    return Pair(ada.json()["id"], eve.json()["id"], eve.headers["etag"])


def merge(http: httpx.Client, pair: Pair, **members: Any) -> httpx.Response:
    """Merges ADA into EVE."""
    return http.post(f"/customers/{pair.eve}/merge", json={"droppedId": pair.ada} | members)


# Members of the body beside the dropped customer, and the name and status of the merged one.
MERGES: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing taken": ({}, "Eve", "eve@example.com"),
    "a list of nothing": ({"takenFields": ""}, "Eve", "eve@example.com"),
    "fields by JSON name": ({"takenFields": "firstName,email"}, "Ada", "ada@example.com"),
    "fields by Protobuf name": ({"taken_fields": "first_name"}, "Ada", "eve@example.com"),
    "fields with both kinds of names": (
        {"takenFields": "email,verified_email,customer_state,customerState"},
        "Eve",
        "ada@example.com",
    ),
    "nulls": ({"id": None, "takenFields": None, "validateOnly": None}, "Eve", "eve@example.com"),
    "not only validated": ({"validateOnly": False}, "Eve", "eve@example.com"),
}


@pytest.mark.parametrize(("members", "name", "email"), MERGES.values(), ids=MERGES)
def test_merge(
    http: httpx.Client, pair: Pair, members: dict[str, Any], name: str, email: str
) -> None:
    """The merged customer is answered with its tag, beside where the dropped one went."""
    response = merge(http, pair, **members)

    answer = response.json()
    assert response.status_code == 200
    assert (answer["customer"]["firstName"], answer["customer"]["email"]) == (name, email)
    assert answer["customer"]["addresses"][0]["city"] == "London"
    assert answer["dropped"].keys() == {"id", "deleteTime", "mergedInto"}
    assert (answer["dropped"]["id"], answer["dropped"]["mergedInto"]) == (pair.ada, pair.eve)
    stored = http.get(f"/customers/{pair.eve}")
    assert stored.json() == answer["customer"]
    assert stored.headers["etag"] == response.headers["etag"]
    assert http.get(f"/customers/{pair.ada}").status_code == 204


@pytest.mark.parametrize("name", ["validateOnly", "validate_only"])
def test_dry_run(http: httpx.Client, pair: Pair, name: str) -> None:
    """A dry run answers the merged customer, without a tag, and changes nothing."""
    before = [http.get(f"/customers/{it}").json() for it in (pair.ada, pair.eve)]

    response = merge(http, pair, takenFields="firstName", **{name: True})

    assert response.json()["customer"]["firstName"] == "Ada"
    assert response.json()["dropped"] == {"id": pair.ada, "mergedInto": pair.eve}
    assert "etag" not in response.headers
    assert [http.get(f"/customers/{it}").json() for it in (pair.ada, pair.eve)] == before


def invalid(field: str) -> Error:
    """The error of a field that breaks its rule."""
    return Error(400, 3, INVALID, [field])


# Members of a body that is refused, and the error.
REFUSED: dict[str, tuple[dict[str, Any], Error]] = {
    "no customer": ({"droppedId": None}, invalid("droppedId")),
    "number": ({"droppedId": 1}, invalid("droppedId")),
    "not an id": ({"droppedId": "x"}, invalid("droppedId")),
    "missing customer": ({"droppedId": UNKNOWN_ID}, Error(404, 5, "RESOURCE_NOT_FOUND", [])),
    "id of the path": ({"id": UNKNOWN_ID}, invalid("id")),
    "list of fields": ({"takenFields": ["email"]}, invalid("takenFields")),
    "unknown field": ({"takenFields": "email,nickname"}, invalid("takenFields")),
    "all fields": ({"takenFields": "*"}, invalid("takenFields")),
    "text for boolean": ({"validateOnly": "true"}, invalid("validateOnly")),
}


@pytest.mark.parametrize(("members", "error"), REFUSED.values(), ids=REFUSED)
def test_refused_merge(
    http: httpx.Client, pair: Pair, members: dict[str, Any], error: Error
) -> None:
    """A merge that is refused names what is wrong, and changes nothing."""
    assert error_of(merge(http, pair, **members)) == error
    assert http.get(f"/customers/{pair.ada}").status_code == 200


def test_id_of_path_repeated(http: httpx.Client, pair: Pair) -> None:
    """A body does not override the path, and is told so even if it only repeats it."""
    response = merge(http, pair, id=pair.eve)

    [_, bad_request, _] = response.json()["details"]
    assert bad_request["fieldViolations"] == [
        {"field": "id", "description": "must be left out: it is in the path"}
    ]


def test_query_of_merge(http: httpx.Client, pair: Pair) -> None:
    """A merge takes no query: what it is asked for is in the body."""
    response = http.post(
        f"/customers/{pair.eve}/merge?validateOnly=true", json={"droppedId": pair.ada}
    )

    assert error_of(response) == Error(400, 3, "MALFORMED_REQUEST", [])
    assert http.get(f"/customers/{pair.ada}").status_code == 200


def test_merge_without_body(http: httpx.Client, pair: Pair) -> None:
    """A merge without a body lacks the customer that is dropped."""
    headers = {"content-type": "application/json"}
    response = http.post(f"/customers/{pair.eve}/merge", headers=headers)

    assert error_of(response) == Error(400, 3, INVALID, ["body"])


def test_already_merged(http: httpx.Client, pair: Pair) -> None:
    """A customer that went elsewhere is told with where to; the same merge again is answered."""
    first = merge(http, pair)
    bob = http.post("/customers", json={"email": "bob@example.com"}).json()["id"]
    again = merge(http, pair)
    refused = http.post(f"/customers/{bob}/merge", json={"droppedId": pair.ada})

    assert again.json() == first.json()
    assert error_of(refused) == Error(400, 9, "ALREADY_MERGED", [])
    assert refused.json()["details"][0]["metadata"] == {"droppedId": pair.eve}


def test_conditional_merge(http: httpx.Client, pair: Pair) -> None:
    """If-Match is a condition on the kept customer, and a key makes a merge repeatable."""
    http.headers["if-match"] = '"other"'
    assert error_of(merge(http, pair)) == Error(409, 10, "ETAG_MISMATCH", [])
    http.headers.update({"if-match": pair.tag, "idempotency-key": "merge"})
    first = merge(http, pair)
    assert first.status_code == 200
    del http.headers["if-match"]
    update = {"id": pair.eve, "lastName": "King"}
    http.put("/customers", json=update, headers={"idempotency-key": "update"}).raise_for_status()
    assert merge(http, pair).json() == first.json()


def test_tombstone_of_merge(http: httpx.Client, pair: Pair) -> None:
    """The feed of changes says where a merged customer went."""
    dropped = merge(http, pair).json()["dropped"]

    changes = http.get("/customers/changes").json()["changes"]

    assert [it["tombstone"] for it in changes if it["kind"] == "DELETED"] == [dropped]
