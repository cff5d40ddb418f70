"""The OpenAPI 3.1 document: every REST route of the contract, with its comments."""

import re
from collections.abc import Iterator

from google.protobuf.descriptor import EnumDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from openapi import comments, errors, samples
from openapi.examples import EXAMPLES
from openapi.routes import WHOLE, Route, routes
from openapi.schemas import Schema, Schemas

# The names that the API's document gives to methods, where they are not the RPC's.
_METHOD_NAMES = {"ValidateCustomer": "validateCustomerRequest", "LookupCustomers": "lookupCustomer"}

# RPCs that fail for a customer that is not there, and for values that are not expected.
_MISSING = re.compile(r"^(GetCustomerBy|Update|Add|DeleteCustomerAddress|Restore|Merge)")
_CONFLICTING = re.compile(r"^(Create|Update|Add|Delete|Validate|Upload|Restore|Erase|Merge)")

# What changes a stored customer by POST; PUT and DELETE always do.
_CONDITIONAL = ("Add", "Merge", "Restore", "Erase")

_HEADERS: dict[str, Schema] = {
    "ETag": {"description": "The entity tag of the customer (RFC 9110); each change changes it."},
    "Location": {"description": "The customer's place, relative to the request's path."},
    "Link": {"description": 'The next page, `rel="next"` (RFC 8288).'},
    "x-next-page-token": {"description": "The token of the next page."},
    "X-TWC-Consistency-Token": {
        "description": "What a later read must see of this call; for requests with this header."
    },
    "X-Request-Id": {"description": "The request's id, in the logs as well."},
    "x-ignored-members": {"description": "JSON members that the API does not know."},
    "Retry-After": {"description": "Seconds before a retry.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "What is wrong with the token, in general terms."},
    "Allow": {"description": "The methods that the path takes."},
}

_PARAMETERS: dict[str, Schema] = {
    "Tenant": {
        "name": "X-TWC-Tenant",
        "in": "header",
        "required": True,
        "description": "The tenant that the request acts for; the token must be for it.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "example": "acme",
    },
    "ConsistencyToken": {
        "name": "X-TWC-Consistency-Token",
        "in": "header",
        "description": "Lets replicas answer reads: `any` with what they have, or with all up to "
        "the tokens of earlier responses; `latest` asks for a first token.",
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A key of the request, by which it can be repeated for 24 hours.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "Entity tags; nothing is changed if the customer has none of them.",
        "schema": {"type": "string"},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "Entity tags; 304 if the customer has one of them.",
        "schema": {"type": "string"},
    },
}

_INFO = """\
The customers of many tenants, by REST. The same service speaks gRPC, with streams for imports,
exports and changes.

Each request carries an OAuth 2.0 bearer token (RFC 6750) and the name of the tenant that it acts
for. Every error is the same object, whoever makes it.
"""


def build(
    service: ServiceDescriptor, reasons: EnumDescriptor, files: FileDescriptorSet, version: str
) -> Schema:
    """Returns the document; `files` are the contract's, with their comments."""
    texts = comments.by_full_name(files)
    schemas = Schemas(texts)
    paths: dict[str, Schema] = {}
    for route in routes(service):
        operation = _operation(route, schemas)
        paths.setdefault(route.json_path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Customer API", "version": version, "description": _INFO},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": "customers"}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
            "parameters": _PARAMETERS,
            "headers": {
                name: {"schema": {"type": "string"}} | header for name, header in _HEADERS.items()
            },
            "responses": errors.components(),
            "schemas": schemas.components | errors.schemas(reasons, texts),
        },
    }


def operation_id(route: Route) -> str:
    """Returns the name of a method, with the last variable of the path if it is a further route."""
    name = route.rpc.name
    name = _METHOD_NAMES.get(name, name[0].lower() + name[1:])
    if not route.number:
        return name
    [*_, last] = ["query", *(field.json_name for field in route.path_fields)]
    return f"{name}By{last[:1].upper()}{last[1:]}"


def _operation(route: Route, schemas: Schemas) -> Schema:
    rpc = route.rpc
    text = schemas.describe(rpc.full_name).removeprefix(f"{rpc.name} ")
    text = text[:1].upper() + text[1:]
    operation: Schema = {
        "operationId": operation_id(route),
        "summary": text.partition(". ")[0].partition("\n")[0].rstrip("."),
        "description": text,
        "tags": ["customers"],
        "x-codeSamples": samples.of(route),
        "parameters": [*_parameters(route, schemas)],
        "responses": _success(route, schemas)
        | errors.responses(
            errors.statuses(
                has_body=bool(route.body),
                misses=bool(_MISSING.match(rpc.name)),
                conflicts=bool(_CONFLICTING.match(rpc.name)),
            )
        ),
    }
    if route.body:
        operation["requestBody"] = _request_body(route, schemas)
    return operation


def _parameters(route: Route, schemas: Schemas) -> Iterator[Schema]:
    for place, fields in (("path", route.path_fields), ("query", route.query_fields)):
        for field in fields:
            parameter = {"name": field.json_name, "in": place, "schema": schemas.parameter(field)}
            if description := schemas.describe(field.full_name):
                parameter["description"] = description
            yield parameter | ({"required": True} if place == "path" else {})
    headers = ["Tenant", "ConsistencyToken"]
    if _has_etag(route):
        headers.append("IfNoneMatch" if route.method == "GET" else "IdempotencyKey")
    if route.method in ("PUT", "DELETE") or route.rpc.name.startswith(_CONDITIONAL):
        headers.append("IfMatch")
    if route.rpc.client_streaming or (route.method == "DELETE" and not _has_etag(route)):
        headers.append("IdempotencyKey")
    for header in headers:
        yield {"$ref": f"#/components/parameters/{header}"}


def _request_body(route: Route, schemas: Schemas) -> Schema:
    if route.body == WHOLE:
        in_path = [field.name for field in route.path_fields]
        schema = schemas.of(route.rpc.input_type, is_input=True, left_out=in_path)
    else:
        field = route.rpc.input_type.fields_by_name[route.body]
        schema = schemas.of(field.message_type, is_input=True)
    if route.rpc.client_streaming:
        schema = {"type": "array", "items": schema, "maxItems": 10_000}
    content: Schema = {"schema": schema}
    if example := EXAMPLES.get(route.rpc.name):
        content["example"] = example.request
    return {"required": True, "content": {"application/json": content}}


def _success(route: Route, schemas: Schemas) -> dict[str, Schema]:
    """Returns the responses of the calls that succeed."""
    rpc = route.rpc
    nothing = {"description": "Done.", "headers": _references("X-Request-Id")}
    if rpc.output_type.full_name == "google.protobuf.Empty":
        return {"204": nothing}
    answer: Schema = {
        "description": "Done.",
        "headers": _references(*_response_headers(route)),
        "content": {"application/json": _content(route, schemas)},
    }
    if rpc.name == "CreateCustomer":
        return {"201": answer | {"links": _links(rpc.containing_service)}}
    if rpc.name == "UploadCustomers":
        partly = answer | {"description": "Not all customers were stored; each has its result."}
        return {"201": answer, "200": partly}
    found = {"200": answer}
    if rpc.name == "GetCustomer":
        found["204"] = nothing | {"description": "The tenant has no such customer."}
    if route.method == "GET" and _has_etag(route):
        text = "The customer has a listed entity tag."
        found["304"] = {"description": text, "headers": _references("ETag")}
    return found


def _links(service: ServiceDescriptor) -> Schema:
    """Returns the operations on a customer that take its id in the path."""
    return {
        operation_id(route): {
            "operationId": operation_id(route),
            "parameters": {"id": "$response.body#/id"},
        }
        for route in routes(service)
        if [field.name for field in route.path_fields] == ["id"]
    }


def _content(route: Route, schemas: Schemas) -> Schema:
    """Returns what a response has, with an example if there is one."""
    schema = schemas.of(route.rpc.output_type, is_input=False)
    if route.rpc.server_streaming:
        schema = {"type": "array", "items": schema}
    content: Schema = {"schema": schema}
    if example := EXAMPLES.get(route.rpc.name):
        content["example"] = example.response
    return content


def _response_headers(route: Route) -> list[str]:
    headers = ["X-Request-Id", "X-TWC-Consistency-Token"]
    if _has_etag(route):
        headers.append("ETag")
    if route.body:
        headers.append("x-ignored-members")
    return headers + {
        "CreateCustomer": ["Location"],
        "LookupCustomers": ["Link", "x-next-page-token"],
    }.get(route.rpc.name, [])


def _references(*headers: str) -> Schema:
    return {header: {"$ref": f"#/components/headers/{header}"} for header in headers}


def _has_etag(route: Route) -> bool:
    """Tells whether a route returns one stored customer."""
    rpc = route.rpc
    answers = ("Customer", "MergeCustomersResponse")
    is_customer = rpc.output_type.name in answers and not rpc.server_streaming
    return is_customer and rpc.name != "ValidateCustomer"
