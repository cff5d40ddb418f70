"""Invalid files and rows are refused or rejected, with the reason."""

import csv
import gzip
import json
from typing import Any

import pytest

from tests.client.command_line import CommandLine, cases, emails

GOOD = b"a@example.com"

# Files that cannot be read to their end: name, content, error, and the number of
# customers that are stored nevertheless.
REFUSED: dict[str, tuple[str, bytes, str, int]] = {
    "empty": ("x.csv", b"", "the file is empty", 0),
    "blank rows": ("x.csv", b"\n,,\n , \n", "the file is empty", 0),
    "UTF-16": ("x.csv", "email\na@example.com".encode("utf-16"), "use --encoding utf-16, or", 0),
    "UTF-16 without a mark": (
        "x.csv",
        "email\na@example.com".encode("utf-16-be"),
        "the file is in UTF-16-BE: use --encoding utf-16-be",
        0,
    ),
    "UTF-32": ("x.jsonl", "{}".encode("utf-32"), "UTF-32", 0),
    "Latin-1": (
        "x.csv",
        b"email,firstName\n%b,J\xf6rg\n" % GOOD,
        "line 2 is not UTF-8: byte 16 of the line is 0xf6; it looks like windows-1252: use",
        0,
    ),
    "Shift JIS": (
        "x.csv",
        "email,firstName\n,名前\n".encode("shift_jis"),
        "line 2 is not UTF-8: byte 2 of the line is 0x96; use --encoding",
        0,
    ),
    "Excel": ("x.csv", b"PK\x03\x04....[Content_Types].xml", "Excel workbook (.xlsx), not CSV", 0),
    "Excel by name": ("x.xlsx", b"PK\x03\x04....xl/workbook.xml", "an Excel workbook (.xlsx)", 0),
    "older Excel": ("x.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls)", 0),
    "OpenDocument": (
        "x.ods",
        b"PK\x03\x04..mimetypeapplication/vnd.oasis.opendocument.spreadsheetPK",
        "an OpenDocument spreadsheet (.ods)",
        0,
    ),
    "ZIP": ("x.csv", b"PK\x03\x04....x.csv", "a ZIP archive, not CSV or JSON: unpack it", 0),
    "gzip": (
        "x.csv.gz",
        gzip.compress(b"email\n"),
        "compressed by gzip, not CSV or JSON: unpack",
        0,
    ),
    "Latin-1, later": ("x.csv", b"email\n%b\n\xf6\n" % GOOD, "line 3 is not UTF-8", 1),
    "Latin-1 in JSON Lines": ("x.jsonl", b'{"email":"%b"}\n\xf6' % GOOD, "line 2 is not UTF-8", 1),
    "Latin-1 in JSON": ("x.json", b'[{"email":"%b"},\n"\xf6"]' % GOOD, "line 2", 1),
    "HTML": ("x.csv", b"\n<!DOCTYPE html><html></html>", "HTML or XML, not CSV or JSON", 0),
    "JSON as CSV": ("x.csv", b'[{"email":"a"}]', "the file is JSON, not CSV: use --format json", 0),
    "CSV as JSON": ("x.json", b"email\n%b\n" % GOOD, "for CSV --format csv", 0),
    "unknown columns": ("x.csv", b"email,Shoe\n", 'not fields of a customer: "Shoe"', 0),
    "an unusual delimiter": ("x.csv", b"email:firstName\n", "name it with --delimiter", 0),
    "a column twice": ("x.csv", b"email,phone,email\n", 'two columns "email"', 0),
    "a column twice in another case": ("x.csv", b"email,Email\n", 'two columns for "email"', 0),
    "a field twice": (
        "x.csv",
        b"customer_state,customerState\n",
        'two columns for "customer_state"',
        0,
    ),
    "a quote in a value": ("x.csv", b'email\n%b\n"a"b\n' % GOOD, "line 3 is not CSV", 1),
    "an open quote": ("x.csv", b'email\n%b\n"a\nb\n' % GOOD, "line 3 is not CSV", 1),
    "an open quote within a row": (
        "x.csv",
        b'email,firstName\n%b,\n"a\n""b","c\nd\n' % GOOD,
        "line 4 is not CSV: the quote that opens here is not closed",
        1,
    ),
    "an open quote before another": (
        "x.csv",
        b'email,firstName\n%b,\nb,"c\nd,\n"e",\n' % GOOD,
        "line 3 is not CSV: ',' expected after '\"' in line 5, where the quote that opens here",
        1,
    ),
    "lines of old Macs": ("x.csv", b"email\r%b\r" % GOOD, "has a CR without LF", 0),
    "a long line": ("x.csv", b"email\n%b\n" % GOOD + b"a" * (5 << 20), "line 3 is longer", 1),
    "a long row": (
        "x.csv",
        b'email\n%b\n"' % GOOD + b"a\n" * (3 << 20),
        "line 3 is in a row of more than 4 MiB",
        1,
    ),
    "a long line of JSON": ("x.jsonl", b'{"email":"' + b"a" * (5 << 20), "line 1 is longer", 0),
    "a long item": (
        "x.json",
        b'[{"email":"' + b"a" * (5 << 20),
        "is in an item of more than 4 MiB",
        0,
    ),
    "no array": ("x.json", b'{"email":"%b"}\n' % GOOD, "--format jsonl", 0),
    "no JSON": ("x.json", b"", "must begin with [", 0),
    "malformed midway": (
        "x.json",
        b'[{"email":"%b"},\n{"email":"b@example.com"},\n{"email":]' % GOOD,
        (
            "line 3 (byte 65) is not JSON: parse error: unallowed token at this point in JSON "
            "text; no item after item 2 can be read"
        ),
        2,
    ),
    "cut off": ("x.json", b'[{"email":"%b"},\n{"em' % GOOD, "premature EOF", 1),
    "more after the array": ("x.json", b'[{"email":"%b"}]\n[' % GOOD, "trailing garbage", 1),
    "nested too deeply": ("x.json", b"[" * (5 << 20), "nested more than 200 deep", 0),
    "half a surrogate pair": ("x.json", b'[{"email":"%b"},\n"\\ud83d"]' % GOOD, "surrogate", 1),
}


@pytest.mark.parametrize("file", REFUSED.values(), ids=REFUSED)
def test_refused_file(cli: CommandLine, file: tuple[str, bytes, str, int]) -> None:
    """The customers before the error are stored, and the error names its location."""
    name, content, error, stored = file
    path = cli.folder / name
    path.write_bytes(content)
    result = cli.run("import", path)

    assert result.status == 1
    assert error in result.err
    assert GOOD.decode() not in result.err
    assert len(cli.export()) == stored
    next_step = result.err.splitlines()[-1]
    if stored:
        assert f"{stored} customers were processed" in result.err
        assert next_step == "Next: correct the file and run the same command with --restart"
    else:
        assert next_step.startswith("Next: correct the file, or the options that say")


# Rows that are rejected: name, content, and the field, value and reason in the rejects.
ROWS: dict[str, tuple[str, str, tuple[str, str, str]]] = {
    "too few cells": ("x.csv", "a@example.com", ("", "", "has 1 cells, but the header has 4")),
    "too many cells": ("x.csv", "a,b,c,d,e", ("", "", "has 5 cells, but the header has 4")),
    "a value without a column": (
        "x.csv",
        "a@example.com,,,,b",
        ("", "", "has 5 cells, but the header has 4"),
    ),
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
    "null": ("x.jsonl", "null", ("", "", "must be a JSON object")),
    "number": ("x.jsonl", "5", ("", "5", "must be a JSON object")),
    "malformed": ("x.jsonl", '{"email":', ("", "", "cannot be read as JSON")),
    "nested": ("x.jsonl", "[" * 100_000, ("", "", "cannot be read as JSON: it is nested")),
    "twice": ("x.jsonl", '{"email":"a","email":"b"}', ("", "", "a member twice")),
    "no number": ("x.jsonl", '{"email":NaN}', ("", "", "NaN is not JSON")),
    "type": ("x.jsonl", '{"email":5}', ("email", "5", "must be a string")),
    "type in a list": (
        "x.jsonl",
        '{"email":"a@example.com","addresses":[{"city":[]}]}',
        ("addresses[0].city", "[]", "must be a string"),
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
    "number field": (
        "x.jsonl",
        '{"email":"a@example.com","spendToNextTier":"x"}',
        ("spendToNextTier", "x", "must be a number"),
    ),
    "too large for a number field": (
        "x.jsonl",
        '{"email":"a@example.com","spendToNextTier":1' + "0" * 400 + "}",
        ("spendToNextTier", "1000", "must be a number"),
    ),
    "beside a number field": ("x.jsonl", '{"spendToNextTier":5,"shoe":1}', ("shoe", "1", "is not")),
    "unknown": ("x.jsonl", '{"shoe":1}', ("shoe", "1", "is not a field of the contract")),
    "surrogate": ("x.jsonl", '{"email":"\\ud83d"}', ("email", "", "half of a surrogate pair")),
    "null item": ("x.json", "null", ("", "", "must be a JSON object")),
    "item with a member twice": ("x.json", '{"email":"a","email":"b"}', ("email", "", "twice")),
    "customers": ("x.jsonl", '{"email":"taken@example.com"}', ("email", "", "another customer")),
}
HEADER = "email,firstName,active,attributeGroups"


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_rejected_row(cli: CommandLine, row: tuple[str, str, tuple[str, str, str]]) -> None:
    """A bad row between good ones goes to the rejects with its line and reason, and no other."""
    cli.import_file(cli.write("taken.jsonl", {"email": "taken@example.com", "firstName": "Ada"}))
    name, content, (field, value, reason) = row
    first, last = emails(1, 2)
    if name == "x.csv":
        path = cli.write(name, HEADER, first["email"] + ",,,", content, last["email"] + ",,,")
        line, read_rejects = 3, _read_csv_rejects
    elif name == "x.json":
        path = cli.write(name, "[", json.dumps(first), ",", content, ",", json.dumps(last), "]")
        line, read_rejects = 4, _read_json_rejects
    else:
        path = cli.write(name, first, content, last)
        line, read_rejects = 2, _read_json_rejects
    result = cli.run("import", path, "--json")

    assert (result.status, result.json["created"], result.json["rejected"]) == (3, 2, 1)
    assert len(cli.export()) == 3
    reject_line, reasons = read_rejects(result.json["rejects_file"])
    assert reject_line == line
    assert any(
        each["field"] == field and value in each["value"] and reason in each["reason"]
        for each in reasons
    ), reasons


def _read_json_rejects(path: str) -> tuple[int, list[dict[str, str]]]:
    with open(path) as file:  # noqa: PTH123 - a text in the summary
        [reject] = [json.loads(line)["_reject"] for line in file]
    return reject["line"], reject["reasons"]


def _read_csv_rejects(path: str) -> tuple[int, list[dict[str, str]]]:
    with open(path, newline="") as file:  # noqa: PTH123 - a text in the summary
        [row] = list(csv.DictReader(file))
    reason: dict[str, Any] = {
        name: row[f"reject_{name}"].removeprefix("'") for name in ("field", "value", "reason")
    }
    return int(row["reject_line"]), [reason]


@cases(
    column=("x.csv", "email,Shoe", "a@example.com,42"),
    member=("x.jsonl", '{"email":"a@example.com","shoe":42,"addresses":[{"city":"B","x":1}]}'),
)
def test_ignore_unknown(cli: CommandLine, case: tuple[str, ...]) -> None:
    """--ignore-unknown skips what is not a field of a customer."""
    name, *lines = case
    assert cli.import_file(cli.write(name, *lines), "--ignore-unknown")["created"] == 1


def test_ignore_unknown_values(cli: CommandLine) -> None:
    """--ignore-unknown does not skip invalid values of known fields."""
    path = cli.write("x.jsonl", {"email": "a@example.com", "customer_state": "x", "shoe": 1})
    assert cli.run("import", path, "--ignore-unknown").status == 3
