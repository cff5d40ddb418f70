"""Imports, exports and changes through the gateway, which does not end them for lasting long."""

import queue
import time
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb

from tests.gateway.stacks import StackFactory
from tests.support.builders import customer
from tests.support.client import Client, as_tenant, failure
from tests.support.http2 import RESET, Http2
from tests.support.import_stream import ImportStream, batch, outcomes
from tests.support.server_process import wait_until
from twc_customer_gateway import config, routes
from twc_customer_gateway.cors import Cors
from twc_customer_gateway.supervisor.stack import Stack
from twc_customer_server import contract

# What the gateway gives a request to arrive, in the place of a minute.
SHORT = 1


GET, LOOKUP = (f"/{contract.SERVICE.full_name}/{it}" for it in ("GetCustomer", "LookupCustomers"))

# Of the Envoy that clients connect to: 900 answers of 60 kB are much of it.
SMALL_HEAP = 128 << 20

# Far less than the time after which the server ends what nobody reads.
SHORT_SECONDS = contract.STREAM_IDLE_SECONDS / 3


@pytest.fixture
def foreigner(native: grpc.Channel, tenant: str) -> Client:
    """A native client of the gateway for another tenant."""
    return Client(native, f"{tenant}-foreign")


@pytest.fixture
def client(native: grpc.Channel, tenant: str) -> Client:
    """A native client of the gateway."""
    return Client(native, tenant)


def test_import(client: Client) -> None:
    """Batches go through the gateway one by one, and their answers come back meanwhile."""
    stream = ImportStream(client)
    for _ in range(5):
        assert outcomes(stream.send(*[customer() for _ in range(100)])) == ["created"] * 100
    stream.end()
    assert list(stream.call) == []
    assert len([it for part in client.export() for it in part.customers]) == 500


def test_export(client: Client) -> None:
    """An export comes through the gateway whole, and can be resumed there."""
    large = [customer(tax_exemptions=["x" * 1000] * 100) for _ in range(60)]
    stored = [it.customer for it in client.upload(large)]
    parts = list(client.export())
    assert [it for part in parts for it in part.customers] == stored
    request = pb.ExportCustomersRequest(resume_token=parts[1].resume_token)
    assert list(client.export(request)) == parts[2:]


def test_watch(client: Client) -> None:
    """Changes come through the gateway one by one, as they happen."""
    first = client.create(customer())
    stream = client.watch()
    assert [it.customer.id for it in next(stream).changes] == [first.id]
    for _ in range(3):
        created = client.create(customer())
        assert [it.customer.id for it in next(stream).changes] == [created.id]
    stream.cancel()


def test_bad_batch(client: Client) -> None:
    """A batch that is none ends the import with the server's own error."""
    refused = failure(lambda: list(client.import_([batch(customer()), batch()])))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_INPUT",
    )


def test_too_large_upload(client: Client) -> None:
    """A list that is too long for an upload is shown the way through the gateway's port, too."""
    refused = failure(lambda: client.upload([None] * 10_001))
    assert refused.reason == "REQUEST_TOO_LARGE"
    assert "ImportCustomers" in refused.message


def test_unread_answers(
    stack: Stack, native: grpc.Channel, client: Client, foreigner: Client, tenant: str
) -> None:
    """Answers that their client does not take hold up none of others on the same connection."""
    large = [customer(last_name="Large", tax_exemptions=["x" * 1000] * 100) for _ in range(40)]
    for each in (client, foreigner):
        each.upload(large)
    request = pb.LookupCustomersRequest(last_name="Large").SerializeToString()
    look_up: Any = native.unary_stream(LOOKUP)
    address = f"{stack.settings.bind}:{stack.settings.gateway_port}"
    with Http2(address, window=0) as connection:
        # So many that none of them waits for others, of which it would end some.
        for _ in range(7):
            connection.send(connection.begin(LOOKUP, as_tenant(tenant)), request)
        for _ in range(5):
            answer = look_up(request, SHORT_SECONDS, as_tenant(f"{tenant}-foreign"))
            assert len(list(answer)) == len(large)


def test_unread_answers_beyond_memory(
    start_stack: StackFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of which the server has nothing left end soon when they take much of the memory."""
    monkeypatch.setitem(config.HEAP_BYTES, config.PUBLIC, SMALL_HEAP)
    with start_stack() as stack, ExitStack() as held:
        address = f"{stack.settings.bind}:{stack.settings.gateway_port}"
        client = Client(held.enter_context(grpc.insecure_channel(address)), "acme")
        large = client.create(customer(tax_exemptions=["x" * 1000] * 60))
        request = pb.GetCustomerRequest(id=large.id).SerializeToString()
        began = time.monotonic()
        for _ in range(10):
            connection = held.enter_context(Http2(address, window=0))
            for _ in range(90):
                connection.send(connection.begin(GET, as_tenant("acme")), request)
        assert connection.end()[1] == RESET
        assert time.monotonic() - began < SHORT_SECONDS
        assert client.get(large.id) == large


def test_import_beyond_request_time(
    start_stack: StackFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream goes on long after the time in which any other request has to arrive."""
    monkeypatch.setattr(config, "REQUEST_SECONDS", SHORT)
    with start_stack() as stack:
        address = f"{stack.settings.bind}:{stack.settings.gateway_port}"
        with grpc.insecure_channel(address) as channel:
            client = Client(channel, "acme")
            stream = ImportStream(client)
            for _ in range(2):
                wait_until(_Pause(1.5 * SHORT).is_over)
                assert outcomes(stream.send(customer())) == ["created"]
            stream.end()
            assert list(stream.call) == []
            # An upload of which nothing comes is ended, so that the time is what it should be.
            items: queue.SimpleQueue[Any] = queue.SimpleQueue()
            items.put(pb.UploadCustomersRequest(customer=customer()))
            ended = failure(lambda: client.send_upload(iter(items.get, None)))
            items.put(None)
    assert "request timeout" in ended.message


class _Pause:
    """A time that passes."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Tells whether it has passed."""
        return time.monotonic() > self._end


def test_deadlines_of_routes() -> None:
    """Only what has a place in REST has a deadline; the rest ends when nothing comes, or goes."""
    by_name = {it["name"]: it for it in routes.table(contract.SERVICE, Cors((), (), ()))}
    waiting = contract.STREAM_IDLE_SECONDS
    for rpc in contract.SERVICE.methods:
        route = by_name[rpc.name]["route"]
        if rpc.name in ("ImportCustomers", "ExportCustomers", "WatchCustomers"):
            assert route["timeout"] == "0s"
            assert "max_stream_duration" not in route
            # The server, which says why, is to be the first to end it.
            assert float(route["idle_timeout"].removesuffix("s")) > waiting
        else:
            deadline = float(route["timeout"].removesuffix("s"))
            assert 0 < deadline < float(route["idle_timeout"].removesuffix("s"))
