"""Customers as Pydantic models: what requests may hold.

Types, lengths and characters are declared, so that Pydantic checks them in its
compiled core; what is an e-mail address, a country, a date or a typed value the
service's own functions say.
"""

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

from bench.peers import checks, rules
from bench.peers.checks import PRINTABLE, Level, State, ValueType
from twc_customer_server.customers import addresses, fields
from twc_customer_server.customers.addresses import MAX_ADDRESSES
from twc_customer_server.customers.attributes import MAX_ATTRIBUTES, MAX_GROUPS
from twc_customer_server.customers.customer import MAX_TAX_EXEMPTIONS


def _text(length: int = fields.MAX_TEXT_LENGTH) -> StringConstraints:
    return StringConstraints(max_length=length, pattern=PRINTABLE)


Text = Annotated[str, _text()]
Name = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=PRINTABLE)]
Email = Annotated[
    str,
    StringConstraints(max_length=fields.MAX_EMAIL_LENGTH, pattern=PRINTABLE, strip_whitespace=True),
    AfterValidator(checks.check_email),
]
Moment = Annotated[str, AfterValidator(checks.check_moment)]


class _Given(BaseModel):
    """What a request holds: members that are not known are ignored, and types are exact."""

    model_config = ConfigDict(alias_generator=AliasGenerator(alias=to_camel), strict=True)


class AddressChoice(_Given):
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
    country_code: Annotated[Text, AfterValidator(checks.check_country)] | None = None
    phone: Annotated[str, _text(64)] | None = None
    email: Annotated[str, _text(fields.MAX_EMAIL_LENGTH)] | None = None
    default_address: bool | None = None


class Address(AddressChoice):
    """An address of the list, which says something."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(
            value for name, value in self.__dict__.items() if name not in ("id", "default_address")
        ):
            raise checks.wrong(addresses.EMPTY)
        return self


class Attribute(_Given):
    """A typed value."""

    attribute_value: Annotated[Text | None, Field(alias="attribute_value")] = None
    value_type: Annotated[ValueType | None, Field(alias="value_type")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.attribute_value is not None:
            checks.check_value(self.attribute_value, self.value_type)
        return self


class AttributeGroup(_Given):
    """A named set of attributes."""

    attribute_group: Annotated[Text | None, Field(alias="attribute_group")] = None
    attributes: Annotated[dict[Name, Attribute], Field(max_length=MAX_ATTRIBUTES)] = {}
    is_obsolete: Annotated[bool | None, Field(alias="is_obsolete")] = None


class Changes(_Given):
    """What an update gives: the fields that are set replace what is stored."""

    id: str | None = None
    customer_ref: Annotated[Text, AfterValidator(checks.check_reference)] | None = None
    email: Email | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    mobile: Text | None = None
    phone: Text | None = None
    dob: Annotated[Text, AfterValidator(checks.check_birth)] | None = None
    active: bool | None = None
    accepts_marketing: Annotated[bool | None, Field(alias="accepts_marketing")] = None
    customer_state: Annotated[
        State | None,
        Field(
            validation_alias=AliasChoices("customer_state", "customerState"),
            serialization_alias="customer_state",
        ),
    ] = None
    marketing_optin_level: Annotated[Level | None, Field(alias="marketing_optin_level")] = None
    marketing_preferences_updated_at: Annotated[
        Moment | None, Field(alias="marketing_preferences_updated_at")
    ] = None
    tax_exempt: bool | None = None
    tax_exemptions: Annotated[list[Name], Field(max_length=MAX_TAX_EXEMPTIONS)] | None = None
    verified_email: Annotated[bool | None, Field(alias="verified_email")] = None
    addresses: Annotated[list[Address], Field(max_length=MAX_ADDRESSES)] | None = None
    default_address: Annotated[
        AddressChoice | None,
        Field(
            validation_alias=AliasChoices("defaultAddress", "default_address"),
            serialization_alias="defaultAddress",
        ),
    ] = None
    attribute_groups: Annotated[dict[Name, AttributeGroup], Field(max_length=MAX_GROUPS)] | None = (
        None
    )

    def key(self) -> dict[str, str]:
        """The column, and its value, that selects the customer of an update.

        Raises InvalidInput if there is none.
        """
        return rules.key(self.id, self.customer_ref)

    def given(self) -> dict[str, Any]:
        """What is set, as JSON has it."""
        return self.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)


class New(Changes):
    """What a creation gives."""

    email: Email
