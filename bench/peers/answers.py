"""Customers as answers have them, which Pydantic writes from the rows of any ORM.

They are declared apart from what requests hold: what is stored has been checked
and is only written. What is nested is declared as typed dictionaries, as
Pydantic advises where speed matters.
"""

from typing import Any

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, TypeAdapter, with_config
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

# Or they would take the names that the customer's are given.
_AS_STORED = ConfigDict()


@with_config(_AS_STORED)
class AddressAnswer(TypedDict, total=False):
    """An address as it is stored in JSON."""

    id: str
    customerId: str
    addressName: str
    firstName: str
    lastName: str
    company: str
    address1: str
    address2: str
    city: str
    province: str
    provinceCode: str
    postcode: str
    country: str
    countryCode: str
    phone: str
    email: str
    defaultAddress: bool


@with_config(_AS_STORED)
class AttributeAnswer(TypedDict, total=False):
    """A typed value as it is stored in JSON."""

    attribute_value: str
    value_type: str


@with_config(_AS_STORED)
class AttributeGroupAnswer(TypedDict, total=False):
    """A set of attributes as it is stored in JSON."""

    attribute_group: str
    attributes: dict[str, AttributeAnswer]
    is_obsolete: bool


class CustomerAnswer(BaseModel):
    """A customer, read from the attributes of a row; what is None is left out."""

    model_config = ConfigDict(
        from_attributes=True, alias_generator=AliasGenerator(serialization_alias=to_camel)
    )

    id: str
    customer_ref: str | None
    email: str
    first_name: str | None
    last_name: str | None
    mobile: str | None
    phone: str | None
    dob: str | None
    active: bool
    accepts_marketing: bool = Field(serialization_alias="accepts_marketing")
    customer_state: str = Field(serialization_alias="customer_state")
    marketing_optin_level: str | None = Field(serialization_alias="marketing_optin_level")
    marketing_preferences_updated_at: str | None = Field(
        serialization_alias="marketing_preferences_updated_at"
    )
    tax_exempt: bool
    tax_exemptions: list[str]
    verified_email: bool = Field(serialization_alias="verified_email")
    addresses: list[AddressAnswer]
    default_address: AddressAnswer | None
    attribute_groups: dict[str, AttributeGroupAnswer]
    created_date: str
    last_modified_date: str


_ONE = TypeAdapter(CustomerAnswer)
_MANY = TypeAdapter(list[CustomerAnswer])


def write(row: Any) -> bytes:
    """The JSON of a row."""
    answer = CustomerAnswer.model_validate(row)
    return _ONE.dump_json(answer, by_alias=True, exclude_none=True)


def write_list(rows: list[Any]) -> bytes:
    """The JSON of some rows."""
    answers = _MANY.validate_python(rows, from_attributes=True)
    return _MANY.dump_json(answers, by_alias=True, exclude_none=True)
