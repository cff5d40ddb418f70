"""Maps the service's errors to HTTP statuses and JSON bodies, as the gateway does."""

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

# The HTTP status, gRPC code and reason of each error.
_RESPONSES: dict[type[ServiceError], tuple[int, int, str]] = {
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

# The columns that are unique within a tenant, and their JSON names.
UNIQUE_COLUMNS = {
    "email_key": "email",
    "mobile": "mobile",
    "phone": "phone",
    "customer_ref": "customerRef",
}


def to_response(error: ServiceError) -> tuple[int, dict[str, Any]]:
    """Returns the HTTP status and the JSON body of an error."""
    status, code, reason = _RESPONSES[type(error)]
    info: dict[str, Any] = {"@type": f"{_TYPE}ErrorInfo", "reason": reason, "domain": ERROR_DOMAIN}
    details = [info]
    if isinstance(error, InvalidInput):
        violations = [violation._asdict() for violation in error.violations]
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": violations})
    if isinstance(error, AlreadyExists):
        info["metadata"] = dict(error.clashes)
    return status, {"code": code, "message": str(error), "details": details}


def conflicting_column(error: Exception) -> str:
    """Returns the column of the unique index that SQLite's error names; raises other errors."""
    # UNIQUE constraint failed: customer.tenant, customer.email_key
    column = str(error).rpartition(".")[2]
    if column not in UNIQUE_COLUMNS:
        raise error
    return column


def already_exists(column: str, owner_id: str | None) -> AlreadyExists:
    """Returns the error of a write whose unique value another customer has."""
    return AlreadyExists([Clash(UNIQUE_COLUMNS[column], owner_id or "")])


def not_found(column: str) -> NotFound:
    """Returns the error of an update that selects no customer by a column."""
    return NotFound("customerRef" if column == "customer_ref" else column)


def invalid_input(errors: Sequence[dict[str, Any]]) -> InvalidInput:
    """Returns the error for the errors of a Pydantic validation."""
    return InvalidInput([Violation(_path(each["loc"]), str(each["msg"])) for each in errors])


def _path(location: Sequence[str | int]) -> str:
    """Formats a location as the service does, such as `addresses[1].countryCode`."""
    path = ""
    previous: str | int = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif previous in ("attributeGroups", "attributes"):
            path += f'["{part}"]'
        elif part not in ("body", "[key]"):
            path += f".{part}" if path else part
        previous = part
    return path or "customer"
