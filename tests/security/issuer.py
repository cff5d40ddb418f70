"""An issuer over loopback, which can be slow, hang, drip, or publish more than is good."""

import functools
import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.support.tokens import Issuer, jwks

_NAME = "https://issuer.example"
_PIECE = b" " * (1 << 20)
_WEAK_BITS = 1024


class IssuerServer(ThreadingHTTPServer):
    """Publishes keys, in the manner that its attributes say, and makes tokens."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, *, has_realms: bool) -> None:
        """Listens on a port that the system chooses; with realms each tenant has an issuer."""
        super().__init__(("127.0.0.1", 0), _Page)
        self._is_over = threading.Event()
        self._realms = "/realms/{tenant}" if has_realms else ""
        self.keys = [Issuer()]
        self.seconds = 0.0
        self.hangs = self.drips = self.compresses = False
        self.mebibytes = 0
        self.has_weak_key = False

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a service that believes this issuer."""
        location = f"http://127.0.0.1:{self.server_port}{self._realms}/jwks.json"
        return {"issuer": _NAME + self._realms, "jwks": location, "reflection": True}

    def token(self, tenant: str, **claims: Any) -> str:
        """Returns a token for a tenant, good for an hour unless claims say otherwise."""
        name = _NAME + self._realms.replace("{tenant}", tenant)
        return self.keys[0].token(**{"iss": name, "tenant": tenant} | claims)

    def weak_token(self, tenant: str) -> str:
        """Returns a token signed by a key that is too short, which it publishes from now on."""
        self.has_weak_key = True
        claims = self.keys[0].claims(iss=_NAME, tenant=tenant)
        return jwt.encode(claims, _weak_key(), "RS256", headers={"kid": "weak"})

    def unsigned_token(self, tenant: str) -> str:
        """Returns a token of the same form with a signature of zeros."""
        return self.token(tenant).rpartition(".")[0] + "." + "A" * 86

    def behave(self) -> None:
        """Publishes its keys as an issuer should, from now on."""
        self._is_over.set()
        self._is_over = threading.Event()
        self.keys = self.keys[:1]
        self.seconds, self.mebibytes = 0.0, 0
        self.hangs = self.drips = self.compresses = self.has_weak_key = False

    def pause(self, seconds: float) -> bool:
        """Waits for a time; tells whether the issuer behaves again before that."""
        return self._is_over.wait(seconds)

    def document(self) -> bytes:
        """The JWKS document."""
        if not self.has_weak_key:
            return jwks(*self.keys)
        weak = RSAAlgorithm.to_jwk(_weak_key().public_key(), as_dict=True) | {"kid": "weak"}
        return json.dumps({"keys": [*(key.jwk() for key in self.keys), weak]}).encode()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a service that does not wait for the answer."""


class _Page(BaseHTTPRequestHandler):
    """The JWKS document of every realm, but for those that do not exist."""

    server: IssuerServer

    def do_GET(self) -> None:
        """Answers in the manner of the time."""
        issuer = self.server
        issuer.pause(3600 if issuer.hangs else issuer.seconds)
        if "/forged" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        if issuer.compresses:
            self.send_header("content-encoding", "gzip")
        self.end_headers()
        document = issuer.document()
        if issuer.drips:
            while not issuer.pause(1):
                self.wfile.write(b" ")
        elif issuer.compresses:
            self.wfile.writelines(_compressed(document, issuer.mebibytes))
        else:
            for _ in range(issuer.mebibytes):
                self.wfile.write(_PIECE)
            self.wfile.write(document)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Says nothing."""


@contextmanager
def serving(*, has_realms: bool) -> Iterator[IssuerServer]:
    """Runs an issuer in a thread."""
    with IssuerServer(has_realms=has_realms) as issuer:
        thread = threading.Thread(target=issuer.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield issuer
        finally:
            issuer.behave()
            issuer.shutdown()
            thread.join()


def _compressed(document: bytes, mebibytes: int) -> Iterator[bytes]:
    """Yields the document after so many mebibytes of spaces, in gzip."""
    packer = zlib.compressobj(wbits=31)
    for _ in range(mebibytes):
        yield packer.compress(_PIECE)
    yield packer.compress(document) + packer.flush()


@functools.cache
def _weak_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=_WEAK_BITS)
