"""Sends HTTP requests without TLS."""

import ssl
from typing import Any

import httpx

from tests.support.client import SECONDS

# Without certificates: to load the system's takes longer than most tests.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(local_address: str | None = None, **options: Any) -> httpx.Client:
    """Makes a client that calls from an address, if one is given, with options of httpx."""
    transport = httpx.HTTPTransport(verify=_NO_CERTIFICATES, local_address=local_address)
    return httpx.Client(transport=transport, timeout=SECONDS, **options)


def http_request(method: str, url: str, **options: Any) -> httpx.Response:
    """Sends a request on a connection of its own, with options of httpx."""
    with http_client() as client:
        return client.request(method, url, **options)
