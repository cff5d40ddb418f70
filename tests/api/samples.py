"""Customers that the tests of the API share, and what becomes of them."""

import re
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Attribute, AttributeGroup, Customer

CUSTOMER_TYPE = "twc.customer.v2.Customer"
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch

FULL: dict[str, Any] = {
    "customer_ref": "A-1",
    "email": "Ada@Example.com",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "mobile": "+49 170 1234567",
    "phone": "+49 (30) 12345678",
    "dob": "2001-05-28",
    "active": False,
    "accepts_marketing": True,
    "customerState": Customer.invited,
    "marketing_optin_level": Customer.single_opt_in,
    "marketing_preferences_updated_at": Timestamp(seconds=1_600_000_000, nanos=1_000_000),
    "tax_exempt": True,
    "tax_exemptions": ["CA-BC"],
    "verified_email": True,
    "addresses": [{"city": "Berlin", "country_code": "de"}, {"city": "London"}],
    "attribute_groups": {
        "shoe": AttributeGroup(
            attributes={"size": Attribute(attribute_value="42", value_type=Attribute.INTEGER)}
        )
    },
}

# Customers that break rules, and the fields that the error must name.
INVALID: dict[str, tuple[dict[str, Any], set[str]]] = {
    "one": ({"mobile": "12"}, {"mobile"}),
    "many": (
        {
            "email": "ada",
            "phone": "none",
            "dob": "2999-01-01",
            "customerState": 9,
            "addresses": [{"city": "Berlin"}, {"city": "Paris", "country_code": "XX"}],
            "attribute_groups": {
                "shoe": {"attributes": {"size": {"attribute_value": "x", "value_type": 1}}}
            },
        },
        {
            "email",
            "phone",
            "dob",
            "customer_state",
            "addresses[1].countryCode",
            'attributeGroups["shoe"].attributes["size"].attribute_value',
        },
    ),
    "no e-mail address": ({"email": None}, {"email"}),
}
each_invalid = pytest.mark.parametrize(("fields", "named"), INVALID.values(), ids=INVALID)

UNIQUE = {
    "email": {"email": "ADA@example.com"},
    "mobile": {"mobile": "+491701234567"},
    "phone": {"phone": "+493012345678"},
    "customerRef": {"customer_ref": "A-1"},
}


def email_of(name: str) -> pb.LookupCustomersRequest:
    """The request to look a customer up by e-mail address."""
    return pb.LookupCustomersRequest(email=name)


def with_ids_of(wanted: Customer, answer: Customer) -> Customer:
    """A copy of a customer with the ids and dates that the server gave to another."""
    copy = Customer()
    copy.CopyFrom(wanted)
    copy.id = answer.id
    copy.created_date.CopyFrom(answer.created_date)
    copy.last_modified_date.CopyFrom(answer.last_modified_date)
    addresses = [copy.default_address, *copy.addresses]
    for mine, given in zip(addresses, [answer.default_address, *answer.addresses], strict=True):
        mine.id, mine.customer_id = given.id, answer.id
    return copy


def stored_form() -> Customer:
    """How the customer FULL is stored, but for what the server gives it."""
    stored = Customer(**FULL)
    stored.mobile, stored.phone = "+491701234567", "+493012345678"
    stored.addresses[0].country_code = "DE"
    stored.addresses[0].default_address = True
    stored.addresses[1].default_address = False
    stored.default_address.CopyFrom(stored.addresses[0])
    return stored
