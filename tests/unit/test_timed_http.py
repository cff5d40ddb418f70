"""Documents over HTTP: TLS, proxies, and hosts with several addresses, within one time limit."""

import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.issuers import IssuerSite, dripping, hanging, publishing, response
from twc_customer_server.auth import timed_http
from twc_customer_server.auth.timed_http import Response

SECONDS = 10
MAX_BYTES = 1000
FOUND = Response(200, b"found")


class TLSSite(IssuerSite):
    """A web server with TLS, by the certificate of an authority of its own."""

    def __init__(self, authority: Authority) -> None:
        super().__init__(publishing(b"found"))
        pair = authority.issue("issuer")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.certificate, pair.key)

    @property
    def url(self) -> str:
        """The address of its root, without a slash."""
        return super().url.replace("http:", "https:")

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        """Accepts a connection, whose handshake is up to the thread that serves it."""
        connection, address = super().get_request()
        return self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        ), address


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the environment says of proxies and authorities is up to each test."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    timed_http._opener.cache_clear()  # noqa: SLF001 - it reads the environment once
    yield
    timed_http._opener.cache_clear()  # noqa: SLF001


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path, "authority")


def get(url: str, seconds: float = SECONDS) -> Response:
    """Fetches a small document."""
    return timed_http.get(url, seconds, MAX_BYTES)


def took(act: Callable[[], object]) -> float:
    """The seconds after which something fails for want of time."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        act()
    return time.monotonic() - began


def test_trusted_authority(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server is trusted if its certificate is by an authority that the system trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with TLSSite(authority) as site:
        assert get(site.url) == FOUND


def test_unknown_authority(authority: Authority) -> None:
    """A server whose certificate is by anybody else is not asked for anything."""
    with TLSSite(authority) as site:
        with pytest.raises(ssl.SSLCertVerificationError):
            get(site.url)
        assert site.paths == []


def test_hanging_handshake() -> None:
    """The time limit is for the handshake as well."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        assert took(lambda: get(url, 0.3)) < SECONDS


def test_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy that the environment names is asked."""
    with IssuerSite(publishing(b"found")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert get("http://issuer.invalid/jwks.json") == FOUND
        assert proxy.paths == ["http://issuer.invalid/jwks.json"]


def test_tunnel(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a proxy TLS is with the server itself."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with TLSSite(authority) as site:

        def connect(connection: socket.socket, _: str) -> None:
            with socket.create_connection(site.address) as onward:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                other = {connection: onward, onward: connection}
                while True:
                    for ready in select.select([*other], [], [], SECONDS)[0]:
                        received = ready.recv(65536)
                        if not received:
                            return
                        other[ready].sendall(received)

        with IssuerSite(connect) as proxy:
            monkeypatch.setenv("https_proxy", proxy.url)
            assert get(f"{site.url}/jwks.json") == FOUND
            assert proxy.paths == [site.url.removeprefix("https://")]


@pytest.mark.parametrize("answer", [hanging, dripping(b"", 5)], ids=["hangs", "drips"])
def test_slow_tunnel(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is for the answer of a proxy as well."""
    with IssuerSite(answer) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        assert took(lambda: get("https://issuer.invalid/jwks.json", 0.3)) < SECONDS


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The addresses of the host `issuer.example`."""
    found: list[tuple[str, int]] = []

    def look_up(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place) for place in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return found


@pytest.fixture
def nobody() -> Iterator[tuple[str, int]]:
    """An address that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()


def test_unreachable_first_address(
    addresses: list[tuple[str, int]], nobody: tuple[str, int]
) -> None:
    """Of a host's addresses the next is tried if one is not there."""
    with IssuerSite(publishing(b"found")) as site:
        addresses += [nobody, site.address]
        assert get("http://issuer.example") == FOUND


def test_unreachable_addresses(addresses: list[tuple[str, int]], nobody: tuple[str, int]) -> None:
    """A host is not there if none of its addresses is."""
    addresses += [nobody, nobody]
    with pytest.raises(ConnectionRefusedError):
        get("http://issuer.example")


def test_connection_kept_open() -> None:
    """A document is over with its length, though the server keeps the connection open."""

    def answer(connection: socket.socket, path: str) -> None:
        connection.sendall(response(b"found").replace(b"connection: close\r\n", b""))
        hanging(connection, path)

    with IssuerSite(answer) as site:
        assert get(site.url) == FOUND
