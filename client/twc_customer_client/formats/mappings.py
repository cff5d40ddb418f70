"""Column mappings for the CSV exports of other systems."""

from collections.abc import Mapping
from typing import NamedTuple


class ColumnMapping(NamedTuple):
    """Field paths by column names in lower case.

    With `quotes_digits`, the exporting system writes a `'` before digits, so
    that spreadsheets do not read them as numbers.
    """

    paths: Mapping[str, str]
    quotes_digits: bool


def _attribute(name: str) -> str:
    return f'attributeGroups["shopify"].attributes["{name}"].attribute_value'


_SHOPIFY = {
    "Customer ID": "customerRef",
    "First Name": "firstName",
    "Last Name": "lastName",
    "Email": "email",
    "Accepts Email Marketing": "accepts_marketing",
    "Accepts Marketing": "accepts_marketing",
    "Phone": "phone",
    "Tax Exempt": "taxExempt",
    # The contract has no fields for these: they become attributes.
    "Accepts SMS Marketing": _attribute("Accepts SMS Marketing"),
    "Total Spent": _attribute("Total Spent"),
    "Total Orders": _attribute("Total Orders"),
    "Note": _attribute("Note"),
    "Tags": _attribute("Tags"),
}

# Prefixed with `Default Address ` since 2023, and without a prefix before.
_SHOPIFY_ADDRESS = {
    "Company": "company",
    "Address1": "address1",
    "Address2": "address2",
    "City": "city",
    "Province": "province",
    "Province Code": "provinceCode",
    "Country": "country",
    "Country Code": "countryCode",
    "Zip": "postcode",
}


def _shopify_paths() -> dict[str, str]:
    paths = dict(_SHOPIFY) | {"Default Address Phone": "addresses[0].phone"}
    for name, field in _SHOPIFY_ADDRESS.items():
        paths[name] = paths[f"Default Address {name}"] = f"addresses[0].{field}"
    return {name.lower(): path for name, path in paths.items()}


# The columns of this command's own exports are named by field paths: they need none.
MAPPINGS = {
    "twc": ColumnMapping({}, quotes_digits=False),
    "shopify": ColumnMapping(_shopify_paths(), quotes_digits=True),
}
