"""What is exported comes in again just as it was, in each format."""

import io
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.client.command_line import CommandLine, given_by_clients
from twc_customer_client import cells, shapes, tables
from twc_customer_client.columns import Columns, Rules
from twc_customer_client.csv_records import CsvRows
from twc_customer_client.json_records import JsonLines
from twc_customer_client.lines import Lines
from twc_customer_client.mappings import MAPPINGS

STARTS = ["", "'", "''", "=1+1", "@a", "+49 30", "+a", "-1", "\t", "\r", "\n", "＝", " "]  # noqa: RUF001
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.tuples(st.sampled_from(STARTS), st.text(max_size=3)).map("".join),
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
addresses = st.fixed_dictionaries(
    {"city": texts}, optional={"phone": texts, "postcode": texts, "defaultAddress": st.booleans()}
)
groups = st.dictionaries(
    names,
    st.fixed_dictionaries(
        {},
        optional={
            "attribute_group": texts,
            "attributes": st.dictionaries(
                names, st.fixed_dictionaries({"attribute_value": texts}), max_size=2
            ),
        },
    ),
    max_size=2,
)
customers = st.fixed_dictionaries(
    {"email": texts},
    optional={
        "firstName": texts,
        "phone": texts,
        "active": st.booleans(),
        "customer_state": st.sampled_from(["disabled", "enabled"]),
        "marketing_preferences_updated_at": st.just("2026-05-28T10:00:00.123Z"),
        "taxExemptions": st.lists(texts, max_size=3),
        "addresses": st.lists(addresses, max_size=3),
        "attributeGroups": groups,
    },
).map(lambda value: json_format.ParseDict(value, Customer()))


def lines_of(text: str) -> Lines:
    """A file with a text."""
    return Lines(io.BufferedReader(io.BytesIO(text.encode())))


@given(texts)
def test_cell(text: str) -> None:
    """Any text comes back from a cell, and no cell begins as a formula does."""
    for cell in (cells.guard(text), cells.guard_present(text)):
        assert cells.unguard(cell) == text
        assert not cell.startswith(("=", "@", "-", "\t", "\r"))
    assert cells.guard_present(text) != ""


@given(texts)
def test_cell_again(text: str) -> None:
    """A cell of another's that is written anew says the same, and is empty only if it was."""
    again = cells.guard_again(text)
    assert cells.unguard(again) == cells.unguard(text)
    assert bool(again) == bool(text)


@given(st.lists(customers, min_size=1, max_size=3))
def test_csv(written: list[Customer]) -> None:
    """Customers come back from a table."""
    target = io.StringIO(newline="")
    with tables.TableWriter(target) as table:
        table.write(pb.ExportCustomersResponse(customers=written))
        table.finish()
    rows = CsvRows(lines_of(target.getvalue()), Rules({}, MAPPINGS["twc"], ignore_unknown=False))
    records = list(rows.records())

    assert [record.reasons for record in records] == [()] * len(written)
    assert [shapes.customer(record.value) for record in records] == written


@given(st.lists(customers, min_size=1, max_size=3))
def test_json_lines(written: list[Customer]) -> None:
    """Customers come back from JSON Lines."""
    target = io.StringIO(newline="")
    tables.JsonLinesWriter(target).write(pb.ExportCustomersResponse(customers=written))
    records = list(JsonLines(lines_of(target.getvalue())).records())

    assert [shapes.customer(record.value) for record in records] == written


WEIRD: list[dict[str, Any]] = [
    {
        "email": "full@example.com",
        "customerRef": " =1 ",
        "firstName": "=cmd|' /C calc'!A0",
        "lastName": "'t Hooft",
        "mobile": "+49 170 1234567",
        "phone": "+49 30 1234567",
        "dob": "2001-05-28",
        "active": False,
        "accepts_marketing": True,
        "customer_state": "declined",
        "marketing_optin_level": "single_opt_in",
        "marketing_preferences_updated_at": "2020-01-01T00:00:00.500Z",
        "taxExempt": True,
        "taxExemptions": ["-1", "@SUM(A1)"],
        "verified_email": True,
        "addresses": [
            {"addressName": "+", "city": "\U0001f600\r\nx\ty", "countryCode": "de"},
            {"city": "'", "email": "'=x", "defaultAddress": True, "phone": "-12"},
        ],
        "attributeGroups": {
            'a.b["c"]': {
                "attribute_group": "",
                "attributes": {"=x": {"attribute_value": "=1", "value_type": "STRING"}},
                "is_obsolete": True,
            }
        },
    },
    {"email": "bare@example.com"},
    {"email": "empty@example.com", "firstName": "", "lastName": "''"},
]


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_through_the_service(cli: CommandLine, other: CommandLine, name: str) -> None:
    """A tenant's export makes another one's customers the same, and finds its own unchanged."""
    cli.imports(cli.write("weird.jsonl", *WEIRD))
    file = cli.folder / name
    assert cli.run("export", file).status == 0

    assert cli.imports(file)["unchanged"] == len(WEIRD)
    assert other.imports(file)["created"] == len(WEIRD)
    for came, was in zip(other.stored(), cli.stored(), strict=True):
        if not was.HasField("marketing_preferences_updated_at"):
            # To state a preference, as an export does, sets the time of it.
            came.ClearField("marketing_preferences_updated_at")
        assert given_by_clients(came) == given_by_clients(was)


def test_columns_are_those_of_the_contract() -> None:
    """Each column of an export is one that an import knows, without a quote."""
    header = tables.header(2, 2)
    columns = Columns(header, Rules({}, MAPPINGS["twc"], ignore_unknown=False))
    assert columns.width == len(header)
    assert header == [cells.guard(name) for name in header]
