"""The SQLite table of the peers: a column for each field, JSON for nested ones, and settings.

Times are stored as the text that responses have. It sorts as they do, and
SQLite has no type for them.
"""

import threading
from typing import Any

from bench.peers.service_rules import stored_email_key, stored_name_key

# As durable as the service's storage/sqlite.py.
PRAGMA_STATEMENTS = (
    "PRAGMA journal_mode = wal",
    "PRAGMA synchronous = full",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA cache_size = -8192",
)

# The thread that writes holds it. A thread that waits for this lock wakes at
# once; one that finds SQLite's lock taken sleeps and polls. Other processes
# are waited for by `busy_timeout`.
WRITE_LOCK = threading.Lock()

# Concurrent requests of a process.
THREADS = 16

# The JSON names of fields, by column.
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

# The service's indexes: name, columns, and whether it is unique.
INDEXES = (
    ("customer_email_key", ("tenant", "email_key"), True),
    ("customer_mobile", ("tenant", "mobile"), True),
    ("customer_phone", ("tenant", "phone"), True),
    ("customer_customer_ref", ("tenant", "customer_ref"), True),
    ("customer_first_name_key", ("tenant", "first_name_key", "id"), False),
    ("customer_last_name_key", ("tenant", "last_name_key", "id"), False),
)

# The most customers that a search returns.
PAGE_SIZE = 100


def key_values(customer: dict[str, Any]) -> dict[str, str | None]:
    """Returns the values of the columns that are keys for comparison only."""
    return {
        "email_key": stored_email_key(customer["email"]),
        "first_name_key": stored_name_key(customer.get("firstName", "")),
        "last_name_key": stored_name_key(customer.get("lastName", "")),
    }


def to_row(tenant: str, customer: dict[str, Any]) -> dict[str, Any]:
    """Returns the values of all columns."""
    fields = {column: customer.get(name) for column, name in FIELDS.items()}
    return {"tenant": tenant} | fields | key_values(customer)


def changed_columns(tenant: str, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Returns the new values of the columns that differ."""
    old = to_row(tenant, before)
    return {
        column: value for column, value in to_row(tenant, after).items() if value != old[column]
    }


def from_row(row: Any) -> dict[str, Any]:
    """Returns the customer of a row, as JSON has it."""
    members = {name: getattr(row, column) for column, name in FIELDS.items()}
    return {name: value for name, value in members.items() if value is not None}
