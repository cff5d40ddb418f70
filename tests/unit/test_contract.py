"""What clients rely on of the contract: routes, names and numbers."""

import re
from importlib import resources
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from twc.customer.v2 import customer_pb2, customer_service_pb2, error_reason_pb2
from twc.customer.v2.customer_pb2 import (
    Address,
    Attribute,
    AttributeGroup,
    Customer,
    OptinPreferences,
)

from twc_customer_gateway.matchers import HttpRoute, http_routes
from twc_customer_server.contract import LONG_LIVED_RPCS

SERVICE = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]
ROUTES = {f"{route.rpc.name} {route.method} {route.path}": route for route in http_routes(SERVICE)}

# For each RPC its method and path, the field that is the body, and the query parameters.
PLACES: list[tuple[str, str, str, list[str]]] = [
    ("CreateCustomer", "POST /api/v2/customers", "customer", []),
    ("UploadCustomers", "POST /api/v2/upload-customers", "customer", ["atomic"]),
    ("ValidateCustomer", "POST /api/v2/customers/validate", "customer", []),
    (
        "UpdateCustomer",
        "PUT /api/v2/customers",
        "customer",
        ["updateMask", "key", "clearedFields"],
    ),
    (
        "UpdateCustomer",
        "PUT /api/v2/customers/{key}",
        "customer",
        ["updateMask", "clearedFields"],
    ),
    ("AddCustomerAddress", "POST /api/v2/customers/{id}/address", "address", []),
    (
        "UpdateCustomerAddress",
        "PUT /api/v2/customers/{id}/address/{address_id}",
        "address",
        ["clearedFields"],
    ),
    (
        "DeleteCustomerAddress",
        "DELETE /api/v2/customers/{id}/address/{address_id}",
        "",
        [],
    ),
    ("MergeCustomers", "POST /api/v2/customers/{id}/merge", "*", []),
    ("GetCustomer", "GET /api/v2/customers/{id}", "", []),
    ("GetCustomerByRef", "GET /api/v2/customers/{customer_ref}/ref", "", []),
    (
        "GetCustomerByAlternateRef",
        "GET /api/v2/customers/{alternate_customer_ref}/alternateCustomerRef",
        "",
        [],
    ),
    ("GetCustomerByEmail", "GET /api/v2/customers/{email}/email", "", []),
    (
        "LookupCustomers",
        "GET /api/v2/customers/search",
        "",
        ["email", "firstName", "lastName", "mobile", "phone", "pageSize", "pageToken"],
    ),
    (
        "ListCustomers",
        "GET /api/v2/customers",
        "",
        ["filter", "orderBy", "pageSize", "pageToken"],
    ),
    ("DeleteCustomer", "DELETE /api/v2/customers/{id}", "", []),
    ("DeleteCustomerByRef", "DELETE /api/v2/customers/{customer_ref}/ref", "", ["id"]),
    ("DeleteCustomerByRef", "DELETE /api/v2/customers", "", ["customerRef", "id"]),
    ("RestoreCustomer", "POST /api/v2/customers/{id}/restore", "", []),
    ("EraseCustomer", "POST /api/v2/customers/{id}/erase", "", []),
    (
        "ListCustomerChanges",
        "GET /api/v2/customers/changes",
        "",
        ["cursor", "waitSeconds", "pageSize", "fromNow"],
    ),
]

JSON_NAMES: dict[type[Message], set[str]] = {
    Customer: {
        "accepts_marketing",
        "active",
        "addresses",
        "alternateCustomerRef",
        "attributeGroups",
        "createdDate",
        "customerRef",
        "customer_state",
        "defaultAddress",
        "dob",
        "email",
        "firstName",
        "id",
        "joinedStoreId",
        "lastModifiedDate",
        "lastName",
        "loyaltyTier",
        "marketing_optin_level",
        "marketing_preferences_updated_at",
        "memberSince",
        "mergedInto",
        "mobile",
        "optin_preferences",
        "phone",
        "spendToNextTier",
        "taxExempt",
        "taxExemptions",
        "verified_email",
        "vipStatus",
    },
    Address: {
        "address1",
        "address2",
        "addressName",
        "addressRef",
        "addressType",
        "building",
        "city",
        "company",
        "country",
        "countryCode",
        "customerId",
        "defaultAddress",
        "email",
        "firstName",
        "id",
        "lastName",
        "level",
        "name",
        "phone",
        "postcode",
        "province",
        "provinceCode",
    },
    AttributeGroup: {"attribute_group", "attributes", "description", "is_obsolete"},
    OptinPreferences: {"email", "sms"},
    Attribute: {"attribute_value", "value_type"},
}

ENUMS = {
    "State": (
        Customer.State,
        {"state_unspecified": 0, "disabled": 1, "invited": 2, "enabled": 3, "declined": 4},
    ),
    "MarketingOptinLevel": (
        Customer.MarketingOptinLevel,
        {
            "marketing_optin_level_unspecified": 0,
            "single_opt_in": 1,
            "confirmed_opt_in": 2,
            "unknown": 3,
        },
    ),
    "ValueType": (
        Attribute.ValueType,
        {
            "VALUE_TYPE_UNSPECIFIED": 0,
            "INTEGER": 1,
            "NUMBER": 2,
            "STRING": 3,
            "BLOB": 4,
            "DATE": 5,
        },
    ),
    "ErrorReason": (
        error_reason_pb2.ErrorReason,
        {
            "ERROR_REASON_UNSPECIFIED": 0,
            "INVALID_INPUT": 1,
            "MALFORMED_REQUEST": 2,
            "INVALID_TENANT": 3,
            "RESOURCE_NOT_FOUND": 4,
            "ALREADY_EXISTS": 5,
            "ID_MISMATCH": 6,
            "REQUEST_TOO_LARGE": 7,
            "RATE_LIMITED": 8,
            "ROUTE_NOT_FOUND": 9,
            "METHOD_NOT_ALLOWED": 10,
            "UNSUPPORTED_MEDIA_TYPE": 11,
            "SERVICE_UNAVAILABLE": 12,
            "DEADLINE_EXCEEDED": 13,
            "INTERNAL_ERROR": 14,
            "UNAUTHENTICATED": 15,
            "TENANT_FORBIDDEN": 16,
            "ETAG_MISMATCH": 17,
            "IDEMPOTENCY_KEY_REUSED": 18,
            "ORIGIN_FORBIDDEN": 19,
            "CURSOR_EXPIRED": 20,
            "DATABASE_DAMAGED": 21,
            "SCOPE_REQUIRED": 22,
            "NOT_DELETED": 23,
            "ALREADY_MERGED": 24,
            "OUTCOME_UNKNOWN": 25,
        },
    ),
}

MESSAGES = [
    message
    for file in (customer_pb2, customer_service_pb2)
    for message in file.DESCRIPTOR.message_types_by_name.values()
]


def _bound(route: HttpRoute) -> list[FieldDescriptor]:
    """The fields of a request that the path or the query of its route sets."""
    fields = route.rpc.input_type.fields_by_name
    return [*(fields[name] for name in re.findall(r"{(\w+)}", route.path)), *route.query]


def test_route_of_every_rpc() -> None:
    """Each RPC is at its documented methods and paths, with the documented body and query."""
    found = [
        (
            route.rpc.name,
            f"{route.method} {route.path}",
            route.body,
            [field.json_name for field in route.query],
        )
        for route in ROUTES.values()
    ]

    assert found == PLACES
    names = dict.fromkeys(name for name, *_ in PLACES)
    assert [rpc.name for rpc in SERVICE.methods] == [*names, *LONG_LIVED_RPCS]


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_presence_of_bound_fields(route: HttpRoute) -> None:
    """A field that path or query sets has presence, so that neither can override the other."""
    assert [field.name for field in _bound(route) if not field.has_presence] == []


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_presence_of_single_fields(message: Descriptor) -> None:
    """Every field but lists and maps can be told from one that is not set."""
    single = [field for field in message.fields if not field.is_repeated]

    assert [field.name for field in single if not field.has_presence] == []


@pytest.mark.parametrize(
    ("message", "names"), JSON_NAMES.items(), ids=[each.DESCRIPTOR.name for each in JSON_NAMES]
)
def test_json_names(message: type[Message], names: set[str]) -> None:
    """Fields have the names of the documented samples, and of the public API, in JSON."""
    assert {field.json_name for field in message.DESCRIPTOR.fields} == names


@pytest.mark.parametrize(("enum", "values"), ENUMS.values(), ids=ENUMS)
def test_enum_values(enum: Any, values: dict[str, int]) -> None:
    """The values of an enum have the documented names, and their numbers for good."""
    assert dict(enum.items()) == values


@pytest.mark.parametrize("name", ["customer_state", "customerState"])
def test_two_names_of_state(name: str) -> None:
    """The state is read by both documented names and written by one."""
    customer = json_format.ParseDict({name: "invited"}, Customer())

    assert json_format.MessageToDict(customer) == {"customer_state": "invited"}


@pytest.mark.parametrize("name", ["defaultAddress", "default_address"])
def test_two_names_of_default_address(name: str) -> None:
    """The default address is read by both documented names and written by one."""
    customer = json_format.ParseDict({name: {"city": "Rom"}}, Customer())

    assert json_format.MessageToDict(customer) == {"defaultAddress": {"city": "Rom"}}


def test_types_of_generated_package() -> None:
    """Type checkers of clients read the types of messages and stubs."""
    package = resources.files("twc.customer.v2")

    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("customer_pb2.pyi").is_file()
    assert package.joinpath("customer_service_pb2_grpc.pyi").is_file()
