"""What tests of rules may ask for."""

import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.support import builders
from tests.support.steps import stored


@pytest.fixture
def customer() -> Customer:
    """A stored customer with addresses in Rom, the default, and in Bern."""
    return stored(addresses=[builders.address(city="Rom"), builders.address(city="Bern")])
