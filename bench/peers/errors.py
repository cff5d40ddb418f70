"""The errors of the service as HTTP answers: status, and JSON in the one shape that it has."""

from collections.abc import Sequence
from typing import Any

from twc_customer_server.contract import ERROR_DOMAIN
from twc_customer_server.errors import (
    AlreadyExists,
    Clash,
    Internal,
    InvalidInput,
    InvalidTenant,
    NoCredentials,
    NotFound,
    ServiceError,
    TenantForbidden,
    Unauthenticated,
    Unavailable,
    Violation,
)

__all__ = ["AlreadyExists", "Clash", "InvalidInput", "NotFound", "ServiceError", "Violation"]

_TYPE = "type.googleapis.com/google.rpc."

# HTTP status, gRPC code and reason of each.
_ANSWERS: dict[type[ServiceError], tuple[int, int, str]] = {
    InvalidInput: (400, 3, "INVALID_INPUT"),
    InvalidTenant: (400, 3, "INVALID_TENANT"),
    NoCredentials: (401, 16, "UNAUTHENTICATED"),
    Unauthenticated: (401, 16, "UNAUTHENTICATED"),
    TenantForbidden: (403, 7, "TENANT_FORBIDDEN"),
    NotFound: (404, 5, "RESOURCE_NOT_FOUND"),
    AlreadyExists: (409, 6, "ALREADY_EXISTS"),
    Unavailable: (503, 14, "SERVICE_UNAVAILABLE"),
    Internal: (500, 13, "INTERNAL_ERROR"),
}

# The JSON names of the columns that are unique within a tenant.
UNIQUE = {
    "email_key": "email",
    "mobile": "mobile",
    "phone": "phone",
    "customer_ref": "customerRef",
}


def answer(error: ServiceError) -> tuple[int, dict[str, Any]]:
    """The HTTP status of an error, and its body."""
    status, code, reason = _ANSWERS[type(error)]
    info: dict[str, Any] = {"@type": f"{_TYPE}ErrorInfo", "reason": reason, "domain": ERROR_DOMAIN}
    details = [info]
    if isinstance(error, InvalidInput):
        violations = [violation._asdict() for violation in error.violations]
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": violations})
    if isinstance(error, AlreadyExists):
        info["metadata"] = dict(error.clashes)
    return status, {"code": code, "message": str(error), "details": details}


def taken_column(error: Exception) -> str:
    """The column that SQLite names of a unique index that a write clashed with.

    Raises the error again if it is another.
    """
    _, _, named = str(error).partition("UNIQUE constraint failed: ")
    column = named.split(", ")[-1].split("\n")[0].rpartition(".")[2].rstrip(")")
    if column not in UNIQUE:
        raise error
    return column


def taken(column: str, owner: str | None) -> AlreadyExists:
    """Says that the value of a unique column belongs to a customer."""
    return AlreadyExists([Clash(UNIQUE[column], owner or "")])


def missing(column: str) -> NotFound:
    """Says that an update is for no customer that there is."""
    return NotFound("customerRef" if column == "customer_ref" else column)


def invalid(wrong: Sequence[dict[str, Any]]) -> InvalidInput:
    """The errors of a Pydantic validation, by JSON path."""
    return InvalidInput([Violation(_path(each["loc"]), str(each["msg"])) for each in wrong])


def _path(location: Sequence[str | int]) -> str:
    """Writes a place as the service does, such as `addresses[1].countryCode`."""
    path = ""
    before: str | int = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif before in ("attributeGroups", "attributes"):
            path += f'["{part}"]'
        elif part not in ("body", "customer", "[key]"):
            path += f".{part}" if path else part
        before = part
    return path or "customer"
