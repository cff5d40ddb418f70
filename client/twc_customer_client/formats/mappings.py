"""Column mappings for the CSV exports of other systems.

Each follows the system's documented columns. What the contract has no field for
becomes an attribute, in a group of the system's name, if it tells something about
the customer; secrets and what only the system itself can use are dropped.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

# BigCommerce numbers the columns of each address; a customer has seldom more.
_NUMBERED_ADDRESSES = 20


class ColumnMapping(NamedTuple):
    """Field paths by column names in lower case, and the names of the columns that it drops.

    With `quotes_digits`, the exporting system writes a `'` before digits, so
    that spreadsheets do not read them as numbers.
    """

    paths: Mapping[str, str]
    dropped: frozenset[str] = frozenset()
    quotes_digits: bool = False

    def knows(self, name: str) -> bool:
        """Returns whether a column is one of the system's."""
        return name.lower() in self.paths or name.lower() in self.dropped


def _mapping(
    system: str,
    fields: Mapping[str, str],
    attributes: Iterable[str] = (),
    dropped: Iterable[str] = (),
    *,
    quotes_digits: bool = False,
) -> ColumnMapping:
    """Returns the mapping of a system, whose attributes have the names of their columns."""
    paths = {name.lower(): path for name, path in fields.items()}
    for name in attributes:
        path = f'attributeGroups["{system}"].attributes["{name}"].attribute_value'
        paths[name.lower()] = path
    return ColumnMapping(paths, frozenset(name.lower() for name in dropped), quotes_digits)


def _address(index: int, columns: Mapping[str, str]) -> dict[str, str]:
    """Returns the paths of columns of an address, from fields by column names."""
    return {name: f"addresses[{index}].{field}" for name, field in columns.items()}


def _shopify() -> ColumnMapping:
    fields = {
        "Customer ID": "customerRef",
        "First Name": "firstName",
        "Last Name": "lastName",
        "Email": "email",
        "Accepts Email Marketing": "accepts_marketing",
        "Accepts Marketing": "accepts_marketing",
        "Phone": "phone",
        "Tax Exempt": "taxExempt",
        "Default Address Phone": "addresses[0].phone",
    }
    columns = {
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
    # Prefixed with `Default Address ` since 2023, and without a prefix before.
    fields |= _address(0, columns)
    fields |= _address(0, {f"Default Address {name}": each for name, each in columns.items()})
    attributes = (
        "Accepts SMS Marketing",
        "Accepts WhatsApp Marketing",
        "Total Spent",
        "Total Orders",
        "Note",
        "Tags",
    )
    return _mapping("shopify", fields, attributes, quotes_digits=True)


def _woocommerce() -> ColumnMapping:
    """Returns the mapping of the report `Customers`, and of the export of users and customers."""
    fields = {
        "ID": "customerRef",
        "customer_id": "customerRef",
        "Email": "email",
        "user_email": "email",
        "first_name": "firstName",
        "last_name": "lastName",
    }
    report = {
        "Country": "countryCode",
        "Country / Region": "countryCode",
        "City": "city",
        "Region": "province",
        "Postal Code": "postcode",
    }
    fields |= _address(0, report)
    columns = {
        "first_name": "firstName",
        "last_name": "lastName",
        "company": "company",
        "address_1": "address1",
        "address_2": "address2",
        "city": "city",
        "state": "provinceCode",
        "postcode": "postcode",
        "country": "countryCode",
        "phone": "phone",
        "email": "email",
    }
    for index, kind in enumerate(("billing", "shipping")):
        fields |= _address(index, {f"{kind}_{name}": each for name, each in columns.items()})
    attributes = (
        "Name",
        "Username",
        "Last Active",
        "Sign Up",
        "Orders",
        "Total Spend",
        "AOV",
        "user_login",
        "user_nicename",
        "user_url",
        "user_registered",
        "display_name",
        "nickname",
        "description",
        "locale",
        "roles",
        "last_update",
        "paying_customer",
    )
    dropped = (
        "user_pass",
        "user_status",
        "session_tokens",
        "rich_editing",
        "syntax_highlighting",
        "comment_shortcuts",
        "admin_color",
        "use_ssl",
        "show_admin_bar_front",
        "show_welcome_panel",
        "wp_user_level",
        "wp_capabilities",
        "dismissed_wp_pointers",
        "source_user_id",
        "shipping_method",
    )
    return _mapping("woocommerce", fields, attributes, dropped)


def _magento() -> ColumnMapping:
    """Returns the mapping of `Customers and Addresses` and of the `Customers Main File`."""
    fields = {
        "email": "email",
        "firstname": "firstName",
        "lastname": "lastName",
        "dob": "dob",
    }
    columns = {
        "_address_firstname": "firstName",
        "_address_lastname": "lastName",
        "_address_company": "company",
        "_address_street": "address1",
        "_address_city": "city",
        "_address_region": "province",
        "_address_postcode": "postcode",
        "_address_country_id": "countryCode",
        "_address_telephone": "phone",
    }
    fields |= _address(0, columns)
    attributes = (
        "_website",
        "_store",
        "created_at",
        "created_in",
        "gender",
        "group_id",
        "middlename",
        "prefix",
        "suffix",
        "taxvat",
        "_address_fax",
        "_address_middlename",
        "_address_prefix",
        "_address_suffix",
        "_address_vat_id",
    )
    dropped = (
        "confirmation",
        "disable_auto_group_change",
        "default_billing",
        "default_shipping",
        "failures_num",
        "first_failure",
        "lock_expires",
        "password",
        "password_hash",
        "rp_token",
        "rp_token_created_at",
        "session_cutoff",
        "store_id",
        "updated_at",
        "website_id",
        "reward_update_notification",
        "reward_warning_notification",
        "_address_default_billing_",
        "_address_default_shipping_",
    )
    return _mapping("magento", fields, attributes, dropped)


def _bigcommerce() -> ColumnMapping:
    """Returns the mapping of the export templates `Default` and `Bulk Edit`."""
    fields = {
        "Customer ID": "customerRef",
        "First Name": "firstName",
        "Last Name": "lastName",
        "Email": "email",
        "Email Address": "email",
        "Phone": "phone",
    }
    columns = {
        "Address First Name": "firstName",
        "Address Last Name": "lastName",
        "Address Company": "company",
        "Address Line 1": "address1",
        "Address Line 2": "address2",
        "Address City": "city",
        "Address State": "province",
        "Address Zip": "postcode",
        "Address Country": "country",
        "Address Phone": "phone",
    }
    for index in range(_NUMBERED_ADDRESSES):
        numbered = {f"{name} - {index + 1}": each for name, each in columns.items()}
        fields |= _address(index, numbered)
    attributes = (
        "Company",
        "Notes",
        "Store Credit",
        "Customer Group",
        "Date Joined",
        "Receive Review/Abandoned Cart Emails?",
        "Tax Exempt Category",
    )
    ids = [f"Address ID - {index + 1}" for index in range(_NUMBERED_ADDRESSES)]
    return _mapping("bigcommerce", fields, attributes, ["Addresses", *ids])


def _mailchimp() -> ColumnMapping:
    """Returns the mapping of an audience, whose fields have labels or merge tags."""
    fields = {
        "Email Address": "email",
        "EMAIL": "email",
        "First Name": "firstName",
        "FNAME": "firstName",
        "Last Name": "lastName",
        "LNAME": "lastName",
        "Phone Number": "phone",
        "PHONE": "phone",
    }
    attributes = (
        "Address",
        "Birthday",
        "EMAIL_TYPE",
        "MEMBER_RATING",
        "OPTIN_TIME",
        "CONFIRM_TIME",
        "UNSUB_TIME",
        "UNSUB_REASON",
        "CLEAN_TIME",
        "NOTES",
        "TAGS",
    )
    dropped = (
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
        "UNSUB_CAMPAIGN_TITLE",
        "UNSUB_CAMPAIGN_ID",
        "UNSUB_REASON_OTHER",
        "CLEAN_CAMPAIGN_TITLE",
        "CLEAN_CAMPAIGN_ID",
    )
    return _mapping("mailchimp", fields, attributes, dropped)


# The columns of this command's own exports are named by field paths: they need none.
MAPPINGS = {
    "twc": ColumnMapping({}),
    "shopify": _shopify(),
    "woocommerce": _woocommerce(),
    "magento": _magento(),
    "bigcommerce": _bigcommerce(),
    "mailchimp": _mailchimp(),
}
