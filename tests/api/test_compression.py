"""Messages that are compressed, as clients of gRPC may send them."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from twc.customer.v2.customer_pb2 import Customer

from tests.support.backends import any_backend
from tests.support.builders import customer
from tests.support.client import SECONDS, SERVICE, Client, failure
from tests.support.import_stream import batch, outcomes
from tests.support.in_process import InProcessServer
from twc_customer_server import contract

LONG = "x" * 1000

# Messages are unpacked before anything is asked of a database.
pytestmark = any_backend


@pytest.fixture(params=[grpc.Compression.Gzip, grpc.Compression.Deflate], ids=["gzip", "deflate"])
def packing(request: pytest.FixtureRequest, server: InProcessServer) -> Iterator[grpc.Channel]:
    """A channel to the shared server that compresses what it sends."""
    with grpc.insecure_channel(server.address, compression=request.param) as channel:
        yield channel


@pytest.fixture
def client(packing: grpc.Channel, tenant: str) -> Client:
    """A client that compresses its messages."""
    return Client(packing, tenant)


def test_compressed_messages(client: Client) -> None:
    """Requests, uploads and imports may be compressed."""
    created = client.create(customer(first_name=LONG))
    assert client.get(created.id).first_name == LONG
    assert [it.customer.first_name for it in client.upload([customer(first_name=LONG)])] == [LONG]
    [answer] = client.import_([batch(customer(first_name=LONG))])
    assert outcomes(answer) == ["created"]


def test_compressed_messages_of_other_services(packing: grpc.Channel) -> None:
    """Requests of health and reflection may be compressed."""
    health: Any = health_pb2_grpc.HealthStub(packing)
    unknown = health_pb2.HealthCheckRequest(service=LONG)
    with pytest.raises(grpc.RpcError) as error:
        health.Check(unknown, SECONDS)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    reflect: Any = reflection_pb2_grpc.ServerReflectionStub(packing)
    symbol = f"{SERVICE.full_name}.{LONG}"
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    [answer] = reflect.ServerReflectionInfo(iter([request]), SECONDS)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def bomb(mebibytes: int) -> Customer:
    """A customer that is small when it is compressed."""
    return customer(first_name="x" * (mebibytes << 20))


def test_bombs(client: Client) -> None:
    """A message that becomes larger than may be is refused as such."""
    whole = contract.MAX_UPLOAD_BYTES >> 20
    for call in (
        lambda: client.create(bomb(3)),
        lambda: client.upload([bomb(whole)]),
        lambda: [*client.import_([batch(bomb(5))])],
    ):
        refused = failure(call)
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "REQUEST_TOO_LARGE",
        )
