"""Both ports with TLS, and with clients that must prove themselves."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.gateway.stacks import http_headers, running
from tests.support.backends import Backend
from tests.support.builders import NO_CUSTOMER, UNKNOWN_ID
from tests.support.certificates import Authority, Pair
from tests.support.client import SECONDS
from tests.support.http_client import http_request
from twc_customer_gateway.supervisor.stack import Stack

PORTS = ["gateway_port", "grpc_port"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who certifies the server."""
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    """A client's certificate."""
    return authority.issue("client")


@pytest.fixture(scope="module", params=[False, True], ids=["tls", "mutual"])
def mutual(request: pytest.FixtureRequest) -> bool:
    """Whether clients must have a certificate."""
    return bool(request.param)


@pytest.fixture(scope="module")
def secure(
    backend: Backend,
    authority: Authority,
    mutual: bool,  # noqa: FBT001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A service with TLS on both ports."""
    certificate, key = authority.issue("server")
    client_ca = authority.certificate if mutual else None
    tls = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": client_ca}
    with running(backend.settings(tmp_path_factory.mktemp("tls")), **tls) as stack:
        yield stack


def test_rest(secure: Stack, authority: Authority, client: Pair, mutual: bool) -> None:  # noqa: FBT001
    """REST is served over TLS, over HTTP/1.1 and to clients with a certificate if that is asked."""
    trusting = ssl.create_default_context(cafile=authority.certificate)
    if mutual:
        trusting.load_cert_chain(client.certificate, client.key)

    answer = _get(secure, trusting)

    assert answer.status_code == 204


def test_rest_without_certificate(secure: Stack, authority: Authority, mutual: bool) -> None:  # noqa: FBT001
    """A REST client without a certificate is turned away where certificates are asked for."""
    trusting = ssl.create_default_context(cafile=authority.certificate)

    if mutual:
        with pytest.raises(httpx.TransportError):
            _get(secure, trusting)
    else:
        assert _get(secure, trusting).status_code == 204


def test_rest_in_the_clear(secure: Stack) -> None:
    """Without TLS the port does not answer."""
    with pytest.raises(httpx.TransportError):
        http_request("GET", f"http://127.0.0.1:{secure.settings.gateway_port}/healthz")


@pytest.mark.parametrize("port", PORTS)
def test_grpc(secure: Stack, authority: Authority, client: Pair, port: str) -> None:
    """Native gRPC is served over TLS on both ports."""
    assert _call(secure, port, authority, client) == Customer()


@pytest.mark.parametrize("port", PORTS)
def test_grpc_with_foreign_certificate(
    secure: Stack,
    authority: Authority,
    tmp_path: Path,
    port: str,
    mutual: bool,  # noqa: FBT001
) -> None:
    """A client whose certificate is of another authority is turned away where it is asked for."""
    foreign = Authority(tmp_path, "other").issue("client")

    if mutual:
        with pytest.raises(grpc.RpcError) as error:
            _call(secure, port, authority, foreign)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    else:
        assert _call(secure, port, authority, foreign) == Customer()


def _get(stack: Stack, trusting: ssl.SSLContext) -> httpx.Response:
    url = f"https://127.0.0.1:{stack.settings.gateway_port}/api/v2{NO_CUSTOMER}"
    return httpx.get(url, headers=http_headers("acme"), verify=trusting, timeout=SECONDS)


def _call(stack: Stack, port: str, authority: Authority, client: Pair) -> Customer:
    credentials = grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(),
        client.key.read_bytes(),
        client.certificate.read_bytes(),
    )
    address = f"127.0.0.1:{getattr(stack.settings, port)}"
    with grpc.secure_channel(address, credentials) as channel:
        request = pb.GetCustomerRequest(id=UNKNOWN_ID)
        metadata = tuple(http_headers("acme").items())
        return CustomerServiceStub(channel).GetCustomer(request, metadata=metadata, timeout=SECONDS)
