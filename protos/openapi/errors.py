"""The responses of failed calls: the error object, and which statuses a route can have."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import EnumDescriptor

Schema = dict[str, Any]

_DETAILS: dict[str, Schema] = {
    "google.rpc.ErrorInfo": {
        "reason": {"$ref": "#/components/schemas/ErrorReason"},
        "domain": {"type": "string", "const": "customer.twc"},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "google.rpc.BadRequest": {
        "fieldViolations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "field": {
                        "type": "string",
                        "description": "The JSON path of the field: `addresses[1].countryCode`.",
                    },
                    "description": {"type": "string", "description": "What would be right."},
                },
            },
        }
    },
    "google.rpc.ResourceInfo": {
        "resourceType": {"type": "string"},
        "resourceName": {"type": "string"},
        "owner": {"type": "string"},
        "description": {"type": "string"},
    },
    "google.rpc.RequestInfo": {
        "requestId": {
            "type": "string",
            "description": "The request's id, in the logs as well.",
        },
        "servingData": {
            "type": "string",
            "description": "The id of the trace that the request belongs to, if it is known.",
        },
    },
    "google.rpc.RetryInfo": {
        "retryDelay": {"type": "string", "description": "Seconds before a retry, such as `1s`."}
    },
}

# What each status means on every route that can have it.
_MEANINGS = {
    400: "The request is malformed, or fields break their rules: `BadRequest` names each of them.",
    401: "There is no bearer token, or it is not valid.",
    403: "The token is not for the tenant, or not for this operation.",
    404: "The tenant has no such customer.",
    405: "The path does not take this method.",
    408: "The body did not come in time.",
    409: "A unique value belongs to another customer, or If-Match names another version.",
    413: "The body is too large.",
    415: "The body is not `application/json`, or compressed in another way than gzip.",
    429: "Too many requests of this client, of the tenant or of all.",
    431: "The headers are too large.",
    500: "The service has a fault, or it is not known whether a change was made.",
    503: "The service, or its database, cannot be reached.",
    504: "There was no answer in time.",
}
_ALWAYS = (400, 401, 403, 405, 429, 431, 500, 503, 504)
_HEADERS = {
    401: ["WWW-Authenticate"],
    405: ["Allow"],
    429: ["Retry-After"],
    500: ["Retry-After"],
    503: ["Retry-After"],
}


def statuses(*, has_body: bool, misses: bool, conflicts: bool) -> list[int]:
    """Returns the statuses of errors that a route can have.

    `misses` tells whether it fails for a missing customer, `conflicts` whether it
    fails for one that has other values than expected.
    """
    more = [408, 413, 415] if has_body else []
    more += [404] if misses else []
    more += [409] if conflicts else []
    return sorted([*_ALWAYS, *more])


def responses(numbers: Iterable[int]) -> dict[str, Schema]:
    """Returns references to the responses of statuses."""
    return {str(number): {"$ref": f"#/components/responses/Error{number}"} for number in numbers}


def components() -> dict[str, Schema]:
    """Returns the response of each status."""
    return {
        f"Error{number}": {
            "description": meaning,
            "headers": {
                name: {"$ref": f"#/components/headers/{name}"}
                for name in ["X-Request-Id", *_HEADERS.get(number, [])]
            },
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for number, meaning in _MEANINGS.items()
    }


def schemas(reasons: EnumDescriptor, comments: Mapping[str, str]) -> dict[str, Schema]:
    """Returns the schemas of the error object, its details and its reasons."""
    values = [value for value in reasons.values if value.number]
    lines = [
        f"- `{value.name}`: {comments[f'{reasons.full_name}.{value.name}']}" for value in values
    ]
    details = [
        {
            "type": "object",
            "title": name,
            "required": ["@type"],
            "properties": {
                "@type": {"type": "string", "const": f"type.googleapis.com/{name}"},
                **properties,
            },
        }
        for name, properties in _DETAILS.items()
    ]
    return {
        "ErrorReason": {
            "type": "string",
            "enum": [value.name for value in values],
            "description": "\n".join([comments[reasons.full_name], "", *lines]),
        },
        "Error": {
            "type": "object",
            "description": "An error, whoever makes it. Rely on `code` and on the `reason` of "
            "`ErrorInfo`, never on the message.",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {
                    "type": "integer",
                    "description": "The gRPC status code (google.rpc.Code).",
                },
                "message": {"type": "string", "description": "What is wrong, for people."},
                "details": {
                    "type": "array",
                    "description": "What programs read; `ErrorInfo` is the first.",
                    "items": {"anyOf": details},
                },
            },
        },
    }
