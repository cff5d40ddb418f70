"""Pydantic models of responses, which serialize the rows of an ORM.

They are not the models of requests, since stored values need no validation.
Nested values are typed dictionaries, as Pydantic advises for speed.
"""

from typing import Any

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, TypeAdapter, with_config
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

# Without it they would inherit the aliases of CustomerResponse.
_AS_STORED = ConfigDict()


@with_config(_AS_STORED)
class AddressResponse(TypedDict, total=False):
    """An address, as the column has it."""

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
class AttributeResponse(TypedDict, total=False):
    """A typed value, as the column has it."""

    attribute_value: str
    value_type: str


@with_config(_AS_STORED)
class AttributeGroupResponse(TypedDict, total=False):
    """A set of attributes, as the column has it."""

    attribute_group: str
    attributes: dict[str, AttributeResponse]
    is_obsolete: bool


class CustomerResponse(BaseModel):
    """A customer, read from the attributes of a row."""

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
    addresses: list[AddressResponse]
    default_address: AddressResponse | None
    attribute_groups: dict[str, AttributeGroupResponse]
    created_date: str
    last_modified_date: str


_ADAPTER = TypeAdapter(CustomerResponse)
_LIST_ADAPTER = TypeAdapter(list[CustomerResponse])


def serialize(row: Any) -> bytes:
    """Returns the JSON of a row, without members for None."""
    response = CustomerResponse.model_validate(row)
    return _ADAPTER.dump_json(response, by_alias=True, exclude_none=True)


def serialize_list(rows: list[Any]) -> bytes:
    """Returns the JSON of a list of rows."""
    responses = _LIST_ADAPTER.validate_python(rows, from_attributes=True)
    return _LIST_ADAPTER.dump_json(responses, by_alias=True, exclude_none=True)
