"""Valid messages to start from; a test says only what it is about."""

import itertools
from typing import Any

from twc.customer.v2.customer_pb2 import Address, Customer

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
