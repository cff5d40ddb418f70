"""The document's sample requests are served, and answered in the shape of its sample responses."""

import re
from typing import Any

import httpx
import pytest

from tests.gateway.documented import ADDRESS, CUSTOMER, stored

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def created(http: httpx.Client) -> dict[str, Any]:
    """The sample customer, stored."""
    customer: dict[str, Any] = http.post("/customers", json=CUSTOMER).json()
    return customer


def test_create(http: httpx.Client) -> None:
    """The sample of create comes back with every member, ids and dates the server's."""
    response = http.post("/customers", json=CUSTOMER)

    answer = response.json()
    assert response.status_code == 201
    assert answer == stored(CUSTOMER, answer)
    assert UUID7.fullmatch(answer["id"])
    assert UUID7.fullmatch(answer["addresses"][0]["id"])
    assert MILLISECONDS.fullmatch(answer["createdDate"])
    assert answer["createdDate"] == answer["lastModifiedDate"] != CUSTOMER["createdDate"]


def test_upload(http: httpx.Client) -> None:
    """The sample of upload, a list, is answered with a list that holds the customer."""
    response = http.post("/upload-customers", json=[CUSTOMER])

    [result] = response.json()
    assert response.status_code == 201
    assert result == {"index": 0, "customer": stored(CUSTOMER, result["customer"])}


def test_validate(http: httpx.Client) -> None:
    """The sample of validate comes back normalised, without what only storing gives."""
    response = http.post("/customers/validate", json=CUSTOMER)

    address = {name: ADDRESS[name] for name in ADDRESS if name not in ("id", "customerId")}
    expected = {name: CUSTOMER[name] for name in CUSTOMER if not name.endswith("Date")}
    del expected["id"]
    assert response.status_code == 200
    assert response.json() == expected | {
        "mobile": "+447700900123",
        "phone": "+442079460958",
        "addresses": [address],
        "defaultAddress": address,
    }


def test_update(http: httpx.Client, created: dict[str, Any]) -> None:
    """The sample of update replaces what is stored and keeps id and date of creation."""
    request = CUSTOMER | {"id": created["id"], "lastName": "King", "addresses": [ADDRESS]}

    response = http.put("/customers", json=request)

    answer = response.json()
    assert response.status_code == 200
    assert answer == stored(request, answer)
    assert (answer["id"], answer["createdDate"]) == (created["id"], created["createdDate"])
    assert answer["lastModifiedDate"] > created["lastModifiedDate"]


def test_add_address(http: httpx.Client, created: dict[str, Any]) -> None:
    """The sample of add address becomes the default address, and the former one stays."""
    response = http.post(f"/customers/{created['id']}/address", json=ADDRESS)

    answer = response.json()
    former, added = answer["addresses"]
    assert response.status_code == 200
    assert former == created["addresses"][0] | {"defaultAddress": False}
    assert added == ADDRESS | {"id": added["id"], "customerId": created["id"]}
    assert UUID7.fullmatch(added["id"])
    assert answer["defaultAddress"] == added


@pytest.mark.parametrize("path", ["/{id}", "/A-1815/ref", "/search?email=ada@example.com"])
def test_read(http: httpx.Client, created: dict[str, Any], path: str) -> None:
    """Every way to read a customer answers exactly what create answered."""
    answer = http.get("/customers" + path.format(id=created["id"])).json()

    assert answer in (created, [created])


@pytest.mark.parametrize("state", ["customerState", "customer_state"])
@pytest.mark.parametrize("default", ["default_address", "defaultAddress"])
def test_both_spellings(http: httpx.Client, state: str, default: str) -> None:
    """The fields that the document spells two ways are read in both and written in one."""
    request = {"email": "bob@example.com", state: "invited", default: {"city": "Rom"}}

    answer = http.post("/customers", json=request).json()

    assert answer["customer_state"] == "invited"
    assert answer["defaultAddress"]["city"] == "Rom"
    assert {"customerState", "default_address"}.isdisjoint(answer)


def test_minimal_customer(http: httpx.Client) -> None:
    """A customer of an e-mail address gets the defaults; what is unset is absent, lists are not."""
    answer = http.post("/customers", json={"email": "bob@example.com"}).json()

    for name in ("id", "createdDate", "lastModifiedDate"):
        del answer[name]
    assert answer == {
        "email": "bob@example.com",
        "active": True,
        "accepts_marketing": False,
        "customer_state": "disabled",
        "taxExempt": False,
        "taxExemptions": [],
        "verified_email": False,
        "addresses": [],
        "attributeGroups": {},
    }
