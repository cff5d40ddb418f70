"""Customers as msgspec structs: what requests may hold, where Litestar reads them.

Types, lengths and characters are declared; what is an e-mail address, a country,
a date or a typed value the service's own functions say, by way of `checks`.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from bench.peers import checks, rules
from twc_customer_server.customers import addresses, fields
from twc_customer_server.customers.addresses import MAX_ADDRESSES
from twc_customer_server.customers.attributes import MAX_ATTRIBUTES, MAX_GROUPS
from twc_customer_server.customers.customer import MAX_TAX_EXEMPTIONS

Text = Annotated[str, Meta(max_length=fields.MAX_TEXT_LENGTH, pattern=checks.PRINTABLE)]
Name = Annotated[
    str, Meta(min_length=1, max_length=fields.MAX_TEXT_LENGTH, pattern=checks.PRINTABLE)
]
Email = Annotated[str, Meta(max_length=fields.MAX_EMAIL_LENGTH, pattern=checks.PRINTABLE)]
ShortText = Annotated[str, Meta(max_length=64, pattern=checks.PRINTABLE)]


class AddressChoice(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """An address, or the id of one."""

    id: str | None = None
    address_name: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    company: Text | None = None
    address1: Text | None = None
    address2: Text | None = None
    city: Text | None = None
    province: Text | None = None
    province_code: Text | None = None
    postcode: Text | None = None
    country: Text | None = None
    country_code: Text | None = None
    phone: ShortText | None = None
    email: Email | None = None
    default_address: bool | None = None

    def __post_init__(self) -> None:
        if self.country_code is not None:
            self.country_code = checks.check_country(self.country_code)


class Address(AddressChoice, rename="camel", omit_defaults=True, kw_only=True):
    """An address of the list, which says something."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(
            getattr(self, name) for name in self.__struct_fields__ if name not in _NO_CONTENT
        ):
            raise checks.wrong(addresses.EMPTY)


_NO_CONTENT = ("id", "default_address")


class Attribute(Struct, omit_defaults=True, kw_only=True):
    """A typed value."""

    attribute_value: Text | None = None
    value_type: checks.ValueType | None = None

    def __post_init__(self) -> None:
        if self.attribute_value is not None:
            checks.check_value(self.attribute_value, self.value_type)


class AttributeGroup(Struct, omit_defaults=True, kw_only=True):
    """A named set of attributes."""

    attribute_group: Text | None = None
    attributes: Annotated[dict[Name, Attribute], Meta(max_length=MAX_ATTRIBUTES)] = {}
    is_obsolete: bool | None = None


class Changes(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What an update gives: the fields that are set replace what is stored."""

    id: str | None = None
    customer_ref: Text | None = None
    email: Email | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    mobile: Text | None = None
    phone: Text | None = None
    dob: Text | None = None
    active: bool | None = None
    accepts_marketing: bool | None = field(default=None, name="accepts_marketing")
    customer_state: checks.State | None = field(default=None, name="customer_state")
    marketing_optin_level: checks.Level | None = field(default=None, name="marketing_optin_level")
    marketing_preferences_updated_at: str | None = field(
        default=None, name="marketing_preferences_updated_at"
    )
    tax_exempt: bool | None = None
    tax_exemptions: Annotated[list[Name], Meta(max_length=MAX_TAX_EXEMPTIONS)] | None = None
    verified_email: bool | None = field(default=None, name="verified_email")
    addresses: Annotated[list[Address], Meta(max_length=MAX_ADDRESSES)] | None = None
    default_address: AddressChoice | None = None
    attribute_groups: Annotated[dict[Name, AttributeGroup], Meta(max_length=MAX_GROUPS)] | None = (
        None
    )

    # The other spellings that the contract admits, which are moved to the first.
    state: checks.State | None = field(default=None, name="customerState")
    chosen: AddressChoice | None = field(default=None, name="default_address")

    def __post_init__(self) -> None:
        self.customer_state, self.state = self.customer_state or self.state, None
        self.default_address, self.chosen = self.default_address or self.chosen, None
        for name, check in _CHECKS:
            if (value := getattr(self, name)) is not None:
                try:
                    setattr(self, name, check(value))
                except ValueError as error:
                    raise ValueError(f"{_JSON_NAMES.get(name, name)}: {error}") from None

    def key(self) -> dict[str, str]:
        """The column, and its value, that selects the customer of an update.

        Raises InvalidInput if there is none.
        """
        return rules.key(self.id, self.customer_ref)

    def given(self) -> dict[str, Any]:
        """What is set, as JSON has it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


_JSON_NAMES = {"customer_ref": "customerRef"}
_CHECKS = (
    ("email", lambda value: checks.check_email(fields.trim(value))),
    ("customer_ref", checks.check_reference),
    ("dob", checks.check_birth),
    ("marketing_preferences_updated_at", checks.check_moment),
)


class New(Changes, rename="camel", omit_defaults=True, kw_only=True):
    """What a creation gives."""

    email: Email
