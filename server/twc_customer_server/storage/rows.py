"""What of a customer stands in the columns of its row."""

from typing import Any

from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.storage import keys


def new_row(tenant: str, customer: Customer) -> tuple[Any, ...]:
    """The values of all columns, in the order of `Statements.insert`; the last is the body."""
    created = customer.created_date.ToMilliseconds()
    return (tenant, customer.id, *key_values(customer), created, *content(customer))


def unique(customer: Customer) -> dict[str, str | None]:
    """The unique keys by the JSON names of their fields, as `schema.UNIQUE` lists them."""
    return {
        "email": keys.exact_key(keys.email_key(customer.email)),
        "mobile": customer.mobile or None,
        "phone": customer.phone or None,
        "customerRef": keys.exact_key(customer.customer_ref) or None,
    }


def key_values(customer: Customer) -> tuple[str | None, ...]:
    """The values of the key columns, in the order of their declaration."""
    own = unique(customer)
    return (
        own["customerRef"],
        own["email"],
        own["mobile"],
        own["phone"],
        keys.name_key(customer.first_name) or None,
        keys.name_key(customer.last_name) or None,
    )


def content(customer: Customer) -> tuple[int, bytes]:
    """When the customer was modified, and its body."""
    return customer.last_modified_date.ToMilliseconds(), customer.SerializeToString()
