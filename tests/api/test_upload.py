"""UploadCustomers: a list of customers, each with its own result, or nothing at all."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.support.backends import any_backend
from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import SECONDS, SERVICE, Client, as_tenant, failure
from tests.support.in_process import InProcessServer
from twc_customer_server.transport import incoming

BY_NAME = pb.LookupCustomersRequest(last_name="Upload")


def break_off(address: str, tenant: str, first: Customer, how: str) -> None:
    """Begins an upload, sends its first item, and breaks it off."""
    sent, over = threading.Event(), threading.Event()

    def items() -> Iterator[pb.UploadCustomersRequest]:
        yield pb.UploadCustomersRequest(customer=first)
        # Asked for a second, the first is on its way.
        sent.set()
        over.wait(SECONDS)

    seconds = 1 if how == "deadline" else SECONDS
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        client = Client(channel, tenant)
        client.get(UNKNOWN_ID)
        call = CustomerServiceStub(channel).UploadCustomers(items(), seconds, as_tenant(tenant))
        assert sent.wait(SECONDS)
        # One connection keeps the order: when this is answered the server waits for a second.
        client.get(UNKNOWN_ID)
        if how == "cancel":
            call.cancel()
        if how == "disconnect":
            channel.close()
        with pytest.raises(grpc.RpcError):
            list(call)
        over.set()


def test_upload(client: Client) -> None:
    """The customers of an upload are stored and answered in order, with 201."""
    given = [customer(first_name=str(number), last_name="Upload") for number in range(50)]
    results = client.upload(given)
    assert client.headers["x-http-code"] == "201"
    assert [it.index for it in results] == list(range(50))
    assert [it.customer.email for it in results] == [it.email for it in given]
    assert client.lookup(BY_NAME) == [it.customer for it in results]


def test_upload_of_none(client: Client) -> None:
    """An empty upload has no results and no failure, and so is 201."""
    assert client.upload([]) == []
    assert client.headers["x-http-code"] == "201"


def test_upload_mixed(client: Client) -> None:
    """Each item that cannot be stored has its own error, in its place; the others are stored."""
    owner = client.create(customer(email="owner@example.com"))
    results = client.upload(
        [
            customer(email="first@example.com", last_name="Upload"),
            None,
            customer(email="no address", addresses=[{"country_code": "XX"}]),
            customer(email="OWNER@example.com"),
            customer(email="First@example.com"),
            customer(email="last@example.com", last_name="Upload"),
        ]
    )
    assert "x-http-code" not in client.headers
    assert [it.index for it in results] == list(range(6))
    outcomes = [it.WhichOneof("outcome") for it in results]
    assert outcomes == ["customer", "error", "error", "error", "error", "customer"]
    errors = [it.error for it in results[1:5]]
    invalid, exists = code_pb2.INVALID_ARGUMENT, code_pb2.ALREADY_EXISTS
    assert [it.code for it in errors] == [invalid, invalid, exists, exists]
    assert [_fields(it) for it in errors] == [
        ["email"],
        ["addresses[0].countryCode", "email"],
        [],
        [],
    ]
    assert [_owners(it) for it in errors[2:]] == [
        {"email": owner.id},
        {"email": results[0].customer.id},
    ]
    assert client.lookup(BY_NAME) == [results[0].customer, results[5].customer]


def test_upload_like_create(client: Client, foreigner: Client) -> None:
    """The error of an item is the one that CreateCustomer gives for it."""
    broken = Customer(email="no address", mobile="12")
    [result] = client.upload([broken])
    refused = failure(lambda: foreigner.create(broken))
    assert result.error.message == refused.message
    assert _fields(result.error) == sorted(refused.fields)


@pytest.mark.parametrize("how", ["cancel", "deadline", "disconnect"])
def test_upload_broken_off(server: InProcessServer, client: Client, tenant: str, how: str) -> None:
    """A list that breaks off before its end stores nothing, however it breaks off."""
    # What the server is told first of a broken call is a matter of luck: hence many.
    given = [customer(last_name="Upload") for _ in range(40)]
    # Half of the places for streams, as the server learns later that a stream is over.
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda it: break_off(server.address, tenant, it, how), given))
    # One that had been stored would clash with itself.
    results = client.upload(given)
    assert [it.WhichOneof("outcome") for it in results] == ["customer"] * 40
    assert client.lookup(BY_NAME) == [it.customer for it in results]


def test_upload_broken_off_with_unknown_grpcio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it with a version of grpcio that is not known."""
    monkeypatch.setattr(incoming, "IS_SUPPORTED", False)
    given = [customer() for _ in range(10)]
    with InProcessServer(data_dir=tmp_path) as server:
        for each in given:
            break_off(server.address, "acme", each, "cancel")
        results = server.client("acme").upload(given)
    assert [it.WhichOneof("outcome") for it in results] == ["customer"] * 10


@pytest.mark.parametrize("encoded", [b"\x0a\x04\x1a\x02\xff\xfe", b"\x0a\x7f", b"\xff"])
def test_upload_malformed(
    channel: grpc.Channel, client: Client, tenant: str, encoded: bytes
) -> None:
    """A list with an item that cannot be read fails as a whole, and stores nothing."""
    upload: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
        f"/{SERVICE.full_name}/UploadCustomers"
    )
    good = pb.UploadCustomersRequest(customer=customer(last_name="Upload")).SerializeToString()
    items = iter([good, encoded, good])
    refused = failure(lambda: list(upload(items, SECONDS, as_tenant(tenant))))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.reason, refused.domain) == ("MALFORMED_REQUEST", "customer.twc")
    assert client.lookup(BY_NAME) == []


@any_backend
def test_upload_too_many(client: Client) -> None:
    """An upload of more than 10,000 items is refused, and stores nothing."""
    first = customer(last_name="Upload")
    refused = failure(lambda: client.upload([first] + [None] * 10_000))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.reason, refused.domain) == ("REQUEST_TOO_LARGE", "customer.twc")
    assert client.lookup(BY_NAME) == []


def test_upload_too_large(client: Client) -> None:
    """An upload of more than 16 MiB is refused, and stores nothing."""
    first = customer(last_name="Upload")
    large = customer(first_name="x" * (1 << 20))
    refused = failure(lambda: client.upload([first] + [large] * 16))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.reason, refused.domain) == ("REQUEST_TOO_LARGE", "customer.twc")
    assert client.lookup(BY_NAME) == []


def _fields(error: status_pb2.Status) -> list[str]:
    bad_request = error_details_pb2.BadRequest()
    for detail in error.details:
        detail.Unpack(bad_request)
    return sorted(it.field for it in bad_request.field_violations)


def _owners(error: status_pb2.Status) -> dict[str, str]:
    info = error_details_pb2.ErrorInfo()
    for detail in error.details:
        detail.Unpack(info)
    assert info.reason == "ALREADY_EXISTS"
    return dict(info.metadata)
