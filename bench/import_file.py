"""Writes a file of fake customers, some of them invalid, for the import of `make prove-import`."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench.dataset import email, fake_people, phone

_INVALID_SHARE = 0.01


class Fault(NamedTuple):
    """A way to make a customer invalid, and the field that its reject must name."""

    field: str
    invalid_members: Callable[[dict[str, Any]], dict[str, Any]]


FAULTS: dict[str, Fault] = {
    "invalid e-mail": Fault("email", lambda _: {"email": "not an e-mail address"}),
    "unknown country": Fault(
        "addresses[0].countryCode",
        lambda customer: {"addresses": [customer["addresses"][0] | {"countryCode": "XX"}]},
    ),
    "impossible date": Fault("dob", lambda _: {"dob": "2001-02-30"}),
    "wrong type": Fault("firstName", lambda _: {"firstName": 5}),
    "too long": Fault("lastName", lambda _: {"lastName": "x" * 2000}),
    "control character": Fault("firstName", lambda _: {"firstName": "a\u0000b"}),
    "unknown member": Fault("shoe", lambda _: {"shoe": 42}),
}


class ImportFile:
    """The content of a written file: the lines with faults, and digests of the customers."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        # The faults by line.
        self.faults: dict[int, str] = {}
        self._digests: list[bytes] = []
        self._corrections: dict[int, dict[str, Any]] = {}

    def add(self, customer: dict[str, Any], line: int, fault: str | None) -> dict[str, Any]:
        """Records a customer, and returns it as the file has it, with a fault if there is one."""
        self._digests.append(_digest(customer))
        if not fault:
            return customer
        invalid = FAULTS[fault].invalid_members(customer)
        self.faults[line] = fault
        self._corrections[line] = {name: customer.get(name) for name in invalid}
        return customer | invalid

    def correction(self, line: int) -> dict[str, Any]:
        """Returns the members that make an invalid customer valid; None deletes a member."""
        return self._corrections[line]

    def is_same(self, number: int, exported: dict[str, Any]) -> bool:
        """Checks whether an exported customer has the values of the file."""
        exported["addresses"] = [
            {name: each[name] for name in each if name not in _SERVER_FIELDS}
            for each in exported["addresses"]
        ]
        return _digest(exported) == self._digests[number]


def write_import_file(path: Path, rows: int) -> ImportFile:
    """Writes customers as a JSON array or JSON Lines, by the path's suffix, one percent invalid."""
    rng = random.Random(rows)
    people = fake_people(rng)
    content = ImportFile(rows)
    faults = list(FAULTS)
    is_array = path.suffix == ".json"
    with path.open("w", encoding="utf-8") as file:
        file.write("[\n" * is_array)
        for number in range(rows):
            customer = _customer(number, people, rng)
            is_invalid = rng.random() < _INVALID_SHARE
            fault = faults[len(content.faults) % len(faults)] if is_invalid else None
            written = content.add(customer, number + 1 + is_array, fault)
            end = "," * (is_array and number + 1 < rows)
            file.write(json.dumps(written, ensure_ascii=bool(number % 2)) + end + "\n")
        file.write("]" * is_array)
    return content


_FIELDS = (
    *("customerRef", "email", "firstName", "lastName", "phone", "dob"),
    *("accepts_marketing", "addresses"),
)
_ADDRESS_FIELDS = ("address1", "city", "postcode", "countryCode")
_SERVER_FIELDS = ("id", "customerId", "defaultAddress")


def _customer(number: int, people: list[dict[str, str]], rng: random.Random) -> dict[str, Any]:
    """Returns a customer whose values are in canonical form, so an export repeats them."""
    person, place = rng.choice(people), rng.choice(people)
    return {
        "customerRef": str(number),
        "email": email(number),
        "firstName": person["first"],
        "lastName": person["last"],
        "phone": phone(number),
        "dob": person["dob"],
        "accepts_marketing": bool(number % 3),
        "addresses": [{name: place[name] for name in _ADDRESS_FIELDS}],
    }


def _digest(customer: dict[str, Any]) -> bytes:
    """Returns a digest of the values, which takes less memory than they do."""
    values = [customer.get(name) for name in _FIELDS]
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16).digest()
