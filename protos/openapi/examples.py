"""Requests of the examples and their responses, which a test compares with a service's."""

from typing import Any, NamedTuple


class Example(NamedTuple):
    """A request's body, None without one, and the response's; ids and dates are of the moment."""

    request: Any
    response: Any


ID = "01a2170c-edf1-7080-83b7-a7c771031e15"
OTHER_ID = "01a2170c-f5d3-7a10-9c54-2b90d1c7e6f8"
ADDRESS_ID = "01a2170c-edf1-7080-83b7-a7c8b2c1a0d4"
ADDRESS = {
    "addressName": "Home",
    "address1": "1 Byron Street",
    "city": "London",
    "postcode": "W1A 1AA",
    "countryCode": "GB",
}
_REQUEST = {
    "email": "ada@example.com",
    "firstName": "Ada",
    "lastName": "Lovelace",
    "mobile": "+44 7700 900123",
    "customerRef": "A-1815",
    "addresses": [ADDRESS],
}
_STORED_ADDRESS = ADDRESS | {"id": ADDRESS_ID, "customerId": ID, "defaultAddress": True}
_CUSTOMER = _REQUEST | {
    "id": ID,
    "mobile": "+447700900123",
    "active": True,
    "accepts_marketing": False,
    "customer_state": "disabled",
    "taxExempt": False,
    "taxExemptions": [],
    "verified_email": False,
    "addresses": [_STORED_ADDRESS],
    "defaultAddress": _STORED_ADDRESS,
    "attributeGroups": {},
    "createdDate": "2026-05-28T10:00:00.001Z",
    "lastModifiedDate": "2026-05-28T10:00:00.001Z",
}

# By the name of the RPC, in the order in which they can be tried one after the other.
EXAMPLES = {
    "CreateCustomer": Example(_REQUEST, _CUSTOMER),
    "GetCustomer": Example(None, _CUSTOMER),
    "GetCustomerByRef": Example(None, _CUSTOMER),
    "LookupCustomers": Example(None, [_CUSTOMER]),
    "UpdateCustomer": Example(
        {"id": ID, "lastName": "King"},
        _CUSTOMER | {"lastName": "King", "lastModifiedDate": "2026-05-28T11:00:00.001Z"},
    ),
}
