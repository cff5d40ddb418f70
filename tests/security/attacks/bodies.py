"""JSON that is costly to read: patterns, names, escapes, numbers, depth."""

import json

from tests.security.attacker import Who
from tests.security.attacks.registry import EVERYONE, MEBIBYTE, NOBODY, RESULTS_BYTES, body
from tests.support.builders import NO_CUSTOMER

UPLOAD = "/upload-customers"
BODY_BYTES, UPLOAD_BYTES = 2 * MEBIBYTE - 100, 15 * MEBIBYTE
EMAIL = '"email":"a@example.com"'


def _customer(member: str) -> bytes:
    return f"{{{EMAIL},{member}}}".encode()


def _time(text: str) -> bytes:
    return _customer(f'"marketing_preferences_updated_at":"{text}"')


def _attributes(group: str, names: list[str], value: str) -> str:
    members = ",".join(f'"{name}":{value}' for name in names)
    return f'"attributeGroups":{{"{group}":{{"attributes":{{{members}}}}}}}'


@body(who=EVERYONE, quick=(Who.NONE,))
def time_of_many_digits() -> bytes:
    """A time whose second has a fraction of 10,000 digits and no end."""
    return _time("2001-01-01T00:00:00" + "1" * 10_000 + "x")


@body(who=NOBODY)
def zone_of_many_digits() -> bytes:
    """A time whose zone has 10,000 digits and no end."""
    return _time("2001-01-01T00:00:00.5Z+" + "1" * 10_000 + "x")


@body(who=NOBODY)
def many_times() -> bytes:
    """A list of 2,000 customers in a body for one, each with a time of 400 digits."""
    each = '{"marketing_preferences_updated_at":"2001-01-01T00:00:00' + "1" * 400 + 'x"}'
    return f"[{','.join([each] * 2000)}]".encode()


@body(UPLOAD, who=NOBODY)
def many_times_in_upload() -> bytes:
    """An upload of 9,000 items, each with a time of 400 digits."""
    each = '{"marketing_preferences_updated_at":"2001-01-01T00:00:00' + "1" * 400 + 'x"}'
    return f"[{','.join([each] * 9000)}]".encode()


@body(who=EVERYONE, quick=(Who.NONE,))
def long_name_with_wrong_members() -> bytes:
    """A group whose name has 200 kB, with 25,000 attributes of a wrong type."""
    return _customer(_attributes("K" * 200_000, [str(n) for n in range(25_000)], "1"))


@body(who=EVERYONE)
def longest_name_with_wrong_members() -> bytes:
    """A group whose name has 1.5 MB, with 20 attributes of a wrong type."""
    return _customer(_attributes("K" * (3 * MEBIBYTE // 2), [str(n) for n in range(20)], "1"))


@body(UPLOAD, who=EVERYONE, quick=(Who.NONE,))
def long_name_in_upload() -> bytes:
    """An upload with a name of 8 MB and 20 attributes of a wrong type."""
    names = [str(n) for n in range(20)]
    return b"[" + _customer(_attributes("K" * (8 * MEBIBYTE), names, "1")) + b"]"


@body(who=NOBODY)
def long_enum_name() -> bytes:
    """An enum whose name has 2 MB of digits and a letter."""
    return _customer(f'"customer_state":"{"1" * (BODY_BYTES - 200)}x"')


@body(UPLOAD, who=EVERYONE)
def escapes() -> bytes:
    """An upload of 15 MB that is one text of 7.5 million escapes."""
    return b'[{"firstName":"' + b"\\n" * (UPLOAD_BYTES // 2) + b'"}]'


@body(UPLOAD, who=NOBODY)
def unicode_escapes() -> bytes:
    r"""An upload of 15 MB that is one text of escapes such as \u0041, of which no pair belongs."""
    return b'[{"firstName":"' + b"\\ud800" * (UPLOAD_BYTES // 6) + b'"}]'


@body(UPLOAD, who=NOBODY)
def escaped_names() -> bytes:
    """An upload of a million members whose names are escapes."""
    return b"[{" + b",".join([b'"\\u0061":1'] * 1_000_000) + b"}]"


@body(who=EVERYONE)
def numbers() -> bytes:
    """A list of a million numbers in a member that is unknown."""
    return _customer(f'"x":[{",".join(["1"] * 1_000_000)}]')


@body(who=NOBODY)
def long_number() -> bytes:
    """One number of two million digits."""
    return _customer(f'"x":{"1" * (BODY_BYTES - 200)}')


@body(who=NOBODY)
def wrong_numbers() -> bytes:
    """A number of a million exponents, which is no number."""
    return _customer(f'"x":{"1e+" * (MEBIBYTE // 2)}')


@body(who=NOBODY)
def deep_lists() -> bytes:
    """Two million lists, each in another."""
    return b"[" * BODY_BYTES


@body(UPLOAD, who=NOBODY)
def deep_objects() -> bytes:
    """An upload of 2.5 million objects, each in another."""
    return b'{"a":' * (UPLOAD_BYTES // 5)


@body(who=(Who.NONE, Who.OWN), quick=(Who.NONE,))
def colliding_names() -> bytes:
    """28,000 names of 64 letters that differ only where a cheap hash does not look."""
    # LuaJIT hashes of a long text its first and last four bytes and eight of the middle.
    names = (f"AAAA{n:010d}BCCCCDD{n:08d}{'E' * 35}"[:64] for n in range(28_000))
    return _customer(",".join(f'"{name}":1' for name in names))


@body(who=NOBODY)
def colliding_attributes() -> bytes:
    """The same names as those of attributes, each with a value of a wrong type."""
    names = [f"AAAA{n:010d}BCCCCDD{n:08d}{'E' * 35}"[:64] for n in range(25_000)]
    return _customer(_attributes("g", names, "1"))


@body(who=NOBODY)
def same_names() -> bytes:
    """A member that is given 200,000 times."""
    return _customer(",".join(['"x":1'] * 200_000))


@body(UPLOAD, who=NOBODY)
def spaces() -> bytes:
    """An upload of 15 MB of spaces."""
    return b"[" + b" " * UPLOAD_BYTES


@body(UPLOAD, who=EVERYONE, answer_bytes=RESULTS_BYTES)
def empty_items() -> bytes:
    """An upload of 10,000 items that are empty."""
    return b"[" + b",".join([b"{}"] * 10_000) + b"]"


@body(UPLOAD, who=EVERYONE)
def too_many_items() -> bytes:
    """An upload of five million items."""
    return b"[" + b",".join([b"{}"] * 5_000_000) + b"]"


@body(UPLOAD, who=EVERYONE)
def null_items() -> bytes:
    """An upload of 3 million nulls."""
    return b"[" + b",".join([b"null"] * 3_000_000) + b"]"


@body(who=NOBODY)
def nothing_but_quotes() -> bytes:
    """Two million quotation marks."""
    return b'{"' + b'"' * BODY_BYTES


@body(who=NOBODY)
def no_utf_8() -> bytes:
    """A text of two million bytes that are no UTF-8."""
    return b'{"email":"' + b"\xff" * (BODY_BYTES - 50) + b'"}'


@body(f"{NO_CUSTOMER}/address")
def address_of_unknown_members() -> bytes:
    """An address of 150,000 members that are unknown."""
    return json.dumps({f"x{n}": 1 for n in range(150_000)}).encode()


@body("/customers/validate", connections=16)
def sixteen_validations() -> bytes:
    """A good customer of 1,000 attributes, validated on 16 connections."""
    names = [str(n) for n in range(200)]
    groups = {
        f"g{n}": {"attributes": {it: {"attribute_value": "v"} for it in names}} for n in range(5)
    }
    return json.dumps({"email": "a@example.com", "attributeGroups": groups}).encode()
