"""What every RPC refuses at the door: calls without a tenant, and what cannot be read."""

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Attribute, AttributeGroup, Customer

from tests.support.backends import any_backend
from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import (
    SERVICE,
    Client,
    Failure,
    Metadata,
    as_tenant,
    failure,
    read_failure,
    send,
    tenant_header,
)
from tests.support.servers import of_grpcio
from tests.support.steps import EXAMPLES
from twc_customer_server.contract import WAITING_RPCS

RPCS = [method.name for method in SERVICE.methods]
REQUESTS = {method.name: GetMessageClass(method.input_type) for method in SERVICE.methods}
each_rpc = pytest.mark.parametrize("rpc", RPCS)
# Calls of the others may wait for changes that do not come.
ENDING = [rpc for rpc in RPCS if rpc not in WAITING_RPCS]

NO_TENANT: dict[str, Metadata] = {
    "missing": as_tenant("acme")[:1],
    "empty": as_tenant(""),
    "blank": as_tenant(" "),
    "duplicated": (*as_tenant("acme"), tenant_header("acme")),
    "two": (*as_tenant("acme"), tenant_header("other")),
    "list": as_tenant("acme,other"),
    "too long": as_tenant("a" * 65),
    "slash": as_tenant("acme/other"),
    "inner space": as_tenant("acme other"),
    "wildcard": as_tenant("*"),
    "other header": (*as_tenant("acme")[:1], ("x-tenant", "acme")),
    "dots": as_tenant(".."),
}

# Encodings that no request has: text that is not UTF-8, and messages cut short.
MALFORMED = {
    "CreateCustomer": b"\x0a\x04\x1a\x02\xff\xfe",
    "UploadCustomers": b"\x0a\x04\x1a\x02\xff\xfe",
    "ValidateCustomer": b"\x0a\x04\x1a\x02\xc3\x28",
    "UpdateCustomer": b"\x0a\x05\x0a\x03\xed\xa0\x80",
    "AddCustomerAddress": b"\x0a\x02\xff\xfe",
    "UpdateCustomerAddress": b"\x12\x02\xff\xfe",
    "DeleteCustomerAddress": b"\x12\x01\xff",
    "MergeCustomers": b"\x12\x01\xff",
    "GetCustomer": b"\x0a\x01\xff",
    "GetCustomerByAlternateRef": b"\x0a\x01\xff",
    "GetCustomerByEmail": b"\x0a\x02\x80",
    "GetCustomerByRef": b"\x0a\x7fshort",
    "LookupCustomers": b"\x0a\x01\x80",
    "ListCustomers": b"\x0a\x01\x80",
    "DeleteCustomer": b"\x0a",
    "DeleteCustomerByRef": b"\x0f",
    "RestoreCustomer": b"\x0a\x01\x80",
    "EraseCustomer": b"\x0a\x02\x80",
    "ImportCustomers": b"\x0a\x02\x12",
    "ExportCustomers": b"\x1a\x01\x80",
    "ListCustomerChanges": b"\x0a\x01\x80",
    "WatchCustomers": b"\x0a\x01\x80",
}

# What no request, whatever it holds, may fail with otherwise than.
CLIENT_FAULTS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
}
FUZZ = as_tenant("fuzz")


def outcome(channel: grpc.Channel, rpc: str, encoded: bytes) -> Failure | None:
    """Calls an RPC with one request of any bytes; returns how it failed, or None."""
    try:
        send(channel, rpc, encoded, FUZZ)
    except grpc.RpcError as error:
        return read_failure(error)
    return None


def is_readable(rpc: str, encoded: bytes) -> bool:
    """Tells whether bytes are an encoding of an RPC's request."""
    try:
        REQUESTS[rpc].FromString(encoded)
    except DecodeError:
        return False
    return True


def check_outcome(channel: grpc.Channel, rpc: str, encoded: bytes) -> None:
    """Asserts that a call succeeds or fails by its client's fault, and is malformed if it is."""
    failed = outcome(channel, rpc, encoded)
    assert failed is None or failed.code in CLIENT_FAULTS
    assert failed is None or failed.domain == "customer.twc"
    malformed = failed is not None and failed.reason == "MALFORMED_REQUEST"
    assert malformed is not is_readable(rpc, encoded)


@any_backend
@each_rpc
@pytest.mark.parametrize("metadata", NO_TENANT.values(), ids=NO_TENANT)
def test_no_tenant(channel: grpc.Channel, rpc: str, metadata: Metadata) -> None:
    """A call that names no single valid tenant is told so, before anything else is looked at."""
    refused = failure(lambda: send(channel, rpc, b"", metadata))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.reason, refused.domain) == ("INVALID_TENANT", "customer.twc")
    assert refused.fields == {}


@any_backend
@each_rpc
def test_malformed_request_without_tenant(channel: grpc.Channel, rpc: str) -> None:
    """The tenant comes before the bytes of the request."""
    refused = failure(lambda: send(channel, rpc, MALFORMED[rpc], as_tenant("acme")[:1]))
    assert refused.reason == "INVALID_TENANT"


@any_backend
@pytest.mark.parametrize("name", ["a", "A-Z_0.9", "a" * 64, "-", "...", ".a", "0"])
def test_valid_tenant_names(channel: grpc.Channel, name: str) -> None:
    """Letters, digits, dots, underscores and hyphens, up to 64 of them, name a tenant."""
    request = pb.GetCustomerRequest(id=UNKNOWN_ID).SerializeToString()
    assert send(channel, "GetCustomer", request, as_tenant(name)) == [b""]


@of_grpcio
@any_backend
@pytest.mark.parametrize(("number", "size"), [(1, 140_000), (5_000, 10)])
def test_too_large_headers(channel: grpc.Channel, client: Client, number: int, size: int) -> None:
    """Headers beyond what is read get a status, and the connection serves other calls."""
    more = tuple((f"x-{each}", "x" * size) for each in range(number))
    encoded = pb.GetCustomerRequest(id=UNKNOWN_ID).SerializeToString()
    refused = failure(lambda: send(channel, "GetCustomer", encoded, (*as_tenant("acme"), *more)))
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.get(UNKNOWN_ID) == Customer()


@each_rpc
def test_malformed_request(channel: grpc.Channel, tenant: str, rpc: str) -> None:
    """Bytes that are no encoding of the request are refused as such."""
    refused = failure(lambda: send(channel, rpc, MALFORMED[rpc], as_tenant(tenant)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.reason, refused.domain) == ("MALFORMED_REQUEST", "customer.twc")


@any_backend
@EXAMPLES
@given(rpc=st.sampled_from(ENDING), encoded=st.binary(max_size=64))
def test_random_bytes(channel: grpc.Channel, rpc: str, encoded: bytes) -> None:
    """No bytes make an RPC fail by the server's fault."""
    check_outcome(channel, rpc, encoded)


WHOLE = pb.CreateCustomerRequest(
    customer=Customer(
        email="ada@example.com",
        first_name="Zoë",
        addresses=[Address(city="Zürich")],
        created_date=Timestamp(seconds=1, nanos=1),
        attribute_groups={
            "shoe": AttributeGroup(attributes={"size": Attribute(value_type="DATE")})
        },
    )
).SerializeToString()


@any_backend
@EXAMPLES
@given(
    rpc=st.sampled_from(["CreateCustomer", "UpdateCustomer", "UploadCustomers"]),
    place=st.integers(0, len(WHOLE) - 1),
    byte=st.none() | st.integers(0, 255),
)
def test_damaged_bytes(channel: grpc.Channel, rpc: str, place: int, byte: int | None) -> None:
    """No request that is cut short or garbled makes an RPC fail by the server's fault."""
    rest = b"" if byte is None else bytes([byte]) + WHOLE[place + 1 :]
    check_outcome(channel, rpc, WHOLE[:place] + rest)


texts = st.text(max_size=20) | st.sampled_from(
    ["", " ", "\x00", "a@b.co", "+491701234567", "0001-01-01T00:00:00+23:59", "١٢٣", "\U0010ffff"]
)
timestamps = st.builds(
    Timestamp, seconds=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(-(2**31), 2**31 - 1)
)
enums: Any = st.integers(-(2**31), 2**31 - 1) | st.integers(0, 6)
addresses = st.builds(
    Address, id=texts, city=texts, country_code=texts, phone=texts, default_address=st.booleans()
)
attributes = st.builds(Attribute, attribute_value=texts, value_type=enums)
groups = st.builds(
    AttributeGroup,
    attribute_group=texts,
    attributes=st.dictionaries(texts, attributes, max_size=2),
)
customers = st.builds(
    Customer,
    id=texts,
    email=texts | st.emails(),
    customer_ref=texts,
    first_name=texts,
    mobile=texts,
    phone=texts,
    dob=texts | st.datetimes().map(str),
    accepts_marketing=st.booleans(),
    customerState=enums,
    marketing_optin_level=enums,
    marketing_preferences_updated_at=timestamps,
    addresses=st.lists(addresses, max_size=2),
    default_address=st.none() | addresses,
    attribute_groups=st.dictionaries(texts, groups, max_size=2),
    created_date=timestamps,
)
requests: st.SearchStrategy[tuple[str, Message]] = st.one_of(
    st.builds(pb.CreateCustomerRequest, customer=customers).map(lambda it: ("CreateCustomer", it)),
    st.builds(pb.UpdateCustomerRequest, customer=customers).map(lambda it: ("UpdateCustomer", it)),
    st.builds(
        pb.LookupCustomersRequest,
        email=st.none() | texts | st.emails(),
        last_name=st.none() | texts,
        mobile=st.none() | texts,
        page_size=st.integers(-(2**31), 2**31 - 1),
        page_token=texts,
    ).map(lambda it: ("LookupCustomers", it)),
    st.builds(
        pb.ListCustomersRequest,
        filter=texts | texts.map("lastName = '{}*'".format) | texts.map("email = {}*".format),
        order_by=texts | st.sampled_from(["", "lastName desc", "createdDate"]),
        page_size=st.integers(-(2**31), 2**31 - 1),
        page_token=texts,
    ).map(lambda it: ("ListCustomers", it)),
)


@EXAMPLES
@given(request=requests)
def test_random_requests(channel: grpc.Channel, request: tuple[str, Message]) -> None:
    """No content of a request makes an RPC fail by the server's fault."""
    rpc, message = request
    check_outcome(channel, rpc, message.SerializeToString())


@EXAMPLES
@given(change=customers)
def test_random_updates(channel: grpc.Channel, change: Customer) -> None:
    """No change of a customer that is there fails by the server's fault."""
    created = pb.CreateCustomerRequest(customer=customer())
    [answer] = send(channel, "CreateCustomer", created.SerializeToString(), FUZZ)
    change.id = Customer.FromString(answer).id
    request = pb.UpdateCustomerRequest(customer=change)
    check_outcome(channel, "UpdateCustomer", request.SerializeToString())


# Requests that hold long values which errors might repeat, each with its RPC.
LONG = "😀" * 20_000
LONG_REQUESTS: dict[str, tuple[str, Message]] = {
    "reference": (
        "GetCustomerByRef",
        pb.GetCustomerByRefRequest(customer_ref=LONG),
    ),
    "id to update": (
        "UpdateCustomer",
        pb.UpdateCustomerRequest(customer=Customer(id=LONG)),
    ),
    "id to add to": (
        "AddCustomerAddress",
        pb.AddCustomerAddressRequest(id=LONG, address=Address(city="Berlin")),
    ),
    "e-mail address": (
        "CreateCustomer",
        pb.CreateCustomerRequest(customer=Customer(email=LONG)),
    ),
    "names of attributes": (
        "CreateCustomer",
        pb.CreateCustomerRequest(
            customer=customer(
                attribute_groups={
                    f"{number}{LONG}": AttributeGroup(attributes={LONG: Attribute()})
                    for number in range(25)
                }
            )
        ),
    ),
    "many violations": (
        "CreateCustomer",
        pb.CreateCustomerRequest(customer=customer(addresses=[Address(country_code="XX")] * 100)),
    ),
    "name to look up": (
        "LookupCustomers",
        pb.LookupCustomersRequest(last_name=LONG),
    ),
    "filter": (
        "ListCustomers",
        pb.ListCustomersRequest(filter=LONG, order_by=LONG, page_token=LONG),
    ),
    "field of a filter": (
        "ListCustomers",
        pb.ListCustomersRequest(filter="x" * 2000),
    ),
    "page token": (
        "LookupCustomers",
        pb.LookupCustomersRequest(last_name="Ada", page_token=LONG),
    ),
}


@pytest.mark.parametrize(("rpc", "request_"), LONG_REQUESTS.values(), ids=LONG_REQUESTS)
def test_long_values(channel: grpc.Channel, tenant: str, rpc: str, request_: Message) -> None:
    """However long what a request holds, the error with its details reaches the client."""
    refused = failure(lambda: send(channel, rpc, request_.SerializeToString(), as_tenant(tenant)))
    assert refused.code in CLIENT_FAULTS
    assert refused.domain == "customer.twc"


@pytest.mark.parametrize("path", ["x" * 20_000, LONG], ids=["ascii", "four-byte"])
def test_long_mask(channel: grpc.Channel, client: Client, tenant: str, path: str) -> None:
    """However long a path that names no field, the error reaches the client."""
    created = client.create(customer())
    mask = FieldMask(paths=[path])
    request = pb.UpdateCustomerRequest(customer=Customer(id=created.id), update_mask=mask)
    encoded = request.SerializeToString()
    refused = failure(lambda: send(channel, "UpdateCustomer", encoded, as_tenant(tenant)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refused.fields) == {"updateMask"}


UNKNOWN_FIELD = b"\xfa\x3e\x03abc"


@any_backend
def test_unknown_fields(channel: grpc.Channel, client: Client, tenant: str) -> None:
    """Fields of a later contract are ignored, and not stored."""
    given = customer(addresses=[{"city": "Rom"}])
    given.MergeFromString(UNKNOWN_FIELD)
    given.addresses[0].MergeFromString(UNKNOWN_FIELD)
    request = pb.CreateCustomerRequest(customer=given).SerializeToString()
    [created] = send(channel, "CreateCustomer", request, as_tenant(tenant))
    change = Customer(id=Customer.FromString(created).id, last_name="King")
    change.MergeFromString(UNKNOWN_FIELD)
    request = pb.UpdateCustomerRequest(customer=change).SerializeToString()
    [changed] = send(channel, "UpdateCustomer", request, as_tenant(tenant))
    assert b"abc" not in created + changed
    assert client.get(change.id).last_name == "King"
