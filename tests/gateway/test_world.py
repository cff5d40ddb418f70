"""Customers as the world writes them: names, addresses and phones of many countries."""

from typing import Any

import httpx
import phonenumbers
import pytest
from faker import Faker

COUNTRIES = {
    "en_US": "US",
    "en_GB": "GB",
    "de_DE": "DE",
    "fr_FR": "FR",
    "es_ES": "ES",
    "it_IT": "IT",
    "pl_PL": "PL",
    "tr_TR": "TR",
    "el_GR": "GR",
    "ru_RU": "RU",
    "ja_JP": "JP",
    "zh_CN": "CN",
    "ko_KR": "KR",
    "hi_IN": "IN",
    "pt_BR": "BR",
}
CUSTOMERS_EACH = 8

Customer = dict[str, Any]


def _phone(faker: Faker, region: str) -> tuple[str, str]:
    """A number as people of a region write it, and in E.164 format."""
    while True:
        written = faker.unique.phone_number()
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number) and not number.extension:
            return written, phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _customer(faker: Faker, locale: str, number: int) -> tuple[Customer, Customer]:
    """A customer of a country as entered, and what of it is read back changed."""
    region = COUNTRIES[locale]
    mobile, phone = _phone(faker, region), _phone(faker, region)
    entered = {
        "email": f"{locale}-{number}@example.com",
        "customerRef": f"{faker.last_name()}/{locale} {number}",
        "firstName": faker.first_name(),
        "lastName": faker.last_name(),
        "mobile": mobile[0],
        "phone": phone[0],
        "dob": faker.date_of_birth().isoformat(),
        "addresses": [
            {
                "address1": faker.street_address(),
                "city": faker.city(),
                "postcode": faker.postcode(),
                "country": faker.current_country(),
                "countryCode": region.lower(),
            }
        ],
    }
    return entered, entered | {"mobile": mobile[1], "phone": phone[1]}


@pytest.fixture(scope="module")
def world() -> list[tuple[Customer, Customer]]:
    """Customers of fifteen countries, the same in every run."""
    customers = []
    for locale in COUNTRIES:
        faker = Faker(locale)
        faker.seed_instance(1815)
        customers += [_customer(faker, locale, number) for number in range(CUSTOMERS_EACH)]
    return customers


def test_customers_of_every_country(
    http: httpx.Client, world: list[tuple[Customer, Customer]]
) -> None:
    """Customers of every country are read back by every key, with nothing lost or changed."""
    uploaded = http.post("/upload-customers", json=[entered for entered, _ in world])
    created = [result["customer"] for result in uploaded.json()]

    assert uploaded.status_code == 201
    for customer, (_, expected) in zip(created, world, strict=True):
        address = customer["addresses"][0]
        assert {name: customer[name] for name in expected if name != "addresses"} == {
            name: expected[name] for name in expected if name != "addresses"
        }
        assert address == expected["addresses"][0] | {
            "id": address["id"],
            "customerId": customer["id"],
            "countryCode": address["countryCode"].upper(),
            "defaultAddress": True,
        }
        assert _by_every_key(http, customer) == [customer] * 7


def _by_every_key(http: httpx.Client, customer: Customer) -> list[Customer]:
    """What each way to read the customer answers, whatever the case of its letters."""
    name = {"firstName": customer["firstName"].upper(), "lastName": customer["lastName"].lower()}
    ref = customer["customerRef"].replace("/", "%2F")
    return [
        http.get(f"/customers/{customer['id']}").json(),
        http.get(f"/customers/{ref}/ref").json(),
        *_search(http, email=customer["email"].upper()),
        *_search(http, mobile=customer["mobile"]),
        *_search(http, phone=customer["phone"]),
        *_search(http, **name, email=customer["email"]),
        *[found for found in _search(http, **name) if found["id"] == customer["id"]],
    ]


def _search(http: httpx.Client, **parameters: str) -> list[Customer]:
    found: list[Customer] = http.get("/customers/search", params=parameters).json()
    return found
