"""Requests as they are decoded: the same, but for what is too much for the rules to look at."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from functools import cache

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Customer

from tests.support.builders import address, customer
from tests.support.steps import EXAMPLES
from twc_customer_server.contract import SERVICE
from twc_customer_server.errors import MalformedRequest, RequestTooLarge
from twc_customer_server.middleware.compression import decompressed
from twc_customer_server.middleware.decoding import decoder

Compress = Callable[[bytes], bytes]

WITH_CUSTOMER = ("CreateCustomer", "ValidateCustomer", "UpdateCustomer", "UploadCustomers")
DECODERS = {method.name: decoder(method) for method in SERVICE.methods}
REQUESTS: dict[str, type[Message]] = {
    "CreateCustomer": pb.CreateCustomerRequest,
    "ValidateCustomer": pb.ValidateCustomerRequest,
    "UpdateCustomer": pb.UpdateCustomerRequest,
    "UploadCustomers": pb.UploadCustomersRequest,
}
each_rpc = pytest.mark.parametrize("rpc", WITH_CUSTOMER)

TEXT = "x" * 1000


def full(addresses: Sequence[Address]) -> Customer:
    """A customer with a value of every kind of field, larger than what is decoded as it is."""
    return customer(
        email="ada@example.com",
        first_name=TEXT,
        accepts_marketing=True,
        addresses=addresses,
        default_address=address(city=TEXT),
        tax_exemptions=[TEXT] * 20,
        attribute_groups={"g": {"attributes": {"a": {"attribute_value": TEXT}}}},
    )


@cache
def bomb_of(compress: Compress) -> bytes:
    """A message of 100 MiB, compressed."""
    return compress(bytes(100 << 20))


def of(rpc: str, given: Customer) -> Message:
    """A request with a customer."""
    return REQUESTS[rpc](customer=given)


@each_rpc
@pytest.mark.parametrize("number", [0, 1, 100, 101])
def test_request_of_up_to_101_addresses(rpc: str, number: int) -> None:
    """A large request with up to 101 addresses is decoded as it is."""
    request = of(rpc, full([address(city=str(n)) for n in range(number)]))

    assert DECODERS[rpc](request.SerializeToString()) == request


@each_rpc
@pytest.mark.parametrize("number", [102, 30_000])
def test_excess_addresses(rpc: str, number: int) -> None:
    """Of more addresses the first 101 are decoded, and every other field."""
    addresses = [address(city=str(n)) for n in range(number)]

    assert DECODERS[rpc](of(rpc, full(addresses)).SerializeToString()) == of(
        rpc, full(addresses[:101])
    )


def test_excess_addresses_in_batch() -> None:
    """Each customer of a batch has 101 addresses at most, and its number."""
    items = [
        pb.ImportItem(sequence=n, customer=full([Address()] * count))
        for n, count in enumerate((1000, 0, 102))
    ]
    request = pb.ImportCustomersRequest(items=items, validate_only=True)
    decoded = DECODERS["ImportCustomers"](request.SerializeToString())

    assert isinstance(decoded, pb.ImportCustomersRequest)
    assert [len(item.customer.addresses) for item in decoded.items] == [101, 0, 101]
    assert [item.sequence for item in decoded.items] == [0, 1, 2]
    assert decoded.validate_only


def test_excess_items() -> None:
    """Of a batch with more than 1,000 customers so many are decoded that it is refused."""
    request = pb.ImportCustomersRequest(items=[pb.ImportItem()] * 100_000)
    decoded = DECODERS["ImportCustomers"](request.SerializeToString())

    assert isinstance(decoded, pb.ImportCustomersRequest)
    assert len(decoded.items) == 1001


@pytest.mark.parametrize(
    "rpc", [method.name for method in SERVICE.methods if not method.client_streaming]
)
def test_request_over_2_mebibytes(rpc: str) -> None:
    """A request that is neither an upload nor an import is refused from 2 MiB on, unread."""
    with pytest.raises(RequestTooLarge, match="at most 2 MiB"):
        DECODERS[rpc](b"\xff" * ((2 << 20) + 1))
    with pytest.raises(MalformedRequest):
        DECODERS[rpc](b"\xff" * (2 << 20))


def test_batch_over_4_mebibytes() -> None:
    """A batch is refused from 4 MiB on, unread."""
    with pytest.raises(RequestTooLarge, match="at most 1,000 customers and 4 MiB"):
        DECODERS["ImportCustomers"](b"\xff" * ((4 << 20) + 1))


def test_large_item_of_upload() -> None:
    """An item of an upload may be as large as the upload."""
    request = pb.UploadCustomersRequest(customer=Customer(first_name="x" * (15 << 20)))

    assert DECODERS["UploadCustomers"](request.SerializeToString()) == request


@each_rpc
@pytest.mark.parametrize("text", [b"\xff", b"\xff" * (1 << 15)], ids=["small", "large"])
def test_text_that_is_not_utf8(rpc: str, text: bytes) -> None:
    """Text that is not UTF-8 is malformed, in a request of any size."""
    encoded = of(rpc, Customer(first_name="x" * len(text))).SerializeToString()

    with pytest.raises(MalformedRequest):
        DECODERS[rpc](encoded.replace(b"x" * len(text), text))


COMPRESS = pytest.mark.parametrize(
    "compress", [gzip.compress, zlib.compress], ids=["gzip", "deflate"]
)


@COMPRESS
@each_rpc
def test_compressed_request(rpc: str, compress: Compress) -> None:
    """A request that is compressed is the same."""
    request = of(rpc, customer(first_name=TEXT))
    assert DECODERS[rpc](compress(request.SerializeToString())) == request


@COMPRESS
@pytest.mark.parametrize("rpc", [*WITH_CUSTOMER, "ImportCustomers"])
def test_bomb(rpc: str, compress: Compress) -> None:
    """Of a message that is compressed too well no more is decompressed than may be."""
    bomb = bomb_of(compress)
    tracemalloc.start()
    with pytest.raises(RequestTooLarge):
        DECODERS[rpc](bomb)
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [b"\x1f\x8b", gzip.compress(b"", mtime=0)[:-1], b"\x1f\x8b" + b"x" * 99],
    ids=["nothing", "cut off", "other"],
)
def test_broken_compression(content: bytes) -> None:
    """What begins as a compressed message and is none is malformed."""
    with pytest.raises(MalformedRequest):
        DECODERS["CreateCustomer"](content)


@EXAMPLES
@given(st.binary(max_size=50), st.sampled_from([b"x\x9c", b"x\xda", b"\x08\x1d", b""]))
def test_message_that_is_not_compressed(rest: bytes, start: bytes) -> None:
    """A message that only begins as a compressed one is left as it is."""
    assert decompressed(start + rest, 100) == start + rest
