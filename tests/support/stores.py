"""What the tests of a store share: customers to store, and the ways to come upon them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.support import builders
from twc_customer_server.customers.customer import set_server_fields
from twc_customer_server.errors import IdMismatch
from twc_customer_server.storage.reads import Found
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore, Precondition

# A value of every key that customers are found by.
FULL: dict[str, Any] = {
    "email": "Ada@Example.com",
    "mobile": "+491701234567",
    "phone": "+493012345678",
    "customer_ref": "A-1",
    "first_name": "Ada",
    "last_name": "Lovelace",
}


def stamped(**fields: Any) -> Customer:
    """A customer with an id, its dates, an e-mail address of its own and the given fields."""
    customer = builders.customer(**fields)
    set_server_fields(customer, datetime.now(UTC))
    return customer


def insert(store: CustomerStore, tenant: str, **fields: Any) -> Customer:
    """Stores a stamped customer with the given fields and returns it."""
    customer = stamped(**fields)
    store.insert(tenant, customer)
    return customer


def only(customer_id: str) -> Precondition:
    """A check that lets only the customer with an id pass. It raises IdMismatch."""

    def check(body: bytes) -> None:
        if Customer.FromString(body).id != customer_id:
            raise IdMismatch("guarded")

    return check


def find(
    store: CustomerStore, tenant: str, wanted: dict[str, str], after: str = "", limit: int = 100
) -> list[Found]:
    """Searches by keys, from the beginning unless told otherwise."""
    return store.search(tenant, wanted, after, limit)


Read = Callable[[CustomerStore, str, Customer], object]

# Every way to come upon the customer FULL; the answer is falsy where it is not found.
READS: dict[str, Read] = {
    "get by id": lambda store, tenant, full: store.get(tenant, Key.id(full.id)),
    "get by ref": lambda store, tenant, full: store.get(tenant, Key.ref(full.customer_ref)),
    "clashes": lambda store, tenant, full: store.clashes(tenant, Customer(email=full.email)),
    "search by email": lambda store, tenant, _: find(store, tenant, {"email": "ada@example.com"}),
    "search by first name": lambda store, tenant, _: find(store, tenant, {"first_name": "ada"}),
    "search by last name": lambda store, tenant, _: find(store, tenant, {"last_name": "lovelace"}),
    "search by mobile": lambda store, tenant, _: find(store, tenant, {"mobile": "+491701234567"}),
    "search by phone": lambda store, tenant, _: find(store, tenant, {"phone": "+493012345678"}),
}
each_read = pytest.mark.parametrize("read", READS.values(), ids=READS)

KEYS: dict[str, Callable[[Customer], Key]] = {
    "id": lambda customer: Key.id(customer.id),
    "customerRef": lambda customer: Key.ref(customer.customer_ref),
}
each_key = pytest.mark.parametrize("key_of", KEYS.values(), ids=KEYS)
