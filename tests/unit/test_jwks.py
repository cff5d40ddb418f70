"""What JWKS documents list, and where they are read."""

import json
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.support.issuers import (
    Answer,
    IssuerSite,
    dripping,
    endless,
    hanging,
    in_gzip,
    publishing,
    response,
)
from tests.support.tokens import Issuer, jwks
from twc_customer_server.auth import jwks as jwks_module
from twc_customer_server.auth.jwks import (
    MAX_DOCUMENT_BYTES,
    MAX_KEYS,
    JwksError,
    fetch,
    fetch_realm,
    parse,
)

OLD = Issuer(key_id="old")
NEW = Issuer(key_id="new")


def public(key: jwt.PyJWK | None) -> Any:
    """What makes one key equal another."""
    assert key
    return key.key.public_bytes_raw()


# What a JWKS document lists.

EC_JWK = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
LEFT_OUT: dict[str, Any] = {
    "key that encrypts": NEW.jwk() | {"use": "enc"},
    "unknown use": NEW.jwk() | {"use": "other"},
    "unknown type": NEW.jwk() | {"kty": "XYZ"},
    "no type": {"kid": "new", "use": "sig"},
    "unknown curve": NEW.jwk() | {"crv": "Ed1", "alg": None},
    "unknown algorithm": NEW.jwk() | {"alg": "XY256"},
    "algorithm of another type": NEW.jwk() | {"alg": "RS256"},
    "no key": NEW.jwk() | {"x": ""},
    "key cut": NEW.jwk() | {"x": NEW.jwk()["x"][:-4]},
    "key of a number": NEW.jwk() | {"x": 7},
    "key that is no base64": NEW.jwk() | {"x": "!"},
    "no point of the curve": EC_JWK | {"kid": "new", "x": EC_JWK["y"], "y": EC_JWK["x"]},
    "no kid": {name: value for name, value in NEW.jwk().items() if name != "kid"},
    "empty kid": NEW.jwk() | {"kid": ""},
    "kid null": NEW.jwk() | {"kid": None},
    "string": "new",
    "null": None,
    "list": [NEW.jwk()],
    "nothing": {},
}
NO_JWKS = {
    "empty": b"",
    "no JSON": b"<html></html>",
    "not UTF-8": b'{"keys": ["\xff"]}',
    "list": json.dumps([OLD.jwk()]).encode(),
    "single key": json.dumps(OLD.jwk()).encode(),
    "other object": b'{"error": "not found"}',
    "null": b"null",
    "keys null": b'{"keys": null}',
    "keys an object": b'{"keys": {}}',
    "cut": jwks(OLD)[:-1],
    "nested deeply": b'{"keys": ' + b"[" * 100_000,
}


def listing(*entries: Any) -> bytes:
    """A JWKS document of any entries."""
    return json.dumps({"keys": entries}).encode()


@pytest.mark.parametrize("entry", LEFT_OUT.values(), ids=LEFT_OUT)
def test_parse_unusable_keys(entry: Any) -> None:
    """What cannot be used to verify a token is left out, and costs no other key."""
    assert parse(listing(entry, OLD.jwk())).keys() == {"old"}
    assert parse(listing(OLD.jwk(), entry)).keys() == {"old"}


@pytest.mark.parametrize("absent", ["use", "alg"])
def test_parse_without_optional_members(absent: str) -> None:
    """A key need not say its use and its algorithm."""
    entry = {name: value for name, value in NEW.jwk().items() if name != absent}
    [key] = parse(listing(entry)).values()
    assert (key.algorithm_name, public(key)) == (
        "EdDSA",
        NEW.key.public_key().public_bytes_raw(),
    )


def test_parse_unknown_members() -> None:
    """Members that are not known, of keys and of the document, change nothing."""
    entry = NEW.jwk() | {"x5t": "abc", "other": [1]}
    assert parse(json.dumps({"keys": [entry], "other": 1}).encode()).keys() == {"new"}


def test_parse_empty_list() -> None:
    """A JWKS document may list no key."""
    assert parse(listing()) == {}


@pytest.mark.parametrize("document", NO_JWKS.values(), ids=NO_JWKS)
def test_parse_invalid_document(document: bytes) -> None:
    """What is no JWKS document is an error: the keys at hand stay."""
    with pytest.raises(JwksError, match=r"^not a J"):
        parse(document)


@pytest.mark.parametrize("bits", [1024, 2047])
def test_parse_weak_key(bits: int, caplog: pytest.LogCaptureFixture) -> None:
    """An RSA key that is too short is left out, and the log says so."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    entry = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "weak", "use": "sig"}
    assert parse(listing(entry, OLD.jwk())).keys() == {"old"}
    [warning] = caplog.records
    assert warning.levelname == "WARNING"
    assert f"skipped: it has {bits} bits, fewer than 2048 (RFC 7518" in warning.getMessage()


def test_parse_too_many_keys(caplog: pytest.LogCaptureFixture) -> None:
    """Of a document with very many keys the first are read, and the log says so."""
    entries = [OLD.jwk() | {"kid": str(number)} for number in range(MAX_KEYS + 1)]
    assert list(parse(listing(*entries))) == [str(number) for number in range(MAX_KEYS)]
    assert "only the first 100 of an issuer's 101 keys are read" in caplog.text


# Where a JWKS document is read.


@pytest.fixture
def site() -> Iterator[IssuerSite]:
    """The web server of an issuer with the key `old`."""
    with IssuerSite(publishing(jwks(OLD))) as site:
        yield site


def test_read_file(tmp_path: Path) -> None:
    """Keys are read from a file, as it is at the time."""
    location = tmp_path / "jwks.json"
    for issuer in (OLD, NEW):
        location.write_bytes(jwks(issuer))
        assert fetch(str(location)).keys() == {issuer.key_id}


@pytest.mark.parametrize("name", ["none.json", "."], ids=["no file", "folder"])
def test_read_no_file(tmp_path: Path, name: str) -> None:
    """A file that cannot be read is an error."""
    with pytest.raises(OSError, match=r".+"):
        fetch(str(tmp_path / name))


def test_read_spoilt_file(tmp_path: Path) -> None:
    """A file that is no JWKS document is an error."""
    location = tmp_path / "jwks.json"
    location.write_text("[]")
    with pytest.raises(ValueError, match="not a JWKS document"):
        fetch(str(location))


def test_read_large_file(tmp_path: Path) -> None:
    """A file is read up to a greatest size, and refused beyond."""
    location = tmp_path / "jwks.json"
    location.write_bytes(jwks(OLD).ljust(MAX_DOCUMENT_BYTES))
    assert fetch(str(location)).keys() == {"old"}
    location.write_bytes(jwks(OLD).ljust(MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(JwksError, match="larger than 1,048,576 bytes"):
        fetch(str(location))


def test_read_url(site: IssuerSite) -> None:
    """Keys are fetched from a URL, whatever content type the issuer gives them."""
    site.answer = publishing(jwks(OLD), headers="content-type: text/plain; charset=latin-1\r\n")
    assert fetch(f"{site.url}/jwks.json").keys() == {"old"}
    assert site.paths == ["/jwks.json"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_read_url_with_redirect(site: IssuerSite, status: int) -> None:
    """A redirect is not followed, and is no answer, whatever comes with it."""
    site.answer = publishing(jwks(OLD), f"{status} Elsewhere", "location: /other.json\r\n")
    with pytest.raises(JwksError, match=f"HTTP status {status}"):
        fetch(f"{site.url}/jwks.json")
    assert site.paths == ["/jwks.json"]


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 502, 503])
def test_read_url_with_error(site: IssuerSite, status: int) -> None:
    """An error of the issuer is an error, though keys come with it."""
    site.answer = publishing(jwks(OLD), f"{status} No")
    with pytest.raises(JwksError, match=f"HTTP status {status}"):
        fetch(site.url)


@pytest.mark.parametrize("status", [404, 410])
def test_read_url_of_nothing(site: IssuerSite, status: int) -> None:
    """An issuer that says there is nothing is as a file that is not there."""
    site.answer = publishing(jwks(OLD), f"{status} No")
    with pytest.raises(FileNotFoundError):
        fetch(site.url)


def test_read_url_of_no_jwks(site: IssuerSite) -> None:
    """An answer that is no JWKS document is an error."""
    site.answer = publishing(b"<html></html>")
    with pytest.raises(JwksError, match="not a JSON document"):
        fetch(site.url)


def test_read_unreachable_url() -> None:
    """An issuer that is not there is an error."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            fetch(f"http://127.0.0.1:{bound.getsockname()[1]}/jwks.json")


def test_read_unknown_host() -> None:
    """An issuer whose name nobody knows is an error."""
    with pytest.raises(socket.gaierror):
        fetch("http://issuer.invalid/jwks.json")


DOCUMENT = jwks(OLD)
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"hello\r\n\r\n",
    "headers without an end": b"HTTP/1.1 200 OK\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    "header that is too long": b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000 + b"\r\n\r\n",
    "document cut": response(DOCUMENT)[:-1],
    "chunks cut": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}",
    "chunk of no size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n{}",
    "no gzip": response(DOCUMENT, headers="content-encoding: gzip\r\n"),
    "unknown compression": response(DOCUMENT, headers="content-encoding: br\r\n"),
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
def test_read_broken_response(site: IssuerSite, sent: bytes) -> None:
    """A response that cannot be read is an error, and none that ends the fetching."""
    site.answer = lambda connection, _: connection.sendall(sent)
    with pytest.raises((OSError, JwksError)):
        fetch(site.url)


SLOW: dict[str, Answer] = {
    "hangs": hanging,
    "drips headers": dripping(DOCUMENT, 10),
    "drips the document": dripping(DOCUMENT, len(response(DOCUMENT)) - 100),
}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
def test_read_slow_issuer(
    site: IssuerSite, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch ends with its time, though something comes all the while."""
    monkeypatch.setattr(jwks_module, "FETCH_SECONDS", 0.3)
    site.answer = answer
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        fetch(site.url)
    # A byte each 0.05 seconds makes five seconds of what is left of each.
    assert time.monotonic() - began < 3


LARGE: dict[str, Callable[[], Answer]] = {
    "without an end": lambda: endless,
    "a byte too much": lambda: publishing(DOCUMENT.ljust(MAX_DOCUMENT_BYTES + 1)),
    "in gzip": lambda: in_gzip(DOCUMENT, megabytes=100),
}


@pytest.mark.parametrize("make_answer", LARGE.values(), ids=LARGE)
def test_read_large_document(site: IssuerSite, make_answer: Callable[[], Answer]) -> None:
    """A document that is too large is refused, and not read as a whole."""
    site.answer = make_answer()
    tracemalloc.start()
    try:
        with pytest.raises(JwksError, match="larger than 1,048,576 bytes"):
            fetch(site.url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MAX_DOCUMENT_BYTES


def test_read_largest_document(site: IssuerSite) -> None:
    """A document may be as large as the limit, in gzip as well."""
    site.answer = publishing(DOCUMENT.ljust(MAX_DOCUMENT_BYTES))
    assert fetch(site.url).keys() == {"old"}
    site.answer = in_gzip(DOCUMENT.ljust(MAX_DOCUMENT_BYTES))
    assert fetch(site.url).keys() == {"old"}


def test_read_realm(site: IssuerSite, tmp_path: Path) -> None:
    """A realm that is not there has no keys; one that cannot be read now is an error."""
    assert fetch_realm(site.url).keys() == {"old"}
    assert fetch_realm(str(tmp_path / "none.json")) == {}
    site.answer = publishing(b"", "404 Not Found")
    assert fetch_realm(site.url) == {}
    site.answer = publishing(b"", "500 No")
    with pytest.raises(JwksError):
        fetch_realm(site.url)
