"""The customers of the benchmark: the same in every run, and of one size.

A customer has about 1.5 KB as Protobuf and 2.2 KB as JSON: names and places of
many countries, two addresses, and attributes with some text.
"""

import json
import random
import uuid
from datetime import UTC, datetime

from faker import Faker
from google.protobuf import json_format
from twc.customer.v2.customer_pb2 import Attribute, AttributeGroup, Customer

from twc_customer_server.customers import fields
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import has_same_values, prepare_new, set_server_fields

# The first customers have one last name, and are the page of a lookup.
PAGE_CUSTOMERS = 100
PAGE_LAST_NAME = "Hundertmark-Bench"

# Customers from this number on are in no database at first.
FIRST_NEW = 10_000_000

_LOCALES = (
    "de_DE",
    "en_GB",
    "fr_FR",
    "ja_JP",
    "ar_EG",
    "pl_PL",
    "zh_CN",
    "el_GR",
    "pt_BR",
    "hi_IN",
)
# Faker is slow: this many people are made, and drawn from repeatedly.
_PEOPLE = 2_000

_SEED = 20_260_101
_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
_ADDRESSES = ("Home", "Work")
_ORDERS = 3
_ORDER_PLACES = 5


def fake_people(rng: random.Random) -> list[dict[str, str]]:
    """Returns fake people, each with a place to live, in many countries and scripts."""
    fakers = {locale: Faker(locale) for locale in _LOCALES}
    for faker in fakers.values():
        faker.seed_instance(rng.random())
    count = _PEOPLE // len(_LOCALES)
    return [_person(faker, locale[-2:]) for locale, faker in fakers.items() for _ in range(count)]


def _person(faker: Faker, country: str) -> dict[str, str]:
    return {
        "first": faker.first_name(),
        "last": faker.last_name(),
        "dob": faker.date_of_birth(minimum_age=18).isoformat(),
        "address1": faker.street_address().replace("\n", ", "),
        "city": faker.city(),
        "postcode": faker.postcode(),
        "countryCode": country,
    }


class Dataset:
    """Makes customers by their numbers, as a client sends them and as they are stored."""

    def __init__(self) -> None:
        self._people = fake_people(random.Random(_SEED))

    def request(self, number: int) -> Customer:
        """Returns a customer as a client sends it, with every value in canonical form."""
        rng = random.Random(_SEED + number)
        person = rng.choice(self._people)
        return Customer(
            customer_ref=customer_ref(number),
            email=email(number),
            first_name=person["first"],
            last_name=PAGE_LAST_NAME if number < PAGE_CUSTOMERS else person["last"],
            mobile=mobile(number),
            phone=phone(number),
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
        """Returns the customer as the service stores it, with ids that depend on the number."""
        customer = self.request(number)
        prepare_new(customer, ValidationContext(_CREATED))
        customer.id = customer_id(number)
        customer.created_date.CopyFrom(fields.to_timestamp(_CREATED))
        for place, address in enumerate(customer.addresses, 1):
            address.id = customer_id(number, place)
        set_server_fields(customer, _CREATED)
        return customer

    def _address(self, name: str, person: dict[str, str], rng: random.Random) -> dict[str, str]:
        place = rng.choice(self._people)
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
        places = rng.choices(self._people, k=_ORDER_PLACES)
        return "; ".join(f"{place['address1']}, {place['city']}" for place in places)


def email(number: int) -> str:
    """Returns the e-mail address of a customer."""
    return f"customer.{number}@example.com"


def mobile(number: int) -> str:
    """Returns the mobile number of a customer."""
    return f"+49151{10_000_000 + number}"


def phone(number: int) -> str:
    """Returns the phone number of a customer."""
    return f"+4930{10_000_000 + number}"


def customer_ref(number: int) -> str:
    """Returns the reference of a customer."""
    return f"R-{number:08}"


def customer_id(number: int, place: int = 0) -> str:
    """Returns the id of a customer, or of its address at a place: a UUID version 7."""
    moment = round(_CREATED.timestamp() * 1000) + number
    rest = random.Random(f"{number} {place}").getrandbits(74)
    high = moment << 16 | 7 << 12 | rest >> 62
    return str(uuid.UUID(int=high << 64 | 2 << 62 | rest & (1 << 62) - 1))


def renumbered(model: Customer, number: int) -> Customer:
    """Returns a copy of a stored customer with the unique values of another number."""
    customer = Customer()
    customer.CopyFrom(model)
    customer.id = customer_id(number)
    customer.customer_ref = customer_ref(number)
    customer.email = email(number)
    customer.mobile = mobile(number)
    customer.phone = phone(number)
    return customer


def is_stored_as_sent(sent: Customer, stored: Customer) -> bool:
    """Checks whether a stored customer has the values sent, apart from those the server adds."""
    expected = Customer()
    expected.CopyFrom(sent)
    prepare_new(expected, ValidationContext(datetime.now(UTC)))
    return has_same_values(expected, stored)


def to_json(customer: Customer, *, is_response: bool = False) -> str:
    """Returns a customer as JSON of a request, or of a response, which has empty lists too."""
    members = json_format.MessageToDict(customer, always_print_fields_with_no_presence=is_response)
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))
