"""msgspec structs of requests, for Litestar.

Types, lengths and characters are declared. The service's functions validate
e-mail addresses, countries, dates and typed values.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from bench.peers import rules, service_rules
from bench.peers.service_rules import (
    EMPTY,
    MAX_ADDRESSES,
    MAX_ATTRIBUTES,
    MAX_EMAIL_LENGTH,
    MAX_GROUPS,
    MAX_TAX_EXEMPTIONS,
    MAX_TEXT_LENGTH,
    PHONE_LENGTH,
    PRINTABLE,
)

Text = Annotated[str, Meta(max_length=MAX_TEXT_LENGTH, pattern=PRINTABLE)]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_LENGTH, pattern=PRINTABLE)]
Email = Annotated[str, Meta(max_length=MAX_EMAIL_LENGTH, pattern=PRINTABLE)]
ShortText = Annotated[str, Meta(max_length=PHONE_LENGTH, pattern=PRINTABLE)]


class DefaultAddress(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The address to be the default: an id, a content, or both."""

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
            self.country_code = service_rules.check_country(self.country_code)


class Address(DefaultAddress, rename="camel", omit_defaults=True, kw_only=True):
    """An address of the list, which must not be empty."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(
            getattr(self, name) for name in self.__struct_fields__ if name not in _NO_CONTENT
        ):
            raise service_rules.rule_error(EMPTY)


_NO_CONTENT = ("id", "default_address")


class Attribute(Struct, omit_defaults=True, kw_only=True):
    """A typed value."""

    attribute_value: Text | None = None
    value_type: service_rules.ValueType | None = None

    def __post_init__(self) -> None:
        if self.attribute_value is not None:
            service_rules.check_value(self.attribute_value, self.value_type)


class AttributeGroup(Struct, omit_defaults=True, kw_only=True):
    """A named set of attributes."""

    attribute_group: Text | None = None
    attributes: Annotated[dict[Name, Attribute], Meta(max_length=MAX_ATTRIBUTES)] = {}
    is_obsolete: bool | None = None


class CustomerUpdate(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The customer of an update: fields that are set replace the stored ones."""

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
    customer_state: service_rules.State | None = field(default=None, name="customer_state")
    marketing_optin_level: service_rules.OptinLevel | None = field(
        default=None, name="marketing_optin_level"
    )
    marketing_preferences_updated_at: str | None = field(
        default=None, name="marketing_preferences_updated_at"
    )
    tax_exempt: bool | None = None
    tax_exemptions: Annotated[list[Name], Meta(max_length=MAX_TAX_EXEMPTIONS)] | None = None
    verified_email: bool | None = field(default=None, name="verified_email")
    addresses: Annotated[list[Address], Meta(max_length=MAX_ADDRESSES)] | None = None
    default_address: DefaultAddress | None = None
    attribute_groups: Annotated[dict[Name, AttributeGroup], Meta(max_length=MAX_GROUPS)] | None = (
        None
    )

    # Other spellings that the contract accepts.
    other_state: service_rules.State | None = field(default=None, name="customerState")
    other_default_address: DefaultAddress | None = field(default=None, name="default_address")

    def __post_init__(self) -> None:
        self.customer_state, self.other_state = self.customer_state or self.other_state, None
        self.default_address, self.other_default_address = (
            self.default_address or self.other_default_address,
            None,
        )
        for name, check in _CHECKS:
            if (value := getattr(self, name)) is not None:
                try:
                    setattr(self, name, check(value))
                except ValueError as error:
                    raise ValueError(f"{_JSON_NAMES.get(name, name)}: {error}") from None

    def selector(self) -> dict[str, str]:
        """Returns the column and value that select the customer. Raises InvalidInput."""
        return rules.selector(self.id, self.customer_ref)

    def members(self) -> dict[str, Any]:
        """Returns the JSON members that are set."""
        members: dict[str, Any] = msgspec.to_builtins(self)
        return members


_JSON_NAMES = {"customer_ref": "customerRef"}
_CHECKS = (
    ("email", lambda value: service_rules.check_email(service_rules.trim(value))),
    ("customer_ref", service_rules.check_reference),
    ("dob", service_rules.check_birth),
    ("marketing_preferences_updated_at", service_rules.check_moment),
)


class NewCustomer(CustomerUpdate, rename="camel", omit_defaults=True, kw_only=True):
    """The customer of a creation."""

    email: Email
