"""Reads the public keys of issuers (JWKS, RFC 7517), from a file or a URL."""

import json
import logging
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from twc_customer_server.auth import timed_http

# For a fetch as a whole: connection, headers and document.
FETCH_SECONDS = 5.0

MAX_DOCUMENT_BYTES = 1024 * 1024
MAX_KEYS = 100

# RFC 7518, section 3.3
MIN_RSA_BITS = 2048

Keys = dict[str, jwt.PyJWK]

_log = logging.getLogger(__name__)


class JwksError(ValueError):
    """The document at a location is not a JWKS; the message repeats nothing of it."""


def fetch(location: str) -> Keys:
    """Fetches the signing keys at a path or a URL, within FETCH_SECONDS.

    Raises FileNotFoundError if there is no document, OSError if it cannot be
    fetched, and JwksError if it is unusable. Redirects are not followed, since
    the operator chooses the host that is trusted.
    """
    if not location.startswith(("https://", "http://")):
        return parse(_read_file(location))
    try:
        response = timed_http.get(location, FETCH_SECONDS, MAX_DOCUMENT_BYTES)
    except ValueError as error:
        raise JwksError(error) from None
    if response.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise FileNotFoundError(location)
    if response.status != HTTPStatus.OK:
        raise JwksError(f"HTTP status {response.status}")
    return parse(response.content)


def fetch_realm(location: str) -> Keys:
    """Fetches the keys of a realm as `fetch` does; a realm that does not exist has none."""
    try:
        return fetch(location)
    except FileNotFoundError:
        return {}


def parse(document: bytes) -> Keys:
    """Parses a JWKS document; skips keys that do not sign or are not supported.

    Raises JwksError if it is not a JWKS.
    """
    try:
        listed = json.loads(document)
    except (ValueError, RecursionError):
        raise JwksError("not a JSON document") from None
    if not isinstance(listed, dict) or not isinstance(listed.get("keys"), list):
        raise JwksError("not a JWKS document")
    entries = listed["keys"]
    if len(entries) > MAX_KEYS:
        _log.warning("only the first %d of an issuer's %d keys are read", MAX_KEYS, len(entries))
    return dict(_signing_keys(entries[:MAX_KEYS]))


def _read_file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        content = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise JwksError(f"the document is larger than {MAX_DOCUMENT_BYTES:,} bytes")
    return content


def _signing_keys(entries: list[Any]) -> Iterator[tuple[str, jwt.PyJWK]]:
    """Yields the supported keys that sign, by their ids."""
    for entry in entries:
        if not (isinstance(entry, dict) and entry.get("use", "sig") == "sig" and entry.get("kid")):
            continue
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError as error:
            _log.info("a key of an issuer is skipped: %s", type(error).__name__)
            continue
        if isinstance(key.key, RSAPublicKey | RSAPrivateKey) and key.key.key_size < MIN_RSA_BITS:
            _log.warning(
                "an RSA key of an issuer is skipped: it has %d bits, fewer than %d "
                "(RFC 7518, section 3.3)",
                key.key.key_size,
                MIN_RSA_BITS,
            )
            continue
        yield str(entry["kid"]), key
