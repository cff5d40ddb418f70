"""Valid messages to start from; a test says only what it is about."""

import itertools
from typing import Any

from twc.customer.v2.customer_pb2 import Address, Customer

# An id that no customer has, and its path.
UNKNOWN_ID = "01938f6e-0000-7000-8000-000000000000"
NO_CUSTOMER = f"/customers/{UNKNOWN_ID}"

_numbers = itertools.count(1)


def new_email() -> str:
    """An e-mail address that no customer has yet."""
    return f"customer-{next(_numbers)}@example.com"


def customer(**fields: Any) -> Customer:
    """A request's customer with an e-mail address of its own and the given fields."""
    return Customer(**({"email": new_email()} | fields))


def address(**fields: Any) -> Address:
    """A request's address with a city and the given fields."""
    return Address(**({"city": "Berlin"} | fields))
