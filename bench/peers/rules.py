"""Rules that span fields, and what is not given: on customers as JSON has them.

Types and single values are checked by the models before; what is here is the
same for all peers, and calls what the service itself does.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from uuid_utils import uuid7

from bench.peers.errors import InvalidInput, Violation
from twc_customer_server.api import lookup
from twc_customer_server.customers import addresses, fields, phones

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
_COLUMNS = {
    "email": "email_key",
    "firstName": "first_name_key",
    "lastName": "last_name_key",
    "mobile": "mobile",
    "phone": "phone",
}
_MARKETING = ("accepts_marketing", "marketing_optin_level")
_MARKED_AT = "marketing_preferences_updated_at"


def written(moment: datetime) -> str:
    """A moment as JSON has it: in UTC, with milliseconds if there are any."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6].replace(".000", "") + "Z"


def new(given: Json, region: str | None) -> Json:
    """The customer to store of what a request gives. Raises InvalidInput."""
    now = written(datetime.now(UTC))
    fields = {name: value for name, value in given.items() if name not in _SERVER_FIELDS}
    customer = _DEFAULTS | {"taxExemptions": [], "addresses": [], "attributeGroups": {}} | fields
    customer |= {"id": str(uuid7()), "createdDate": now, "lastModifiedDate": now}
    if any(name in given for name in _MARKETING):
        customer.setdefault(_MARKED_AT, now)
    _settle_marketing(customer)
    _settle_groups(customer)
    _settle_addresses(customer, given.get("defaultAddress"), (), None)
    _settle_contact(customer, given, region)
    return customer


def changed(stored: Json, given: Json, region: str | None) -> Json:
    """A stored customer with what a request gives. Raises InvalidInput."""
    now = written(datetime.now(UTC))
    fields = {
        name: value
        for name, value in given.items()
        if name not in _SERVER_FIELDS and value not in ([], {})
    }
    customer = stored | fields | {"lastModifiedDate": now}
    _settle_marketing(customer)
    _settle_groups(customer)
    if any(stored.get(name) != customer.get(name) for name in _MARKETING) and (
        fields.get(_MARKED_AT) in (None, stored.get(_MARKED_AT))
    ):
        customer[_MARKED_AT] = now
    if "addresses" in fields or "defaultAddress" in given:
        known = {address["id"] for address in stored["addresses"]}
        current = next((each["id"] for each in stored["addresses"] if each["defaultAddress"]), None)
        _settle_addresses(customer, given.get("defaultAddress"), known, current)
    _settle_contact(customer, given, region)
    return customer


def key(customer_id: str | None, customer_ref: str | None) -> dict[str, str]:
    """The column, and its value, that selects the customer of an update. Raises InvalidInput."""
    if customer_id:
        return {"id": customer_id}
    if customer_ref:
        return {"customer_ref": customer_ref}
    wrong = "is required, or customerRef, to select the customer"
    raise InvalidInput([Violation("id", wrong)])


def default_address(listed: list[Json]) -> Json | None:
    """The one of a stored customer's addresses that is the default."""
    return next((address for address in listed if address["defaultAddress"]), None)


def wanted(parameters: Mapping[str, str | None], region: str | None) -> dict[str, str]:
    """What a search is for, by column. Raises InvalidInput."""
    found: dict[str, str] = {}
    wrong: list[Violation] = []
    for name, value in parameters.items():
        if value is not None:
            kind = {"firstName": "first_name", "lastName": "last_name"}.get(name, name)
            try:
                found[_COLUMNS[name]] = lookup._key(kind, value, region)  # noqa: SLF001 - ours
            except ValueError as error:
                wrong.append(Violation(name, str(error)))
    if not found and not wrong:
        wrong = [Violation("email", "is required, or firstName, lastName, mobile or phone")]
    if wrong:
        raise InvalidInput(wrong)
    return found


def _settle_groups(customer: Json) -> None:
    """An answer has the attributes of every group, even if there are none."""
    for group in customer["attributeGroups"].values():
        group.setdefault("attributes", {})


def _settle_marketing(customer: Json) -> None:
    if not customer["accepts_marketing"]:
        customer.pop("marketing_optin_level", None)
    else:
        customer.setdefault("marketing_optin_level", "unknown")


def _settle_contact(customer: Json, given: Json, region: str | None) -> None:
    """Drops what is blank, and writes phones in E.164 format."""
    for name in _BLANK_IS_NONE:
        if name in given and not fields.trim(customer[name]):
            del customer[name]
    default = default_address(customer["addresses"])
    region = (default or {}).get("countryCode") or region
    wrong = []
    for name in ("mobile", "phone"):
        if name in given and name in customer:
            try:
                customer[name] = phones.to_e164(customer[name], region)
            except ValueError as error:
                wrong.append(Violation(name, str(error)))
    if wrong:
        raise InvalidInput(wrong)


def _settle_addresses(
    customer: Json, chosen: Json | None, known: Collection[str], current: str | None
) -> None:
    """Gives addresses their ids, and marks the default among them.

    It is the `chosen` one, which joins the list if it is not there, else the one
    that is marked, else the `current` one, else the first.
    """
    listed: list[Json] = list(customer["addresses"])
    default = _default(listed, chosen, current)
    if len(listed) > addresses.MAX_ADDRESSES:
        limit = f"must hold at most {addresses.MAX_ADDRESSES} addresses"
        raise InvalidInput([Violation("addresses", limit)])
    customer["addresses"] = [
        each
        | {
            "id": each["id"] if each.get("id") in known else str(uuid7()),
            "customerId": customer["id"],
            "defaultAddress": index == default,
        }
        for index, each in enumerate(listed)
    ]


def _default(listed: list[Json], chosen: Json | None, current: str | None) -> int:
    if chosen is None:
        marked = [index for index, each in enumerate(listed) if each.get("defaultAddress")]
        if len(marked) > 1:
            path = f"addresses[{marked[1]}].defaultAddress"
            wrong = f"must not be true, because that of addresses[{marked[0]}] is"
            raise InvalidInput([Violation(path, wrong)])
        return marked[0] if marked else (_index(listed, current) or 0)
    content = _content(chosen)
    found = _index(listed, chosen.get("id"))
    if found is not None:
        if content:
            listed[found] = chosen
        return found
    if not content:
        raise InvalidInput([Violation("defaultAddress", addresses.EMPTY)])
    alike = [index for index, each in enumerate(listed) if _content(each) == content]
    if not alike:
        listed.append(chosen)
    return alike[0] if alike else len(listed) - 1


def _index(listed: list[Json], wanted_id: str | None) -> int | None:
    same = (index for index, each in enumerate(listed) if wanted_id and each.get("id") == wanted_id)
    return next(same, None)


def _content(address: Json) -> Json:
    return {name: value for name, value in address.items() if value and name not in _NO_CONTENT}
