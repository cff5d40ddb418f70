"""Customers that break many rules, or whose values are costly to check."""

import json
from typing import Any

from tests.security.attacker import Attacker, Who
from tests.security.attacks.bodies import UPLOAD
from tests.security.attacks.registry import EVERYONE, OWNER, RESULTS_BYTES, attack, body

VALIDATE = "/customers/validate"


def _bad_items() -> bytes:
    """As many items as an upload may have, 3 MB."""
    item = '{"addresses":[' + ",".join(["{}"] * 100) + "]}"
    return f"[{','.join([item] * 10_000)}]".encode()


@body(UPLOAD, who=EVERYONE, quick=(Who.OWN,), answer_bytes=RESULTS_BYTES)
def items_of_empty_addresses() -> bytes:
    """An upload of 10,000 items that have 100 empty addresses each."""
    return _bad_items()


@attack(who=OWNER, answer_bytes=RESULTS_BYTES)
def outcomes_of_bad_uploads(attacker: Attacker) -> None:
    """Uploads 10,000 items of 100 empty addresses, each time with another Idempotency-Key."""
    content = _bad_items()

    def upload() -> bytes:
        return attacker.request("POST", UPLOAD, content, [("idempotency-key", attacker.next())])

    attacker.repeat(upload)


@attack(who=OWNER, answer_bytes=None)
def outcomes_of_good_uploads(attacker: Attacker) -> None:
    """Uploads 2 MB of good customers, each time with another Idempotency-Key."""
    note = "x" * 200

    def upload() -> bytes:
        mark = attacker.next()
        items = [
            {"email": f"{mark}-{n}@example.com", "firstName": note, "lastName": note}
            for n in range(4000)
        ]
        content = json.dumps(items).encode()
        return attacker.request("POST", UPLOAD, content, [("idempotency-key", mark)])

    attacker.repeat(upload)


@body(VALIDATE, quick=(Who.OWN,))
def bad_attributes() -> bytes:
    """100 groups of 190 attributes, none of which is of its type."""
    wrong = {"attribute_value": "x", "value_type": "INTEGER"}
    groups = {f"g{n}": {"attributes": {f"a{m}": wrong for m in range(190)}} for n in range(100)}
    return json.dumps({"email": "a@example.com", "attributeGroups": groups}).encode()


@body(VALIDATE)
def empty_addresses() -> bytes:
    """400,000 empty addresses of one customer."""
    return ('{"email":"a@example.com","addresses":[' + ",".join(["{}"] * 400_000) + "]}").encode()


def _values() -> dict[str, tuple[str, dict[str, Any]]]:
    long = 1_900_000
    group = {"g": {"attributes": {"a": {"attribute_value": "A" * long, "value_type": "BLOB"}}}}
    return {
        "long email": ("An e-mail of 1.9 MB.", {"email": "a" * long + "@example.com"}),
        "email of dots": ("An e-mail of a million dots.", {"email": "a." * 950_000 + "@b.com"}),
        "long domain": ("A domain of 100,000 labels.", {"email": "a@" + "b." * 100_000 + "com"}),
        "foreign domain": ("A domain of 600,000 umlauts.", {"email": "a@" + "ä" * 600_000 + ".de"}),
        "combining domain": (
            "A domain of 600,000 combining marks.",
            {"email": "a@a" + "\u0301" * 600_000 + ".de"},
        ),
        "long phone": ("A phone number of 1.9 MB.", {"phone": "+49" + "1" * long}),
        "phone of signs": ("A phone number of 1.9 MB of signs.", {"mobile": "+(-" * (long // 3)}),
        "phone of letters": ("A phone number with 1.9 MB of extensions.", {"phone": "x" * long}),
        "long birth": ("A date of birth of 1.9 MB.", {"dob": "1" * long}),
        "long reference": ("A reference of 1.9 MB.", {"customerRef": "%" * long}),
        "exemptions": ("300,000 tax exemptions.", {"taxExemptions": ["abc"] * 300_000}),
        "blob": ("An attribute of 1.9 MB in base64.", {"attributeGroups": group}),
        "zalgo": ("A name of 600,000 combining marks.", {"firstName": "e\u0301\u0323" * 300_000}),
        "country": ("A country of 1.9 MB.", {"addresses": [{"country": "x" * long}]}),
    }  # fmt: skip


def _add_values() -> None:
    for name, (summary, _) in _values().items():

        def make(name: str = name) -> bytes:
            members = {"email": "a@example.com"} | _values()[name][1]
            return json.dumps(members, ensure_ascii=False).encode()

        make.__name__, make.__doc__ = name, summary
        body(VALIDATE, who=OWNER, is_brief=True)(make)


_add_values()
