"""What the tests of rules share: two moments, and how to settle, store and be refused."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import settings
from hypothesis import strategies as st
from twc.customer.v2.customer_pb2 import Customer

from tests.support import builders
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import prepare_new, set_server_fields
from twc_customer_server.errors import InvalidInput, Violation

NOW = datetime(2026, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC)
LATER = NOW + timedelta(days=1)

# As many examples on every machine, and the same; `make soak` runs more.
EXAMPLES = settings(
    max_examples=int(os.environ.get("RULE_EXAMPLES", "60")), deadline=None, derandomize=True
)

# Whatever a Protobuf string can hold.
ANY_TEXT = st.text(st.characters(codec="utf-8"))


def timestamp(text: str) -> Timestamp:
    """The timestamp of an RFC 3339 date-time."""
    moment = Timestamp()
    moment.FromJsonString(text)
    return moment


def settled(customer: Customer, region: str | None = None) -> Customer:
    """The customer that a create request makes at NOW, before it gets ids and dates."""
    prepare_new(customer, ValidationContext(NOW, region))
    return customer


def stored(**fields: Any) -> Customer:
    """A customer with the given fields as it was stored at NOW."""
    customer = settled(builders.customer(**fields))
    set_server_fields(customer, NOW)
    return customer


def copy(customer: Customer) -> Customer:
    """A customer that changes apart from the one it equals."""
    twin = Customer()
    twin.CopyFrom(customer)
    return twin


def refusals(act: Callable[[], object]) -> list[Violation]:
    """The violations that an act is refused with."""
    with pytest.raises(InvalidInput) as error:
        act()
    return [*error.value.violations]


def refused(customer: Customer, region: str | None = None) -> list[Violation]:
    """The violations that a create request is refused with."""
    return refusals(lambda: settled(customer, region))


def fields_of(violations: list[Violation]) -> list[str]:
    """The fields that violations name."""
    return [violation.field for violation in violations]


def cities(customer: Customer) -> list[str]:
    """The cities of the addresses, the default's with a star."""
    assert [a for a in customer.addresses if a.default_address] == (
        [customer.default_address] if customer.addresses else []
    )
    return [f"{a.city}{'*' * a.default_address}" for a in customer.addresses]
