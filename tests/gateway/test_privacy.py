"""What customers are made of appears in answers to their tenant, and nowhere else."""

import copy
import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.gateway.documented import CUSTOMER
from tests.gateway.stacks import StackFactory, http_headers
from tests.support.backends import each_backend
from tests.support.builders import NO_CUSTOMER
from tests.support.http_client import http_client
from twc_customer_gateway.supervisor.stack import Stack

CANARIES = 10_000
CANARY = re.compile("canary[0-9]{6}", re.IGNORECASE)

_numbers = itertools.count(1)


def _canary() -> str:
    return f"canary{next(_numbers):06}"


def _sing(value: Any) -> Any:
    """A value of the same structure with a canary in the place of every text."""
    if isinstance(value, dict):
        return {name: _sing(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_sing(inner) for inner in value]
    return _canary() if isinstance(value, str) else value


def _valid() -> dict[str, Any]:
    """A customer whose every free text is a canary, and whose other fields are good."""
    customer: dict[str, Any] = copy.deepcopy(CUSTOMER)
    free = ("id", "customerRef", "firstName", "lastName")
    customer |= {name: _canary() for name in free} | {"email": f"{_canary()}@example.com"}
    customer |= {"mobile": f"+49170{next(_numbers):07}", "phone": f"+49171{next(_numbers):07}"}
    address = _sing(CUSTOMER["addresses"][0]) | {
        "countryCode": "DE",
        "email": f"{_canary()}@example.com",
    }
    group = {
        "attribute_group": _canary(),
        "attributes": {_canary(): {"attribute_value": _canary()}},
    }
    return customer | {
        "addresses": [address],
        "defaultAddress": _sing(address)
        | {"countryCode": "DE", "email": f"{_canary()}@example.com"},
        "attributeGroups": {_canary(): group},
        "taxExemptions": [_canary()],
    }


def _refused(http: httpx.Client) -> Iterator[httpx.Response]:
    """Answers to requests whose values are canaries where they must not be free text."""
    bad = {**_sing(CUSTOMER), "attributeGroups": {"g": _sing({"attributes": {"a": {}}})}}
    bad["addresses"] = [_sing(CUSTOMER["addresses"][0])]
    del bad["createdDate"], bad["lastModifiedDate"], bad["customer_state"]
    del bad["marketing_optin_level"], bad["marketing_preferences_updated_at"]
    yield http.post("/customers", json=bad)
    yield http.post("/customers/validate", json=bad)
    yield http.put("/customers", json=bad)
    yield http.post(f"/customers/{_canary()}/address", json=bad["addresses"][0])
    yield http.get(f"/customers/{_canary()}/ref")
    yield http.get("/customers/search", params={"email": _canary(), "phone": _canary()})
    yield http.get("/customers/search", params={"firstName": "x", "pageToken": _canary()})
    yield http.get("/customers", params={"filter": f"email = {_canary()}"})
    yield http.get("/customers", params={"filter": f"lastName = x, {_canary()}"})
    yield http.get("/customers", params={"orderBy": _canary(), "pageToken": _canary()})
    yield http.get(f"/{_canary()}", params={_canary(): _canary()})
    yield http.get(NO_CUSTOMER, headers={"x-twc-tenant": _canary() + "!"})
    yield http.get(NO_CUSTOMER, headers={"x-twc-tenant": _canary()})
    yield http.get(NO_CUSTOMER, headers={"authorization": f"Bearer {_canary()}"})
    yield http.get(
        NO_CUSTOMER,
        headers={b"authorization": f"Bearer {_canary()}\xff".encode("latin-1")},
    )
    yield http.get(NO_CUSTOMER, headers={"authorization": _canary(), "user-agent": _canary()})


def _accepted(http: httpx.Client) -> Iterator[httpx.Response]:
    """Answers to good requests full of canaries."""
    created = http.post("/customers", json=_valid())
    yield created
    customer = created.json()
    yield http.post("/customers/validate", json=_valid())
    yield http.post("/upload-customers", json=[_valid() for _ in range(20)])
    yield http.put("/customers", json=_valid() | {"id": customer["id"]})
    yield http.get(f"/customers/{customer['id']}")
    yield http.get("/customers/search", params={"firstName": customer["firstName"]})
    yield http.get("/customers", params={"filter": f'firstName = "{customer["firstName"]}"'})
    yield http.post(f"/customers/{customer['id']}/address", json=customer["addresses"][0])
    yield http.delete(f"/customers/{customer['customerRef']}/ref")


@each_backend
def test_canaries(start_stack: StackFactory, capfd: pytest.CaptureFixture[str]) -> None:
    """Of ten thousand values sent through every field none is in a log or in an error's text."""
    enough = next(_numbers) + CANARIES
    with start_stack(log_level="DEBUG") as stack, _client(stack) as http:
        while next(_numbers) < enough:
            assert {answer.status_code for answer in _accepted(http)} <= {200, 201, 204}
            for answer in _refused(http):
                assert 400 <= answer.status_code < 500
                assert not CANARY.search(answer.text)
    logged = capfd.readouterr()

    assert '"rpc": "UploadCustomers"' in logged.out
    assert not CANARY.search(logged.out + logged.err)


def _client(stack: Stack) -> httpx.Client:
    origin = f"http://127.0.0.1:{stack.settings.gateway_port}/api/v2"
    return http_client(base_url=origin, headers=http_headers("acme"))
