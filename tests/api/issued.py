"""Servers that believe a test's own issuers, and calls with any token."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import grpc
from twc.customer.v2 import customer_service_pb2 as pb

from tests.support.builders import UNKNOWN_ID
from tests.support.client import SECONDS, Metadata, send, tenant_header
from tests.support.forged import TENANT
from tests.support.servers import Server

GET = pb.GetCustomerRequest(id=UNKNOWN_ID).SerializeToString()

# For how long the servers keep keys, and how often they look for unknown ones.
LIFETIME = 0.5
COOLDOWN = 0.1


@contextmanager
def serving_at(
    database: dict[str, Any], issuer: str, location: Path | str, **settings: Any
) -> Iterator[str]:
    """The address of a server that believes an issuer's tokens, and keeps its keys for short."""
    keys = {"jwks_lifetime_seconds": LIFETIME, "jwks_cooldown_seconds": COOLDOWN}
    trust = {"issuer": issuer, "jwks": str(location)}
    with Server(**database | keys | trust | settings) as server:
        yield server.address


@contextmanager
def serving(
    database: dict[str, Any], issuer: str, location: Path | str, **settings: Any
) -> Iterator[grpc.Channel]:
    """A channel to such a server."""
    with (
        serving_at(database, issuer, location, **settings) as address,
        grpc.insecure_channel(address) as channel,
    ):
        yield channel


def metadata(token: str, tenant: str = TENANT) -> Metadata:
    """The metadata of a call with any token."""
    return (("authorization", f"Bearer {token}"), tenant_header(tenant))


def code(channel: grpc.Channel, token: str, tenant: str = TENANT) -> grpc.StatusCode:
    """The status of a call with a token."""
    try:
        send(channel, "GetCustomer", GET, metadata(token, tenant))
    except grpc.RpcError as error:
        return cast("grpc.Call", error).code()
    return grpc.StatusCode.OK


def eventually(is_so: Callable[[], bool]) -> None:
    """Waits until something is so, which it must be soon."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)
