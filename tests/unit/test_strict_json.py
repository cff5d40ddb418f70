"""The Lua table that says what the JSON of each body is."""

import pytest
from twc.customer.v2 import customer_service_pb2

from twc_customer_gateway import strict_json

SERVICE = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]
SCRIPT = strict_json.script(SERVICE, refuses_unknown=False)
LINES = SCRIPT.splitlines()

STATE = (
    '{is = "enum", names = {state_unspecified = true, disabled = true, invited = true, '
    'enabled = true, declined = true}, wanted = "disabled, invited, enabled or declined"}'
)
CUSTOMER = 'message["twc.customer.v2.Customer"]'
ADDRESS = 'message["twc.customer.v2.Address"]'
MERGE = 'message["twc.customer.v2.MergeCustomersRequest"]'

BODIES = {
    "CreateCustomer": f'{{is = "object", of = {CUSTOMER}}}',
    "UploadCustomers": (
        f'{{is = "list", nulls = true, most = 10000, of = {{is = "object", of = {CUSTOMER}}}}}'
    ),
    "ValidateCustomer": f'{{is = "object", of = {CUSTOMER}}}',
    "UpdateCustomer": f'{{is = "object", of = {CUSTOMER}, clears = true}}',
    "AddCustomerAddress": f'{{is = "object", of = {ADDRESS}}}',
    "UpdateCustomerAddress": f'{{is = "object", of = {ADDRESS}, clears = true}}',
    "MergeCustomers": f'{{is = "object", of = {MERGE}}}',
}

MEMBERS = {
    "customerState": STATE,
    "customer_state": STATE,
    "defaultAddress": f'{{is = "object", of = {ADDRESS}}}',
    "default_address": f'{{is = "object", of = {ADDRESS}}}',
    "addresses": f'{{is = "list", of = {{is = "object", of = {ADDRESS}}}}}',
    "taxExemptions": '{is = "list", of = {is = "text"}}',
    "attributeGroups": (
        '{is = "map", of = {is = "object", of = message["twc.customer.v2.AttributeGroup"]}}'
    ),
    "accepts_marketing": '{is = "boolean"}',
    "createdDate": '{is = "time"}',
    "spendToNextTier": '{is = "number"}',
}

MERGE_MEMBERS = {
    "droppedId": '{is = "text"}',
    "dropped_id": '{is = "text"}',
    "takenFields": '{is = "text"}',
    "validateOnly": '{is = "boolean"}',
}


def test_bodies_in_contract() -> None:
    """The contract has an entry for each RPC with a body, and for no other."""
    entries = [line for line in LINES if line.startswith("CONTRACT[")]

    assert entries == [f'CONTRACT["{rpc}"] = {body}' for rpc, body in BODIES.items()]


@pytest.mark.parametrize(
    ("message", "name", "member"),
    [
        *((CUSTOMER, *it) for it in MEMBERS.items()),
        *((MERGE, *it) for it in MERGE_MEMBERS.items()),
    ],
)
def test_spellings_in_contract(message: str, name: str, member: str) -> None:
    """A member of a message is known by each of its spellings, and by what it is."""
    at = LINES.index(f'  {message}["{name}"] = member')
    start = max(i for i in range(at) if LINES[i].startswith("do local member"))

    assert LINES[start] == f"do local member = {member}"
    assert "end" not in LINES[start:at]


def test_path_in_whole_body() -> None:
    """A body that is the whole request must not have what the path has."""
    refused = f'{MERGE}["id"] = {{is = "path", wanted = "left out: it is in the path"}}'

    assert LINES.index(refused) > LINES.index(f'  {MERGE}["id"] = member')


def test_contract_before_script() -> None:
    """The script that reads the contract comes after it."""
    assert SCRIPT.index("CONTRACT = {}") < SCRIPT.index("function envoy_on_request(handle)")
