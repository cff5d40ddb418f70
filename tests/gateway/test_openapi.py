"""The OpenAPI description is valid, complete, and true of the running service."""

import json
import os
from importlib import resources
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from openapi.examples import EXAMPLES

from tests.support.client import SECONDS
from twc_customer_gateway.matchers import http_routes
from twc_customer_server.contract import SERVICE

PACKAGE = resources.files("twc.customer.v2")
DOCUMENT = json.loads(PACKAGE.joinpath("openapi.json").read_text())
# Requests that are made up for each operation, beside those that cover its parameters.
EXAMPLES_OF_EACH = int(os.environ.get("OPENAPI_EXAMPLES", "15"))

OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]


class Described(NamedTuple):
    """What Schemathesis, which takes long to load, knows of the description."""

    api: Any
    mode: Any
    checks: list[Any]


@pytest.fixture(scope="module")
def described() -> Described:
    """The description, with the checks of what is answered."""
    import schemathesis  # noqa: PLC0415
    from schemathesis.checks import not_a_server_error  # noqa: PLC0415
    from schemathesis.generation import GenerationMode  # noqa: PLC0415
    from schemathesis.specs.openapi import checks  # noqa: PLC0415

    return Described(
        schemathesis.openapi.from_dict(DOCUMENT),
        GenerationMode,
        [
            not_a_server_error,
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_headers_conformance,
            checks.response_schema_conformance,
        ],
    )


@pytest.fixture
def service(http: httpx.Client) -> dict[str, Any]:
    """Where the service is, and the headers of its calls."""
    return {
        "base_url": str(http.base_url).removesuffix("/").removesuffix("/api/v2"),
        "headers": {name: http.headers[name] for name in ("authorization", "x-twc-tenant")},
    }


def test_validity() -> None:
    """The description is one of OpenAPI 3.1, in both forms the same."""
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415 - takes long

    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert yaml.safe_load(PACKAGE.joinpath("openapi.yaml").read_text()) == DOCUMENT


def test_operations() -> None:
    """Every REST route is described, under a name of its own, with words."""
    operations = [
        (method.upper(), path, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]
    shape = {(method, path.count("{"), len(path.split("/"))) for method, path, _ in operations}
    expected = http_routes(SERVICE)
    assert len(operations) == len(expected)
    assert shape == {
        (route.method, route.path.count("{"), len(route.path.split("/"))) for route in expected
    }
    names = [operation["operationId"] for _, _, operation in operations]
    assert len(set(names)) == len(names)
    assert {"createCustomer", "validateCustomerRequest", "lookupCustomer"} <= set(names)
    assert all(operation["description"] for _, _, operation in operations)


def test_conditional_operations() -> None:
    """Whatever changes a stored customer may be sent with If-Match, and nothing else."""
    found, changes = set(), ("update", "add", "delete", "merge", "restore", "erase")
    for path, method in OPERATIONS:
        operation = DOCUMENT["paths"][path][method]
        parameters = [it.get("$ref", "") for it in operation["parameters"]]
        assert operation["operationId"].startswith(changes) == any(
            it.endswith("/IfMatch") for it in parameters
        )
        found.add(operation["operationId"])
    assert all(any(it.startswith(change) for it in found) for change in changes)


@pytest.mark.parametrize("name", [it for it in DOCUMENT["components"]["schemas"] if "." not in it])
def test_words_for_members(name: str) -> None:
    """Every member of a message is described."""
    schema = DOCUMENT["components"]["schemas"][name]
    for member, described in schema.get("properties", {}).items():
        assert described.get("description"), (name, member)


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_any_request(
    path: str, method: str, mode: str, described: Described, service: dict[str, Any]
) -> None:
    """Whatever is sent, the answer has a documented status and shape, and is no fault."""
    operation = described.api[path][method]

    @given(case=operation.as_strategy(described.mode(mode)))
    @settings(max_examples=EXAMPLES_OF_EACH, deadline=None, suppress_health_check=list(HealthCheck))
    def send(case: Any) -> None:
        query = case.query or {}
        if isinstance(query.get("waitSeconds"), int):
            # Nothing changes meanwhile, and each would wait for half a minute.
            query["waitSeconds"] = min(query["waitSeconds"], 0)
        case.call_and_validate(**service, timeout=SECONDS, checks=described.checks)

    send()


def test_examples(http: httpx.Client) -> None:
    """The examples are what the service is asked and answers, but for ids and dates."""
    create = EXAMPLES["CreateCustomer"]
    created = http.post("/customers", json=create.request).json()
    assert _normal(created) == _normal(create.response)
    customer_id = created["id"]
    for name, path in {
        "GetCustomer": f"/customers/{customer_id}",
        "GetCustomerByRef": "/customers/A-1815/ref",
        "LookupCustomers": "/customers/search?lastName=lovelace",
    }.items():
        assert _normal(http.get(path).json()) == _normal(EXAMPLES[name].response)
    update = EXAMPLES["UpdateCustomer"]
    updated = http.put("/customers", json=update.request | {"id": customer_id}).json()
    assert _normal(updated) == _normal(update.response)


def _normal(value: Any) -> Any:
    """Returns JSON without what is of the moment."""
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, dict):
        moment = ("id", "customerId", "createdDate", "lastModifiedDate")
        return {name: _normal(it) if name not in moment else "" for name, it in value.items()}
    return value
