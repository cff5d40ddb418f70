"""Rules that span fields, and defaults: for customers as JSON, the same for all peers.

The models have checked types and single values before.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from uuid_utils import uuid7

from bench.peers.error_responses import InvalidInput, Violation
from bench.peers.service_rules import (
    EMPTY,
    MAX_ADDRESSES,
    NOT_ACCEPTED,
    format_moment,
    search_key,
    to_e164,
    trim,
)

Json = dict[str, Any]

_SERVER_FIELDS = frozenset({"id", "createdDate", "lastModifiedDate", "defaultAddress"})
_DEFAULTS: Json = {
    "active": True,
    "accepts_marketing": False,
    "customer_state": "disabled",
    "taxExempt": False,
    "verified_email": False,
}
_BLANK_IS_NONE = ("customerRef", "mobile", "phone", "dob")
_NO_CONTENT = frozenset({"id", "customerId", "defaultAddress"})
# The parameters of a lookup: the fields of its RPC, and the columns.
_SEARCH = {
    "email": ("email", "email_key"),
    "firstName": ("first_name", "first_name_key"),
    "lastName": ("last_name", "last_name_key"),
    "mobile": ("mobile", "mobile"),
    "phone": ("phone", "phone"),
}
_MARKETING = ("accepts_marketing", "marketing_optin_level")
_MARKETING_UPDATED = "marketing_preferences_updated_at"


def create(request: Json, region: str | None) -> Json:
    """Returns the customer to store for a request. Raises InvalidInput."""
    now = format_moment(datetime.now(UTC))
    fields = {name: value for name, value in request.items() if name not in _SERVER_FIELDS}
    customer = _DEFAULTS | {"taxExemptions": [], "addresses": [], "attributeGroups": {}} | fields
    customer |= {"id": str(uuid7()), "createdDate": now, "lastModifiedDate": now}
    if any(name in request for name in _MARKETING):
        customer.setdefault(_MARKETING_UPDATED, now)
    _normalize_marketing(customer, None)
    _normalize_groups(customer)
    _normalize_addresses(customer, request.get("defaultAddress"), (), None)
    _normalize_contact(customer, request, region)
    return customer


def update(stored: Json, request: Json, region: str | None) -> Json:
    """Returns a stored customer with the changes of a request. Raises InvalidInput."""
    now = format_moment(datetime.now(UTC))
    fields = {
        name: value
        for name, value in request.items()
        if name not in _SERVER_FIELDS and value not in ([], {})
    }
    customer = stored | fields | {"lastModifiedDate": now}
    if customer["email"].lower() != stored["email"].lower():
        customer["verified_email"] = fields.get("verified_email", False)
    _normalize_marketing(customer, stored.get("marketing_optin_level"))
    _normalize_groups(customer)
    if any(stored.get(name) != customer.get(name) for name in _MARKETING) and (
        fields.get(_MARKETING_UPDATED) in (None, stored.get(_MARKETING_UPDATED))
    ):
        customer[_MARKETING_UPDATED] = now
    if "addresses" in fields or "defaultAddress" in request:
        known = {address["id"] for address in stored["addresses"]}
        current = next((each["id"] for each in stored["addresses"] if each["defaultAddress"]), None)
        _normalize_addresses(customer, request.get("defaultAddress"), known, current)
    _normalize_contact(customer, request, region)
    return customer


def selector(customer_id: str | None, customer_ref: str | None) -> dict[str, str]:
    """Returns the column and value that select the customer of an update. Raises InvalidInput."""
    if customer_id:
        return {"id": customer_id}
    if customer_ref:
        return {"customer_ref": customer_ref}
    message = "is required, or customerRef, to select the customer"
    raise InvalidInput([Violation("id", message)])


def search_filter(region: str | None, **parameters: str | None) -> dict[str, str]:
    """Returns the values that a lookup is for, by column. Raises InvalidInput."""
    found: dict[str, str] = {}
    violations: list[Violation] = []
    for name, value in parameters.items():
        if value is not None:
            field, column = _SEARCH[name]
            try:
                found[column] = search_key(field, value, region)
            except ValueError as error:
                violations.append(Violation(name, str(error)))
    if not found and not violations:
        violations = [Violation("email", "is required, or firstName, lastName, mobile or phone")]
    if violations:
        raise InvalidInput(violations)
    return found


def default_address(addresses: list[Json]) -> Json | None:
    """Returns the address of a stored customer that is marked as the default."""
    return next((address for address in addresses if address["defaultAddress"]), None)


def _normalize_groups(customer: Json) -> None:
    """Adds attributes, which responses have even if there are none."""
    for group in customer["attributeGroups"].values():
        group.setdefault("attributes", {})


def _normalize_marketing(customer: Json, known_level: str | None) -> None:
    """Makes the opt-in level, of which one is stored, agree with `accepts_marketing`."""
    if customer["accepts_marketing"]:
        customer.setdefault("marketing_optin_level", "unknown")
    elif customer.pop("marketing_optin_level", None) not in (None, known_level):
        raise InvalidInput([Violation("marketing_optin_level", NOT_ACCEPTED)])


def _normalize_contact(customer: Json, request: Json, region: str | None) -> None:
    """Removes blank values, and writes phones in E.164 format."""
    for name in _BLANK_IS_NONE:
        if name in request and not trim(customer[name]):
            del customer[name]
    default = default_address(customer["addresses"])
    region = (default or {}).get("countryCode") or region
    violations = []
    for name in ("mobile", "phone"):
        if name in request and name in customer:
            try:
                customer[name] = to_e164(customer[name], region)
            except ValueError as error:
                violations.append(Violation(name, str(error)))
    if violations:
        raise InvalidInput(violations)


def _normalize_addresses(
    customer: Json, chosen: Json | None, known_ids: Collection[str], current: str | None
) -> None:
    """Gives addresses their ids, and marks the default one.

    That is the `chosen` one, which is appended if it is not in the list, else the
    marked one, else the `current` one by its id, else the first.
    """
    addresses: list[Json] = list(customer["addresses"])
    default = _default_index(addresses, chosen, current)
    if len(addresses) > MAX_ADDRESSES:
        message = f"must hold at most {MAX_ADDRESSES} addresses"
        raise InvalidInput([Violation("addresses", message)])
    customer["addresses"] = [
        each
        | {
            "id": each["id"] if each.get("id") in known_ids else str(uuid7()),
            "customerId": customer["id"],
            "defaultAddress": index == default,
        }
        for index, each in enumerate(addresses)
    ]


def _default_index(addresses: list[Json], chosen: Json | None, current: str | None) -> int:
    """Returns the index of the default address; may replace it by, or append, the chosen one."""
    if chosen is None:
        marked = [index for index, each in enumerate(addresses) if each.get("defaultAddress")]
        if len(marked) > 1:
            path = f"addresses[{marked[1]}].defaultAddress"
            message = f"must not be true, because that of addresses[{marked[0]}] is"
            raise InvalidInput([Violation(path, message)])
        return marked[0] if marked else (_index_of(addresses, current) or 0)
    content = _content(chosen)
    found = _index_of(addresses, chosen.get("id"))
    if found is not None:
        if content:
            addresses[found] = chosen
        return found
    if not content:
        raise InvalidInput([Violation("defaultAddress", EMPTY)])
    equal = [index for index, each in enumerate(addresses) if _content(each) == content]
    if not equal:
        addresses.append(chosen)
    return equal[0] if equal else len(addresses) - 1


def _index_of(addresses: list[Json], wanted_id: str | None) -> int | None:
    same = (
        index for index, each in enumerate(addresses) if wanted_id and each.get("id") == wanted_id
    )
    return next(same, None)


def _content(address: Json) -> Json:
    return {name: value for name, value in address.items() if value and name not in _NO_CONTENT}
