"""An export can be imported again without a change, in each format."""

import io
import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.client.command_line import CommandLine, without_server_fields
from twc_customer_client.exporting import CsvWriter, JsonLinesWriter, csv_header
from twc_customer_client.formats.columns import ColumnOptions, Columns
from twc_customer_client.formats.csv_cells import protect, quote, read_foreign, unprotect
from twc_customer_client.formats.csv_reader import CsvReader
from twc_customer_client.formats.customer_json import parse_customer
from twc_customer_client.formats.field_paths import CUSTOMER, is_timestamp
from twc_customer_client.formats.json_reader import JsonLinesReader
from twc_customer_client.formats.mappings import MAPPINGS
from twc_customer_client.formats.records import LineReader

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
# Fields whose values are not of their type alone.
special: dict[str, st.SearchStrategy[Any]] = {
    "customer_state": st.sampled_from(["disabled", "enabled"]),
    "marketing_optin_level": st.sampled_from(["single_opt_in", "confirmed_opt_in"]),
    "taxExemptions": st.lists(texts, max_size=3),
    "addresses": st.lists(addresses, max_size=3),
    "attributeGroups": groups,
}


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Values of a field in JSON."""
    if field.json_name in special:
        return special[field.json_name]
    if is_timestamp(field):
        return st.just("2026-05-28T10:00:00.123Z")
    if field.message_type is not None:
        members = {each.json_name: _values(each) for each in field.message_type.fields}
        return st.fixed_dictionaries({}, optional=members)
    return {
        FieldDescriptor.CPPTYPE_STRING: texts,
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    }[field.cpp_type]


# Columns of an export, which leaves out what others have.
fields = [it for it in CUSTOMER.fields if it.name not in {"default_address", "merged_into"}]
customers = st.fixed_dictionaries(
    {"email": texts},
    optional={it.json_name: _values(it) for it in fields if it.name != "email"},
).map(lambda value: json_format.ParseDict(value, Customer()))


def read_lines(text: str) -> LineReader:
    """Returns a reader of a file with a text."""
    return LineReader(io.BufferedReader(io.BytesIO(text.encode())))


@settings(deadline=None)
@given(texts)
def test_cell(text: str) -> None:
    """Any text survives being written to a cell, and no cell begins like a formula."""
    cell = protect(text)
    assert unprotect(cell) == text
    assert cell
    assert not cell.startswith(("=", "+", "@", "-", "\t", "\r", "\0"))
    assert quote(text) in (text, f"'{text}")


# Texts that some spreadsheet makes a number, a date, a truth value or a formula of.
CONVERTED = [
    "00123",
    "+442079460958",
    "030-1234",
    "12345678901234567890",
    "1E5",
    "0x10",
    "1,000",
    "1.000,5",
    "5%",
    "10\xa0%",
    "$5",
    "€5",
    "5 €",
    "5 USD",
    "(5)",
    "-5",
    "2001-05-28",
    "2001-05-28T10:00",
    "28.5.2001",
    "12/31/2020",
    "1/2",
    "1 1/2",
    "12:30",
    "10 AM",
    "5-6",
    "MAR1",
    "Sept2",
    "Jan-20",
    "May 5",
    "März 5",
    "5 mai 2020",
    "5 de mayo de 2020",
    "Monday, May 5, 2020",
    "5月28日",
    "令和5年5月28日",
    "R5.5.28",
    "\uff11\uff12",
    "\u0663",
    "TRUE",
    "false",
    "Wahr",
    "ложь",
    "=1+1",
    "@x",
    "\uff1d1",
    "#N/A",
    "",
    " 5",
    "5 ",
    " ",
    "'",
    "'t",
    "''",
]

# Texts that every spreadsheet leaves alone.
KEPT = [
    "Ada",
    "O'Neil",
    "May",
    "ada@example.com",
    "1@example.com",
    "CUST-1001",
    "A-1",
    "DE12345",
    "SW1A 1AA",
    "12 Baker Street",
    "12345 Berlin",
    " x ",
    "a\nb",
    '{"a": 1}',
    '"5"',
    "01a2170c-edf1-7080-83b7-a7c771031e15",
    "2026-05-28T10:00:00.123Z",
]


@pytest.mark.parametrize("text", CONVERTED)
def test_protected_text(text: str) -> None:
    """A text that a spreadsheet would change has a `'` before it."""
    assert protect(text) == f"'{text}"


@pytest.mark.parametrize("text", KEPT)
def test_text_as_it_is(text: str) -> None:
    """A text that no spreadsheet changes is written as it is."""
    assert protect(text) == text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("'=1", "=1"),
        ("''=1", "'=1"),
        ("'+1", "+1"),
        ("'", ""),
        ("''", "'"),
        ("'t", "'t"),
        ("'1", "'1"),
    ],
)
def test_foreign_cell(cell: str, text: str) -> None:
    """In another program's file only a `'` before a formula, or alone, is none of the text."""
    assert read_foreign(cell) == text


@pytest.mark.parametrize("character", ["\r", "\r\n", "\t", "\0"])
def test_lost_character(character: str) -> None:
    """A text with a character that spreadsheets do not keep is written as a JSON string."""
    text = f'"a{character}b'
    cell = protect(text)
    assert cell == f"'{json.dumps(text)}"
    assert unprotect(cell) == text
    assert unprotect(cell[:-1]) == cell[1:-1]


@settings(deadline=None)
@given(st.lists(customers, min_size=1, max_size=3))
def test_csv(written: list[Customer]) -> None:
    """Customers survive being written to CSV."""
    target = io.StringIO(newline="")
    with CsvWriter(target) as writer:
        writer.write(pb.ExportCustomersResponse(customers=written))
        writer.finish()
    options = ColumnOptions({}, MAPPINGS["twc"], ignore_unknown=False)
    records = list(CsvReader(read_lines(target.getvalue()), options).records())

    assert [record.reasons for record in records] == [()] * len(written)
    assert [parse_customer(record.value) for record in records] == written


@settings(deadline=None)
@given(st.lists(customers, min_size=1, max_size=3))
def test_json_lines(written: list[Customer]) -> None:
    """Customers survive being written to JSON Lines."""
    target = io.StringIO(newline="")
    JsonLinesWriter(target).write(pb.ExportCustomersResponse(customers=written))
    records = list(JsonLinesReader(read_lines(target.getvalue())).records())

    assert [parse_customer(record.value) for record in records] == written


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
            {"city": "'", "email": "'=x@example.com", "defaultAddress": True, "phone": "-12"},
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
def test_through_the_server(cli: CommandLine, other_cli: CommandLine, name: str) -> None:
    """An import of an export finds the tenant's customers unchanged, and copies them to another."""
    cli.import_file(cli.write("weird.jsonl", *WEIRD))
    file = cli.folder / name
    assert cli.run("export", file).status == 0

    assert cli.import_file(file)["unchanged"] == len(WEIRD)
    assert other_cli.import_file(file)["created"] == len(WEIRD)
    for copy, original in zip(other_cli.stored(), cli.stored(), strict=True):
        if not original.HasField("marketing_preferences_updated_at"):
            # The export states a preference, which sets its time.
            copy.ClearField("marketing_preferences_updated_at")
        assert without_server_fields(copy) == without_server_fields(original)


def test_header() -> None:
    """An import knows every column of an export, and none needs protection."""
    header = csv_header(2, 2)
    columns = Columns(header, ColumnOptions({}, MAPPINGS["twc"], ignore_unknown=False))
    assert columns.header == header
    assert columns.dropped == {}
    assert header == [protect(name) for name in header]
