"""A file of invented customers of many countries, and what is wrong with some of them."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from faker import Faker

LOCALES = ["de_DE", "en_GB", "fr_FR", "ja_JP", "ar_EG", "pl_PL", "zh_CN", "el_GR", "pt_BR", "hi_IN"]

# Faker's names and places are drawn from a stock: to invent each anew takes long.
_STOCK = 2_000
_BAD_PERCENT = 1


class Wrong(NamedTuple):
    """Something to be wrong with a customer, and the field that the rejects must name."""

    field: str
    spoil: Callable[[dict[str, Any]], dict[str, Any]]


BAD: dict[str, Wrong] = {
    "no address": Wrong("email", lambda _: {"email": "not an e-mail address"}),
    "no country": Wrong(
        "addresses[0].countryCode",
        lambda it: {"addresses": [it["addresses"][0] | {"countryCode": "XX"}]},
    ),
    "no date": Wrong("dob", lambda _: {"dob": "2001-02-30"}),
    "no text": Wrong("firstName", lambda _: {"firstName": 5}),
    "too long": Wrong("lastName", lambda _: {"lastName": "x" * 2000}),
    "control": Wrong("firstName", lambda _: {"firstName": "a\u0000b"}),
    "unknown": Wrong("shoe", lambda _: {"shoe": 42}),
}


class Wanted:
    """What a file has: how many customers, which lines are bad, and what each is to become."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.bad: dict[int, str] = {}
        self._digests: list[bytes] = []
        self._corrections: dict[int, dict[str, Any]] = {}

    def add(self, customer: dict[str, Any], line: int, kind: str | None) -> None:
        """Notes a customer, who is spoilt in the file if there is a kind."""
        self._digests.append(_digest(customer))
        if kind:
            self.bad[line] = kind
            spoilt = BAD[kind].spoil(customer)
            self._corrections[line] = {name: customer.get(name) for name in spoilt}

    def correction(self, line: int) -> dict[str, Any]:
        """The members that correct a spoilt customer; None takes one away."""
        return self._corrections[line]

    def is_same(self, number: int, exported: dict[str, Any]) -> bool:
        """Tells whether a customer was exported with all that it had."""
        exported["addresses"] = [
            {name: each[name] for name in each if name not in _ADDED}
            for each in exported["addresses"]
        ]
        return _digest(exported) == self._digests[number]


def write(path: Path, rows: int) -> Wanted:
    """Writes customers as JSON, one in a hundred of them spoilt."""
    rng = random.Random(rows)
    drawn = stock(rng)
    wanted = Wanted(rows)
    kinds = list(BAD)
    is_array = path.suffix == ".json"
    with path.open("w", encoding="utf-8") as file:
        file.write("[\n" * is_array)
        for number in range(rows):
            customer = _customer(number, drawn, rng)
            line = number + 1 + is_array
            bad = rng.random() < _BAD_PERCENT / 100
            kind = kinds[len(wanted.bad) % len(kinds)] if bad else None
            wanted.add(customer, line, kind)
            spoilt = customer | BAD[kind].spoil(customer) if kind else customer
            end = "," * (is_array and number + 1 < rows)
            file.write(json.dumps(spoilt, ensure_ascii=bool(number % 2)) + end + "\n")
        file.write("]" * is_array)
    return wanted


_GIVEN = ("customerRef", "email", "firstName", "lastName", "phone", "dob", "accepts_marketing")
_PLACE = ("address1", "city", "postcode", "countryCode")
_ADDED = ("id", "customerId", "defaultAddress")


def _customer(number: int, drawn: list[dict[str, str]], rng: random.Random) -> dict[str, Any]:
    """A customer of whom every value comes back as it is given."""
    person, place = rng.choice(drawn), rng.choice(drawn)
    return {
        "customerRef": str(number),
        "email": f"customer.{number}@example.com",
        "firstName": person["first"],
        "lastName": person["last"],
        "phone": f"+4930{10_000_000 + number}",
        "dob": person["dob"],
        "accepts_marketing": bool(number % 3),
        "addresses": [{name: place[name] for name in _PLACE}],
    }


def stock(rng: random.Random) -> list[dict[str, str]]:
    """Invented persons with a place each, to draw from."""
    fakers = {locale: Faker(locale) for locale in LOCALES}
    for faker in fakers.values():
        faker.seed_instance(rng.random())
    each = range(_STOCK // len(LOCALES))
    return [_drawn(faker, locale[-2:]) for locale, faker in fakers.items() for _ in each]


def _drawn(faker: Faker, country: str) -> dict[str, str]:
    return {
        "first": faker.first_name(),
        "last": faker.last_name(),
        "dob": faker.date_of_birth(minimum_age=18).isoformat(),
        "address1": faker.street_address().replace("\n", ", "),
        "city": faker.city(),
        "postcode": faker.postcode(),
        "countryCode": country,
    }


def _digest(customer: dict[str, Any]) -> bytes:
    """A short text that is the same for the same values."""
    given = [customer.get(name) for name in (*_GIVEN, "addresses")]
    return hashlib.blake2b(json.dumps(given, sort_keys=True).encode(), digest_size=16).digest()
