"""The customers that everything is measured with: the same ones every time, of one size.

About 1.5 KB as Protobuf and 2.2 KB as JSON: names and places of many countries,
two addresses, and attributes with some text.
"""

import json
import random
import uuid
from datetime import UTC, datetime

from google.protobuf import json_format
from twc.customer.v2.customer_pb2 import Attribute, AttributeGroup, Customer

from bench.customers import stock
from twc_customer_server.customers import fields
from twc_customer_server.customers.customer import prepare_new, set_server_fields

# The first customers share a family name, and are a page of a lookup.
PAGE = 100
PAGE_NAME = "Hundertmark-Bench"

# From here on customers are new: those before may be in the database.
NEW = 10_000_000

_SEED = 20_260_101
_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
_ADDRESSES = ("Home", "Work")
_ORDERS = 3
_ORDER_PLACES = 5


class Documents:
    """Customers by number, as a client sends them and as they are stored."""

    def __init__(self) -> None:
        self._stock = stock(random.Random(_SEED))

    def request(self, number: int) -> Customer:
        """A customer as a client sends it, every value in its canonical form."""
        rng = random.Random(_SEED + number)
        person = rng.choice(self._stock)
        return Customer(
            customer_ref=f"R-{number:08}",
            email=email(number),
            first_name=person["first"],
            last_name=PAGE_NAME if number < PAGE else person["last"],
            mobile=f"+49151{10_000_000 + number}",
            phone=f"+4930{10_000_000 + number}",
            dob=person["dob"],
            active=True,
            accepts_marketing=number % 3 > 0,
            customerState=Customer.enabled,
            marketing_preferences_updated_at=fields.to_timestamp(_CREATED),
            tax_exempt=False,
            verified_email=number % 2 > 0,
            addresses=[self._address(name, person, rng) for name in _ADDRESSES],
            attribute_groups=self._attributes(rng),
        )

    def stored(self, number: int) -> Customer:
        """The customer as the service stores it, with ids of its own."""
        customer = self.request(number)
        prepare_new(customer, None, _CREATED)
        customer.id = customer_id(number)
        customer.created_date.CopyFrom(fields.to_timestamp(_CREATED))
        for place, address in enumerate(customer.addresses, 1):
            address.id = customer_id(number, place)
        set_server_fields(customer, _CREATED)
        return customer

    def _address(self, name: str, person: dict[str, str], rng: random.Random) -> dict[str, str]:
        place = rng.choice(self._stock)
        return {
            "address_name": name,
            "first_name": person["first"],
            "last_name": person["last"],
            "address1": place["address1"],
            "city": place["city"],
            "postcode": place["postcode"],
            "country_code": place["countryCode"],
            "phone": f"+49 30 {rng.randrange(10**7)}",
        }

    def _attributes(self, rng: random.Random) -> dict[str, AttributeGroup]:
        loyalty = {
            "level": Attribute(attribute_value=rng.choice(("bronze", "silver", "gold"))),
            "points": Attribute(
                attribute_value=str(rng.randrange(10_000)), value_type=Attribute.INTEGER
            ),
        }
        orders = {
            f"order-{number}": Attribute(attribute_value=self._itinerary(rng))
            for number in range(_ORDERS)
        }
        return {
            "loyalty": AttributeGroup(attribute_group="Loyalty", attributes=loyalty),
            "orders": AttributeGroup(attributes=orders),
        }

    def _itinerary(self, rng: random.Random) -> str:
        places = rng.choices(self._stock, k=_ORDER_PLACES)
        return "; ".join(f"{place['address1']}, {place['city']}" for place in places)


def email(number: int) -> str:
    """The e-mail address of a customer."""
    return f"customer.{number}@example.com"


def customer_id(number: int, place: int = 0) -> str:
    """The id of a customer, or of the address at a place of its own: a UUID version 7."""
    moment = round(_CREATED.timestamp() * 1000) + number
    rest = random.Random(f"{number} {place}").getrandbits(74)
    high = moment << 16 | 7 << 12 | rest >> 62
    return str(uuid.UUID(int=high << 64 | 2 << 62 | rest & (1 << 62) - 1))


def to_json(customer: Customer, *, is_answer: bool = False) -> str:
    """A customer as the JSON that a client sends, or that answers have, with every list."""
    printed = json_format.MessageToDict(customer, always_print_fields_with_no_presence=is_answer)
    return json.dumps(printed, ensure_ascii=False, separators=(",", ":"))
