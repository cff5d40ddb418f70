"""The customers of the demo: valid, of many countries, and the same each time."""

import json
from collections import Counter
from datetime import UTC, datetime

from google.protobuf import json_format
from twc.customer.v2.customer_pb2 import Customer

from bench.demo import customers
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import prepare_new

COUNT = 1000


def test_customers() -> None:
    """Each customer obeys the rules, and no two have the same unique values."""
    made = [*customers(COUNT)]
    for each in made:
        customer = json_format.Parse(json.dumps(each), Customer())
        prepare_new(customer, ValidationContext(datetime.now(UTC)))

    for field in ("customerRef", "email", "mobile"):
        assert len({customer[field] for customer in made}) == COUNT
    countries = Counter(customer["addresses"][0]["countryCode"] for customer in made)
    assert len(countries) > 15
    assert countries.most_common(1)[0][1] < COUNT / 4


def test_same_customers_again() -> None:
    """A second run makes the same customers, so that it imports none twice."""
    assert [*customers(50)] == [*customers(50)]
