"""Pydantic models of requests.

Types, lengths and characters are declared, so that Pydantic's compiled core
validates them. The service's functions validate e-mail addresses, countries,
dates and typed values.
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
    OptinLevel,
    State,
    ValueType,
)


def _text(length: int = MAX_TEXT_LENGTH) -> StringConstraints:
    return StringConstraints(max_length=length, pattern=PRINTABLE)


Text = Annotated[str, _text()]
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH, pattern=PRINTABLE)
]
Email = Annotated[
    str,
    StringConstraints(max_length=MAX_EMAIL_LENGTH, pattern=PRINTABLE, strip_whitespace=True),
    AfterValidator(service_rules.check_email),
]
Moment = Annotated[str, AfterValidator(service_rules.check_moment)]


class _RequestModel(BaseModel):
    """A message of a request: unknown members are ignored, and types are not converted."""

    model_config = ConfigDict(alias_generator=AliasGenerator(alias=to_camel), strict=True)


class DefaultAddress(_RequestModel):
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
    country_code: Annotated[Text, AfterValidator(service_rules.check_country)] | None = None
    phone: Annotated[str, _text(PHONE_LENGTH)] | None = None
    email: Annotated[str, _text(MAX_EMAIL_LENGTH)] | None = None
    default_address: bool | None = None


class Address(DefaultAddress):
    """An address of the list, which must not be empty."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(
            value for name, value in self.__dict__.items() if name not in ("id", "default_address")
        ):
            raise service_rules.rule_error(EMPTY)
        return self


class Attribute(_RequestModel):
    """A typed value."""

    attribute_value: Annotated[Text | None, Field(alias="attribute_value")] = None
    value_type: Annotated[ValueType | None, Field(alias="value_type")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.attribute_value is not None:
            service_rules.check_value(self.attribute_value, self.value_type)
        return self


class AttributeGroup(_RequestModel):
    """A named set of attributes."""

    attribute_group: Annotated[Text | None, Field(alias="attribute_group")] = None
    attributes: Annotated[dict[Name, Attribute], Field(max_length=MAX_ATTRIBUTES)] = {}
    is_obsolete: Annotated[bool | None, Field(alias="is_obsolete")] = None


class CustomerUpdate(_RequestModel):
    """The customer of an update: fields that are set replace the stored ones."""

    id: str | None = None
    customer_ref: Annotated[Text, AfterValidator(service_rules.check_reference)] | None = None
    email: Email | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    mobile: Text | None = None
    phone: Text | None = None
    dob: Annotated[Text, AfterValidator(service_rules.check_birth)] | None = None
    active: bool | None = None
    accepts_marketing: Annotated[bool | None, Field(alias="accepts_marketing")] = None
    customer_state: Annotated[
        State | None,
        Field(
            validation_alias=AliasChoices("customer_state", "customerState"),
            serialization_alias="customer_state",
        ),
    ] = None
    marketing_optin_level: Annotated[OptinLevel | None, Field(alias="marketing_optin_level")] = None
    marketing_preferences_updated_at: Annotated[
        Moment | None, Field(alias="marketing_preferences_updated_at")
    ] = None
    tax_exempt: bool | None = None
    tax_exemptions: Annotated[list[Name], Field(max_length=MAX_TAX_EXEMPTIONS)] | None = None
    verified_email: Annotated[bool | None, Field(alias="verified_email")] = None
    addresses: Annotated[list[Address], Field(max_length=MAX_ADDRESSES)] | None = None
    default_address: Annotated[
        DefaultAddress | None,
        Field(
            validation_alias=AliasChoices("defaultAddress", "default_address"),
            serialization_alias="defaultAddress",
        ),
    ] = None
    attribute_groups: Annotated[dict[Name, AttributeGroup], Field(max_length=MAX_GROUPS)] | None = (
        None
    )

    def selector(self) -> dict[str, str]:
        """Returns the column and value that select the customer. Raises InvalidInput."""
        return rules.selector(self.id, self.customer_ref)

    def members(self) -> dict[str, Any]:
        """Returns the JSON members that are set."""
        return self.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)


class NewCustomer(CustomerUpdate):
    """The customer of a creation."""

    email: Email
