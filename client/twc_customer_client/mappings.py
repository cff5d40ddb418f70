"""Ready mappings: what other systems call the columns of their exports."""

from collections.abc import Mapping
from typing import NamedTuple


class NamedColumns(NamedTuple):
    """Paths by the names of columns in lower case.

    With `quotes_digits`, a `'` before a digit is the exporting system's, which
    keeps spreadsheets from reading a number.
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
    # What the contract has no field for is kept as attributes.
    "Accepts SMS Marketing": _attribute("Accepts SMS Marketing"),
    "Total Spent": _attribute("Total Spent"),
    "Total Orders": _attribute("Total Orders"),
    "Note": _attribute("Note"),
    "Tags": _attribute("Tags"),
}

# Since 2023 with `Default Address ` before the name, and earlier without.
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


def _shopify() -> dict[str, str]:
    named = dict(_SHOPIFY) | {"Default Address Phone": "addresses[0].phone"}
    for name, field in _SHOPIFY_ADDRESS.items():
        named[name] = named[f"Default Address {name}"] = f"addresses[0].{field}"
    return {name.lower(): path for name, path in named.items()}


# The columns of this command's own exports bear the names of the fields.
MAPPINGS = {
    "twc": NamedColumns({}, quotes_digits=False),
    "shopify": NamedColumns(_shopify(), quotes_digits=True),
}
