"""Customers as rows of one table: a column a field, and JSON for what is nested.

Times are kept as the text that answers have, which sorts as they do: SQLite has
no type for them, and nothing has to convert them.
"""

from typing import Any

from bench.peers.rules import default_address
from twc_customer_server.storage import rows

# The JSON names of the fields, by column.
FIELDS = {
    "id": "id",
    "customer_ref": "customerRef",
    "email": "email",
    "first_name": "firstName",
    "last_name": "lastName",
    "mobile": "mobile",
    "phone": "phone",
    "dob": "dob",
    "active": "active",
    "accepts_marketing": "accepts_marketing",
    "customer_state": "customer_state",
    "marketing_optin_level": "marketing_optin_level",
    "marketing_preferences_updated_at": "marketing_preferences_updated_at",
    "tax_exempt": "taxExempt",
    "tax_exemptions": "taxExemptions",
    "verified_email": "verified_email",
    "addresses": "addresses",
    "attribute_groups": "attributeGroups",
    "created_date": "createdDate",
    "last_modified_date": "lastModifiedDate",
}

# What customers are found by beside their ids, within a tenant: the service's
# own indexes, as (name, columns, whether they are unique).
INDEXES = (
    ("customer_email_key", ("tenant", "email_key"), True),
    ("customer_mobile", ("tenant", "mobile"), True),
    ("customer_phone", ("tenant", "phone"), True),
    ("customer_customer_ref", ("tenant", "customer_ref"), True),
    ("customer_first_name_key", ("tenant", "first_name_key", "id"), False),
    ("customer_last_name_key", ("tenant", "last_name_key", "id"), False),
)

# Customers that a search returns.
PAGE = 100


class Stored:
    """What the rows of every ORM have beside their columns."""

    addresses: Any

    @property
    def default_address(self) -> dict[str, Any] | None:
        """The one of the addresses that is the default."""
        return default_address(self.addresses)


def key_values(customer: dict[str, Any]) -> dict[str, str | None]:
    """What a customer is compared by that is no field of it."""
    return {
        "email_key": rows.exact_key(rows.email_key(customer["email"])),
        "first_name_key": rows.name_key(customer.get("firstName", "")) or None,
        "last_name_key": rows.name_key(customer.get("lastName", "")) or None,
    }


def values(tenant: str, customer: dict[str, Any]) -> dict[str, Any]:
    """The values of all columns."""
    fields = {column: customer.get(name) for column, name in FIELDS.items()}
    return {"tenant": tenant} | fields | key_values(customer)


def changes(tenant: str, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The values of the columns that differ."""
    old = values(tenant, before)
    return {
        column: value for column, value in values(tenant, after).items() if value != old[column]
    }


def customer(row: Any) -> dict[str, Any]:
    """The customer of a row, as JSON has it."""
    found = {name: getattr(row, column) for column, name in FIELDS.items()}
    return {name: value for name, value in found.items() if value is not None}
