"""The exports of other systems are read by their documented columns, and recognised."""

import csv
import io
from typing import Any

import pytest

from tests.client.command_line import CommandLine
from twc_customer_client.formats.mappings import MAPPINGS

# A customer of each kind of export, by the columns of the system's documentation.
EXPORTS: dict[str, tuple[str, dict[str, str]]] = {
    "shopify until 2023": (
        "shopify",
        {
            "First Name": "Ada",
            "Last Name": "Lovelace",
            "Email": "ada@example.com",
            "Company": "Engines",
            "Address1": "Main 1",
            "Address2": "",
            "City": "Berlin",
            "Province": "Berlin",
            "Province Code": "BE",
            "Country": "Germany",
            "Country Code": "DE",
            "Zip": "'01067",
            "Phone": "'+49 170 1234567",
            "Accepts Marketing": "yes",
            "Total Spent": "10.00",
            "Total Orders": "1",
            "Tags": "vip",
            "Note": "=call",
            "Tax Exempt": "no",
        },
    ),
    "shopify": (
        "shopify",
        {
            "Customer ID": "'7001",
            "First Name": "Ada",
            "Last Name": "Lovelace",
            "Email": "ada@example.com",
            "Accepts Email Marketing": "yes",
            "Default Address Company": "Engines",
            "Default Address Address1": "Main 1",
            "Default Address Address2": "",
            "Default Address City": "Berlin",
            "Default Address Province Code": "BE",
            "Default Address Country Code": "DE",
            "Default Address Zip": "'01067",
            "Default Address Phone": "030 1",
            "Phone": "'+491701234567",
            "Accepts SMS Marketing": "no",
            "Total Spent": "10.00",
            "Total Orders": "1",
            "Note": "=call",
            "Tax Exempt": "no",
            "Tags": "vip",
        },
    ),
    "woocommerce, report": (
        "woocommerce",
        {
            "Name": "Ada Lovelace",
            "Username": "ada",
            "Last Active": "2026-05-01 10:00:00",
            "Sign Up": "2026-01-01 10:00:00",
            "Email": "ada@example.com",
            "Orders": "1",
            "Total Spend": "10.00",
            "AOV": "10.00",
            "Country / Region": "DE",
            "City": "Berlin",
            "Region": "BE",
            "Postal Code": "01067",
        },
    ),
    "woocommerce, users": (
        "woocommerce",
        {
            "ID": "7001",
            "customer_id": "7001",
            "user_login": "ada",
            "user_pass": "$P$B",
            "user_nicename": "ada",
            "user_email": "ada@example.com",
            "user_url": "",
            "user_registered": "2026-01-01 10:00:00",
            "display_name": "Ada",
            "first_name": "Ada",
            "last_name": "Lovelace",
            "user_status": "0",
            "roles": "customer",
            "nickname": "ada",
            "description": "",
            "billing_first_name": "Ada",
            "billing_last_name": "Lovelace",
            "billing_company": "Engines",
            "billing_email": "bills@example.com",
            "billing_phone": "030 1",
            "billing_address_1": "Main 1",
            "billing_address_2": "",
            "billing_postcode": "01067",
            "billing_city": "Berlin",
            "billing_state": "BE",
            "billing_country": "DE",
            "shipping_first_name": "Ada",
            "shipping_last_name": "Lovelace",
            "shipping_company": "",
            "shipping_address_1": "Side 2",
            "shipping_address_2": "",
            "shipping_postcode": "10115",
            "shipping_city": "Berlin",
            "shipping_state": "BE",
            "shipping_country": "DE",
        },
    ),
    "magento": (
        "magento",
        {
            "email": "ada@example.com",
            "_website": "base",
            "_store": "default",
            "confirmation": "",
            "created_at": "2026-01-01 10:00:00",
            "created_in": "Default Store View",
            "disable_auto_group_change": "0",
            "dob": "1995-12-10",
            "firstname": "Ada",
            "gender": "Female",
            "group_id": "1",
            "lastname": "Lovelace",
            "middlename": "",
            "password_hash": "a:b:1",
            "prefix": "",
            "rp_token": "secret",
            "rp_token_created_at": "2026-01-01 10:00:00",
            "store_id": "1",
            "suffix": "",
            "taxvat": "",
            "website_id": "1",
            "password": "",
            "_address_city": "Berlin",
            "_address_company": "Engines",
            "_address_country_id": "DE",
            "_address_fax": "",
            "_address_firstname": "Ada",
            "_address_lastname": "Lovelace",
            "_address_middlename": "",
            "_address_postcode": "01067",
            "_address_prefix": "",
            "_address_region": "Berlin",
            "_address_street": "Main 1",
            "_address_suffix": "",
            "_address_telephone": "030 1",
            "_address_vat_id": "",
            "_address_default_billing_": "1",
            "_address_default_shipping_": "1",
        },
    ),
    "bigcommerce": (
        "bigcommerce",
        {
            "Customer ID": "7001",
            "First Name": "Ada",
            "Last Name": "Lovelace",
            "Company": "Engines",
            "Email": "ada@example.com",
            "Phone": "+491701234567",
            "Notes": "call",
            "Store Credit": "0.00",
            "Customer Group": "",
            "Date Joined": "01/01/2026",
            "Addresses": "Address ID: 1, Address Line 1: Main 1",
            "Receive Review/Abandoned Cart Emails?": "Y",
            "Tax Exempt Category": "",
        },
    ),
    "bigcommerce, bulk edit": (
        "bigcommerce",
        {
            "Email Address": "ada@example.com",
            "First Name": "Ada",
            "Last Name": "Lovelace",
            "Company": "Engines",
            "Phone": "+491701234567",
            "Notes": "call",
            "Store Credit": "0.00",
            "Customer Group": "",
            "Address ID - 1": "1",
            "Address First Name - 1": "Ada",
            "Address Last Name - 1": "Lovelace",
            "Address Company - 1": "Engines",
            "Address Line 1 - 1": "Main 1",
            "Address Line 2 - 1": "",
            "Address City - 1": "Berlin",
            "Address State - 1": "Berlin",
            "Address Zip - 1": "01067",
            "Address Country - 1": "Germany",
            "Address Phone - 1": "030 1",
            "Receive Review/Abandoned Cart Emails?": "Y",
            "Tax Exempt Category": "",
            "Customer ID": "7001",
        },
    ),
    "mailchimp": (
        "mailchimp",
        {
            "Email Address": "ada@example.com",
            "First Name": "Ada",
            "Last Name": "Lovelace",
            "Address": "Main 1  Berlin",
            "Phone Number": "+491701234567",
            "Birthday": "12/10",
            "MEMBER_RATING": "2",
            "OPTIN_TIME": "2026-01-01 10:00:00",
            "OPTIN_IP": "192.0.2.1",
            "CONFIRM_TIME": "2026-01-01 10:00:00",
            "CONFIRM_IP": "192.0.2.1",
            "LATITUDE": "52.5",
            "LONGITUDE": "13.4",
            "GMTOFF": "1",
            "DSTOFF": "2",
            "TIMEZONE": "europe/berlin",
            "CC": "de",
            "REGION": "be",
            "LAST_CHANGED": "2026-01-01 10:00:00",
            "LEID": "33996391",
            "EUID": "8b66ccca37",
            "NOTES": "",
            "TAGS": '"vip"',
        },
    ),
}

# What the customer of each export has; what none of these names is in EXPORTS only.
VALUES = {
    "customerRef": ("7001", ("Customer ID", "ID")),
    "firstName": ("Ada", ("First Name", "first_name", "firstname")),
    "lastName": ("Lovelace", ("Last Name", "last_name", "lastname")),
    "phone": ("+491701234567", ("Phone", "Phone Number")),
    "accepts_marketing": (True, ("Accepts Marketing", "Accepts Email Marketing")),
    "dob": ("1995-12-10", ("dob",)),
}

DROPPED = {
    "woocommerce, users": {"customer_id": 1, "user_pass": 1, "user_status": 1},
    "magento": {
        "confirmation": 0,
        "disable_auto_group_change": 1,
        "password_hash": 1,
        "rp_token": 1,
        "rp_token_created_at": 1,
        "store_id": 1,
        "website_id": 1,
        "password": 0,
        "_address_default_billing_": 1,
        "_address_default_shipping_": 1,
    },
    "bigcommerce": {"Addresses": 1},
    "bigcommerce, bulk edit": {"Address ID - 1": 1},
    "mailchimp": dict.fromkeys(
        (
            "OPTIN_IP",
            "CONFIRM_IP",
            "LATITUDE",
            "LONGITUDE",
            "GMTOFF",
            "DSTOFF",
            "TIMEZONE",
            "CC",
            "REGION",
            "LAST_CHANGED",
            "LEID",
            "EUID",
        ),
        1,
    ),
}


def write(cli: CommandLine, *rows: dict[str, str]) -> Any:
    """Writes a CSV file, and returns its path."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return cli.write("x.csv", text.getvalue())


@pytest.mark.parametrize("export", EXPORTS, ids=str)
def test_mapping(cli: CommandLine, export: str) -> None:
    """Every column is read as a field of its meaning or as an attribute, or is counted."""
    system, row = EXPORTS[export]
    summary = cli.import_file(write(cli, row), "--mapping", system)
    [ada] = cli.export()
    attributes = ada["attributeGroups"][system]["attributes"]

    assert ada["email"] == "ada@example.com"
    for field, (value, columns) in VALUES.items():
        if any(row.get(column) for column in columns):
            assert ada[field] == value
    postcodes = [name for name in row if name.lower().endswith(("zip", "code", "zip - 1"))]
    if postcodes and "bigcommerce" not in export:
        assert ada["addresses"][0]["postcode"] == "01067"
        assert ada["addresses"][0]["city"] == "Berlin"
    assert summary["dropped"] == DROPPED.get(export, {})
    for column, value in row.items():
        mapped = MAPPINGS[system].paths.get(column.lower(), "")
        if mapped.startswith("attributeGroups") and value:
            assert attributes[column]["attribute_value"] == value.removeprefix("'")
        assert mapped or column in summary["dropped"]


@pytest.mark.parametrize("export", EXPORTS, ids=str)
def test_recognised_export(cli: CommandLine, export: str) -> None:
    """An export that is imported without its mapping is refused with a hint at the mapping."""
    system, row = EXPORTS[export]
    path = write(cli, row)
    refused = cli.run("import", path)
    ignored = cli.run("import", path, "--ignore-unknown")

    assert refused.status == 1
    assert f"it looks like an export of {system}: use --mapping {system}" in refused.err
    assert f"the header looks like an export of {system}: see --mapping" in ignored.out
    assert "looks like" not in cli.run("import", path, "--mapping", system).out


def test_summary_of_dropped_values(cli: CommandLine) -> None:
    """The summary counts the rows with a value in each column that is not read."""
    rows = [{"email": f"{number}@example.com", "Shoe": "4" * number} for number in range(3)]
    result = cli.run("import", write(cli, *rows), "--ignore-unknown")
    assert 'columns not imported, with rows that have a value: "Shoe" (2)' in result.out


def test_own_map_before_mapping(cli: CommandLine) -> None:
    """A column that the user maps replaces the one that the mapping has for its field."""
    _, row = EXPORTS["woocommerce, users"]
    options = ("--mapping", "woocommerce", "--map", "billing_email=email")
    cli.import_file(write(cli, row), *options)
    assert [it.email for it in cli.stored()] == ["bills@example.com"]


def test_rejects_of_an_export(cli: CommandLine) -> None:
    """Corrected rejects of another system's export are read as its export is."""
    _, row = EXPORTS["shopify"]
    path = write(cli, row | {"Email": "?", "First Name": "''t"})
    assert cli.run("import", path, "--mapping", "shopify").status == 3
    rejects = cli.folder / "x.rejects.csv"
    rejects.write_text(rejects.read_text().replace("?", "ada@example.com"))
    cli.import_file(rejects, "--mapping", "shopify")
    [ada] = cli.stored()

    assert (ada.customer_ref, ada.phone, ada.first_name) == ("7001", "+491701234567", "''t")
    assert (ada.addresses[0].postcode, ada.addresses[0].phone) == ("01067", "030 1")
