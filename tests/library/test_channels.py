"""Tokens travel encrypted, except within a machine, or where the caller trusts the network."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.library.kinds import MakeClient
from tests.support.certificates import Authority
from tests.support.in_process import InProcessServer
from tests.support.servers import Server
from tests.support.tokens import token_for
from twc_customer_client import Customer, Tls, TokenFile, call_credentials, errors
from twc_customer_client.channels import is_loopback

HERE = [
    "localhost:50051",
    "LOCALHOST:50051",
    "127.0.0.1:50051",
    "127.0.0.1",
    "127.8.0.1:1",
    "[::1]:50051",
    "0.0.0.0:50051",
    "[::]:50051",
    "::1",
    "dns:///localhost:50051",
    "dns:localhost:50051",
    "ipv4:127.0.0.1:50051,127.0.0.2:50051",
    "ipv6:[::1]:50051",
    "ipv6:::1",
    "unix:/run/api.sock",
    "unix:///run/api.sock",
    "unix-abstract:api",
]
ELSEWHERE = [
    "customers:50051",
    "10.0.0.1:50051",
    "[2001:db8::1]:50051",
    "localhost.example.com:50051",
    "127.0.0.1.example.com:50051",
    "dns:///customers:50051",
    "dns://127.0.0.1/customers:50051",
    "ipv4:127.0.0.1:50051,10.0.0.1:50051",
    "xds:///localhost",
    "passthrough:///10.0.0.1:1",
    "",
]


@pytest.mark.parametrize(
    ("target", "is_here"), [*((t, True) for t in HERE), *((t, False) for t in ELSEWHERE)]
)
def test_loopback(target: str, is_here: bool) -> None:  # noqa: FBT001
    """A target is on this machine if its address says so, in every form that gRPC takes."""
    assert is_loopback(target) is is_here


def test_plaintext(connect: MakeClient) -> None:
    """A token travels elsewhere unencrypted only if the caller says so."""
    with pytest.raises(ValueError, match=r"would travel to customers:50051 unencrypted"):
        connect("customers:50051", tls=False)
    connect("customers:50051", plaintext=True)
    connect("customers:50051", tls=False, plaintext=True)
    connect("customers:50051")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody knows."""
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


def serving(authority: Authority, folder: Path, **settings: Any) -> InProcessServer:
    """A server with a certificate of an authority."""
    pair = authority.issue("server")
    return Server(data_dir=folder, tls_certificate=pair.certificate, tls_key=pair.key, **settings)


def test_tls(connect: MakeClient, authority: Authority, tmp_path: Path) -> None:
    """A client that trusts the server's authority calls it, and no other one does."""
    with serving(authority, tmp_path) as server:
        connect(server.address, tls=Tls(authority.certificate)).create(
            Customer(email="a@b.example")
        )
        for options in ({"tls": True}, {"tls": None}):
            with pytest.raises(errors.Unavailable):
                connect(server.address, retry_for=0, **options).get("1")


def test_stubs(authority: Authority, tmp_path: Path, tenant: str) -> None:
    """Stubs of one's own have tenant and token by credentials of their channel."""
    file = tmp_path / "token"
    file.write_text(token_for(tenant))
    with serving(authority, tmp_path) as server:
        credentials = grpc.composite_channel_credentials(
            Tls(authority.certificate).credentials(), call_credentials(tenant, TokenFile(file))
        )
        with grpc.secure_channel(server.address, credentials) as channel:
            stub = CustomerServiceStub(channel)
            request = pb.CreateCustomerRequest(customer=Customer(email="a@b.example"))
            assert stub.CreateCustomer(request).id
            file.unlink()
            with pytest.raises(grpc.RpcError, match="cannot be read: No such file"):
                stub.CreateCustomer(request)


def test_client_certificate(connect: MakeClient, authority: Authority, tmp_path: Path) -> None:
    """A client has a certificate of its own where the server wants one."""
    pair = authority.issue("client")
    with serving(authority, tmp_path, tls_client_ca=authority.certificate) as server:
        tls = Tls(authority.certificate, pair.certificate, pair.key)
        connect(server.address, tls=tls).create(Customer(email="a@b.example"))
        with pytest.raises(errors.Unavailable):
            connect(server.address, tls=Tls(authority.certificate), retry_for=0).get("1")


def test_wrong_files(connect: MakeClient, authority: Authority, tmp_path: Path) -> None:
    """PEM files that are missing are named."""
    with pytest.raises(FileNotFoundError):
        connect("customers:50051", tls=Tls(tmp_path / "none.pem"))
    with pytest.raises(ValueError, match="are needed together"):
        connect("customers:50051", tls=Tls(certificate=authority.certificate))
