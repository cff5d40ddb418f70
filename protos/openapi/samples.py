"""Samples of each route that can be pasted: for curl, Python, JavaScript and grpcurl."""

import json
import re
import shlex
import textwrap
from typing import Any
from urllib.parse import quote, urlencode

from openapi.examples import ADDRESS, ADDRESS_ID, EXAMPLES, ID, OTHER_ID
from openapi.routes import WHOLE, Route

# What samples call the service, by REST and by gRPC.
ORIGIN = "https://api.example.com"
GRPC_ADDRESS = "api.example.com:443"

_TENANT = "acme"

_IN_PATH = {
    "id": ID,
    "address_id": ADDRESS_ID,
    "customer_ref": "A-1815",
    "alternate_customer_ref": "crm-1815",
    "email": "ada@example.com",
    "key": "customerRef=A-1815",
}
_QUERIES: dict[str, dict[str, Any]] = {
    "DeleteCustomerByRef": {"customerRef": "A-1815"},
    "ListCustomers": {"filter": 'lastName = "love*"', "pageSize": 20},
    "ListCustomerChanges": {"pageSize": 100},
    "LookupCustomers": {"email": "ada@example.com"},
}
# Beside those of the examples. Without true, false and null, their JSON is Python as well.
_BODIES: dict[str, Any] = {
    "AddCustomerAddress": ADDRESS,
    "MergeCustomers": {"droppedId": OTHER_ID},
    "UpdateCustomerAddress": {"city": "London"},
    "UploadCustomers": [EXAMPLES["CreateCustomer"].request],
    "ValidateCustomer": EXAMPLES["CreateCustomer"].request,
}


def of(route: Route) -> list[dict[str, str]]:
    """Returns the samples of a route, as the extension `x-codeSamples` has them."""
    body = _body(route)
    return [
        {"lang": "Shell", "label": "curl", "source": _curl(route, body)},
        {"lang": "Python", "label": "Python", "source": _python(route, body)},
        {"lang": "JavaScript", "label": "JavaScript", "source": _javascript(route, body)},
        {"lang": "Shell", "label": "grpcurl", "source": _grpcurl(route, body)},
    ]


def _body(route: Route) -> Any:
    """Returns the body of a request, None for a route without one."""
    if not route.body:
        return None
    name = route.rpc.name
    body = _BODIES[name] if name in _BODIES else EXAMPLES[name].request
    if route.path_fields and "id" in body:
        # The path says which customer.
        return {member: value for member, value in body.items() if member != "id"}
    return body


def _query(route: Route) -> dict[str, Any]:
    return {} if route.path_fields else _QUERIES.get(route.rpc.name, {})


def _url(route: Route) -> str:
    path = re.sub(r"\{(\w+)\}", lambda field: quote(_IN_PATH[field[1]], safe="=@"), route.path)
    query = urlencode(_query(route), quote_via=quote)
    return f"{ORIGIN}{path}{'?' if query else ''}{query}"


def _curl(route: Route, body: Any) -> str:
    lines = ["curl" if route.method == "GET" else f"curl -X {route.method}"]
    lines[0] += f" {shlex.quote(_url(route))}"
    lines += ['-H "Authorization: Bearer $TOKEN"', f"-H 'X-TWC-Tenant: {_TENANT}'"]
    if body is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(_json(body, 2))}"]
    return " \\\n  ".join(lines)


def _python(route: Route, body: Any) -> str:
    lines = [
        f'"{_url(route)}",',
        f'headers={{"Authorization": f"Bearer {{token}}", "X-TWC-Tenant": "{_TENANT}"}},',
    ]
    if body is not None:
        lines.append(f"json={_json(body, 4)},")
    arguments = textwrap.indent("\n".join(lines), "    ")
    call = f"response = httpx.{route.method.lower()}(\n{arguments}\n)\nresponse.raise_for_status()"
    answer = "\nprint(response.json())" if _has_answer(route) else ""
    return f"import httpx\n\n{call}{answer}"


def _javascript(route: Route, body: Any) -> str:
    headers = ['"Authorization": `Bearer ${token}`,', f'"X-TWC-Tenant": "{_TENANT}",']
    lines = [] if route.method == "GET" else [f'method: "{route.method}",']
    if body is not None:
        headers.append('"Content-Type": "application/json",')
    lines += ["headers: {", *(f"  {header}" for header in headers), "},"]
    if body is not None:
        lines.append(f"body: JSON.stringify({_json(body, 2)}),")
    options = textwrap.indent("\n".join(lines), "  ")
    answer = "\nconsole.log(await response.json());" if _has_answer(route) else ""
    return (
        f'const response = await fetch("{_url(route)}", {{\n{options}\n}});\n'
        f"if (!response.ok) throw new Error(await response.text());{answer}"
    )


def _grpcurl(route: Route, body: Any) -> str:
    messages = "\n".join(_json(message, 2) for message in _messages(route, body))
    lines = [
        "grpcurl",
        '-H "Authorization: Bearer $TOKEN"',
        f"-H 'X-TWC-Tenant: {_TENANT}'",
        f"-d {shlex.quote(messages)}",
        f"{GRPC_ADDRESS} {route.rpc.containing_service.full_name}/{route.rpc.name}",
    ]
    return " \\\n  ".join(lines)


def _messages(route: Route, body: Any) -> list[dict[str, Any]]:
    """Returns the messages that the call of an RPC has where a route has path, query and body."""
    fields = {field.json_name: _IN_PATH[field.name] for field in route.path_fields}
    fields |= _query(route)
    if body is None:
        return [fields]
    if route.body == WHOLE:
        return [fields | body]
    items = body if route.rpc.client_streaming else [body]
    return [fields | {route.body: item} for item in items]


def _has_answer(route: Route) -> bool:
    return route.rpc.output_type.full_name != "google.protobuf.Empty"


def _json(value: Any, indent: int) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False)
