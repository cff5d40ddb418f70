"""The one shape of every error, whoever makes it."""

from typing import Any, NamedTuple

import httpx
from twc.customer.v2.error_reason_pb2 import ErrorReason


class Error(NamedTuple):
    """An error as a client reads it; `fields` are the paths of its violations."""

    status: int
    code: int
    reason: str
    fields: list[str]


def error_of(response: httpx.Response) -> Error:
    """Reads an error response, and fails if it does not have the shape."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"code", "message", "details"}
    assert isinstance(body["message"], str)
    info = _detail(body, "google.rpc.ErrorInfo")
    assert info["reason"] in ErrorReason.DESCRIPTOR.values_by_name
    assert info["domain"] == "customer.twc"
    violations = _detail(body, "google.rpc.BadRequest").get("fieldViolations", [])
    assert all(violation["description"] for violation in violations)
    if response.status_code in (429, 503):
        assert _detail(body, "google.rpc.RetryInfo")["retryDelay"] == "1s"
        assert response.headers["retry-after"] == "1"
    # A request whose headers cannot be read has no id.
    given = response.headers.get("x-request-id")
    assert body["details"][-1] == {
        "@type": "type.googleapis.com/google.rpc.RequestInfo",
        "servingData": "",
        **({"requestId": given} if given else {}),
    }
    fields = [violation["field"] for violation in violations]
    return Error(response.status_code, body["code"], info["reason"], fields)


def _detail(body: dict[str, Any], name: str) -> dict[str, Any]:
    url = f"type.googleapis.com/{name}"
    return next((detail for detail in body["details"] if detail["@type"] == url), {})
