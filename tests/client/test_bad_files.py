"""Files that are not what they should be: each is refused, or its rows are, with the reason."""

import csv
import json
from typing import Any

import pytest

from tests.client.command_line import CommandLine, each, emails

GOOD = b"a@example.com"

# Files that cannot be read, or not to the end: their content, what is said of
# it, and how many customers come in from what is before.
REFUSED: dict[str, tuple[str, bytes, str, int]] = {
    "empty": ("x.csv", b"", "the file is empty", 0),
    "UTF-16": ("x.csv", "email\na@example.com".encode("utf-16"), "UTF-16", 0),
    "UTF-32": ("x.jsonl", "{}".encode("utf-32"), "UTF-32", 0),
    "Latin-1": ("x.csv", b"email,firstName\n%b,J\xf6rg\n" % GOOD, "line 2 is not UTF-8", 0),
    "Latin-1, later": ("x.csv", b"email\n%b\n\xf6\n" % GOOD, "line 3 is not UTF-8", 1),
    "Latin-1 in JSON Lines": ("x.jsonl", b'{"email":"%b"}\n\xf6' % GOOD, "line 2 is not UTF-8", 1),
    "Latin-1 in JSON": ("x.json", b'[{"email":"%b"},\n"\xf6"]' % GOOD, "line 2", 1),
    "unknown columns": ("x.csv", b"email,Shoe\n", 'no field of a customer: "Shoe"', 0),
    "another separator": ("x.csv", b"email;firstName\n", '"email;firstName"', 0),
    "a column twice": ("x.csv", b"email,phone,email\n", 'two columns "email"', 0),
    "a field twice": (
        "x.csv",
        b"customer_state,customerState\n",
        'two columns for "customer_state"',
        0,
    ),
    "a column without a name": ("x.csv", b"email,\n", 'no field of a customer: ""', 0),
    "a quote in a value": ("x.csv", b'email\n%b\n"a"b\n' % GOOD, "line 3 is not CSV", 1),
    "an open quote": ("x.csv", b'email\n%b\n"a\nb\n' % GOOD, "line 4 is not CSV", 1),
    "a long line": ("x.csv", b"email\n%b\n" % GOOD + b"a" * (5 << 20), "line 3 is longer", 1),
    "a long row": (
        "x.csv",
        b'email\n%b\n"' % GOOD + b"a\n" * (3 << 20),
        "belongs to a row of over 4 MiB",
        1,
    ),
    "a long line of JSON": ("x.jsonl", b'{"email":"' + b"a" * (5 << 20), "line 1 is longer", 0),
    "a long item": ("x.json", b'[{"email":"' + b"a" * (5 << 20), "item of over", 0),
    "no array": ("x.json", b'{"email":"%b"}\n' % GOOD, "--format jsonl", 0),
    "no JSON": ("x.json", b"", "does not begin with [", 0),
    "malformed midway": (
        "x.json",
        b'[{"email":"%b"},\n{"email":"b@example.com"},\n{"email":]' % GOOD,
        (
            "line 3 (byte 65) is not JSON: parse error: unallowed token at this point in JSON "
            "text. No item after the 2. can be read"
        ),
        2,
    ),
    "cut off": ("x.json", b'[{"email":"%b"},\n{"em' % GOOD, "premature EOF", 1),
    "more after the array": ("x.json", b'[{"email":"%b"}]\n[' % GOOD, "trailing garbage", 1),
    "nested too deeply": ("x.json", b"[" * (5 << 20), "nested more than 200 deep", 0),
    "half a surrogate pair": ("x.json", b'[{"email":"%b"},\n"\\ud83d"]' % GOOD, "surrogate", 1),
}


@pytest.mark.parametrize("file", REFUSED.values(), ids=REFUSED)
def test_refused(cli: CommandLine, file: tuple[str, bytes, str, int]) -> None:
    """What is before the bad place is stored, the place is named, and the status is 1."""
    name, content, said, stored = file
    path = cli.folder / name
    path.write_bytes(content)
    done = cli.run("import", path)

    assert done.status == 1
    assert said in done.err
    assert GOOD.decode() not in done.err
    assert len(cli.exports()) == stored
    if stored:
        assert f"{stored} customers are done" in done.err


# Rows that are rejected: their content, and the field, value and reason that are told.
ROWS: dict[str, tuple[str, str, tuple[str, str, str]]] = {
    "too few cells": ("x.csv", "a@example.com", ("", "", "has 1 cells, where the header has 4")),
    "too many cells": ("x.csv", "a,b,c,d,e", ("", "", "has 5 cells, where the header has 4")),
    "NUL": (
        "x.csv",
        "a@example.com,A\0,,",
        ("firstName", "A\0", "firstName: must not hold control characters"),
    ),
    "control": (
        "x.csv",
        "a@example.com,A\x1b[31m,,",
        ("firstName", "A\x1b[31m", "firstName: must not hold control"),
    ),
    "long": (
        "x.csv",
        f"a@example.com,{'A' * 2000},,",
        ("firstName", "A" * 200 + "…", "must be at most 1,024 characters long"),
    ),
    "no boolean": (
        "x.csv",
        "a@example.com,,maybe,",
        ("active", "maybe", "active: must be true or false"),
    ),
    "no JSON": ("x.csv", "a@example.com,,,{", ("attributeGroups", "{", "must be JSON")),
    "a whole customer too large": (
        "x.csv",
        'a@example.com,,,"{""a"": {""attribute_group"": ""' + "x" * (300 << 10) + '""}}"',
        ("customer", "", "must be at most 256 KiB"),
    ),
    "formula": (
        "x.csv",
        "=HYPERLINK(1),,,",
        ("email", "=HYPERLINK(1)", "must be an e-mail address"),
    ),
    "null": ("x.jsonl", "null", ("", "", "must be an object, which is a customer")),
    "number": ("x.jsonl", "5", ("", "5", "must be an object")),
    "malformed": ("x.jsonl", '{"email":', ("", "", "cannot be read as JSON")),
    "nested": ("x.jsonl", "[" * 100_000, ("", "", "cannot be read as JSON: it is nested")),
    "twice": ("x.jsonl", '{"email":"a","email":"b"}', ("", "", "a member twice")),
    "no number": ("x.jsonl", '{"email":NaN}', ("", "", "NaN is not JSON")),
    "type": ("x.jsonl", '{"email":5}', ("email", "5", "must be a text")),
    "type in a list": (
        "x.jsonl",
        '{"email":"a@example.com","addresses":[{"city":[]}]}',
        ("addresses[0].city", "[]", "must be a text"),
    ),
    "null in a list": (
        "x.jsonl",
        '{"email":"a@example.com","addresses":[null]}',
        ("addresses[0]", "", "must be an object"),
    ),
    "no list": ("x.jsonl", '{"taxExemptions":"a"}', ("taxExemptions", "a", "must be an array")),
    "no map": ("x.jsonl", '{"attributeGroups":[]}', ("attributeGroups", "[]", "must be an object")),
    "enum": ("x.jsonl", '{"customer_state":"x"}', ("customer_state", "x", "must be one of disabl")),
    "time": (
        "x.jsonl",
        '{"marketing_preferences_updated_at":"x"}',
        ("marketing_preferences_updated_at", "x", "must be a time"),
    ),
    "unknown": ("x.jsonl", '{"shoe":1}', ("shoe", "1", "is no field that the contract knows")),
    "surrogate": ("x.jsonl", '{"email":"\\ud83d"}', ("email", "", "half of a surrogate pair")),
    "null item": ("x.json", "null", ("", "", "must be an object")),
    "item with a member twice": ("x.json", '{"email":"a","email":"b"}', ("email", "", "twice")),
    "customers": ("x.jsonl", '{"email":"taken@example.com"}', ("email", "", "another customer")),
}
HEADER = "email,firstName,active,attributeGroups"


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_rejected(cli: CommandLine, row: tuple[str, str, tuple[str, str, str]]) -> None:
    """A bad row between good ones goes to the rejects with its line and reason, and no other."""
    cli.imports(cli.write("taken.jsonl", {"email": "taken@example.com", "firstName": "Ada"}))
    name, content, (field, value, reason) = row
    first, last = emails(1, 2)
    if name == "x.csv":
        path = cli.write(name, HEADER, first["email"] + ",,,", content, last["email"] + ",,,")
        line, told = 3, _from_csv
    elif name == "x.json":
        path = cli.write(name, "[", json.dumps(first), ",", content, ",", json.dumps(last), "]")
        line, told = 4, _from_json
    else:
        path = cli.write(name, first, content, last)
        line, told = 2, _from_json
    done = cli.run("import", path, "--json")

    assert (done.status, done.object["created"], done.object["rejected"]) == (3, 2, 1)
    assert len(cli.exports()) == 3
    at, reasons = told(done.object["rejects_file"])
    assert at == line
    assert any(
        each["field"] == field and value in each["value"] and reason in each["reason"]
        for each in reasons
    ), reasons


def _from_json(path: str) -> tuple[int, list[dict[str, str]]]:
    with open(path) as file:  # noqa: PTH123 - as the summary says it
        [told] = [json.loads(line)["_reject"] for line in file]
    return told["line"], told["reasons"]


def _from_csv(path: str) -> tuple[int, list[dict[str, str]]]:
    with open(path, newline="") as file:  # noqa: PTH123 - as the summary says it
        [row] = list(csv.DictReader(file))
    told: dict[str, Any] = {
        name: row[f"reject_{name}"].removeprefix("'") for name in ("field", "value", "reason")
    }
    return int(row["reject_line"]), [told]


@each(
    column=("x.csv", "email,Shoe", "a@example.com,42"),
    member=("x.jsonl", '{"email":"a@example.com","shoe":42,"addresses":[{"city":"B","x":1}]}'),
)
def test_ignore_unknown(cli: CommandLine, case: tuple[str, ...]) -> None:
    """What is no field of a customer is passed over if that is wanted."""
    name, *lines = case
    assert cli.imports(cli.write(name, *lines), "--ignore-unknown")["created"] == 1


def test_ignore_unknown_values(cli: CommandLine) -> None:
    """A value that a field cannot have is no unknown field."""
    path = cli.write("x.jsonl", {"email": "a@example.com", "customer_state": "x", "shoe": 1})
    assert cli.run("import", path, "--ignore-unknown").status == 3
