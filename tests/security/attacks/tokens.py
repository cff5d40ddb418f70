"""Tokens that are costly to read."""

import base64
import json
from collections.abc import Callable

from tests.security.attacker import Attacker
from tests.security.attacks.registry import FOREIGN, NOBODY, OWNER, Run, attack, register
from tests.security.http1 import request
from tests.security.target import ATTACKER, VICTIM, headers_of
from tests.support.builders import NO_CUSTOMER
from tests.support.http2_frames import Headers

_PATH = f"/api/v2{NO_CUSTOMER}"


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _token(header: bytes, claims: bytes = b"{}") -> str:
    return f"{_part(header)}.{_part(claims)}.{'A' * 86}"


_HEADER = b'{"alg":"EdDSA","kid":"key-1"}'
_LONG_KEY_ID = b'{"alg":"EdDSA","kid":"' + b"k" * 40_000 + b'"}'
_LONG_NUMBER = b'{"exp":' + b"9" * 40_000 + b"}"
_MANY_CLAIMS = json.dumps({f"c{n}": n for n in range(4000)}).encode()
_TOKENS = {
    "token of dots": ("60,000 dots.", "." * 60_000),
    "long token": ("60,000 letters.", "A" * 60_000),
    "nested token": ("A header of 20,000 lists, each in another.", _token(b"[" * 20_000)),
    "nested claims": (
        "Claims of 8,000 objects, each in another.",
        _token(_HEADER, b'{"a":' * 8_000),
    ),
    "token of a long number": ("A time of 40,000 digits.", _token(_HEADER, _LONG_NUMBER)),
    "token of a huge power": ("A time of 1e400.", _token(_HEADER, b'{"exp":1e400}')),
    "token of many claims": ("4,000 claims.", _token(_HEADER, _MANY_CLAIMS)),
    "long key id": ("A key of a name of 40 kB.", _token(_LONG_KEY_ID)),
    "two tokens": ("A token and another.", f"{_token(_HEADER)}, Bearer {_token(_HEADER)}"),
}


def _send(token: str) -> Run:
    def run(attacker: Attacker) -> None:
        sent = request("GET", _PATH, headers_of(VICTIM, token).items())
        attacker.repeat(sent, connections=8)

    return run


def _add_tokens() -> None:
    for name, (summary, token) in _TOKENS.items():
        register(name, summary, _send(token), who=NOBODY, is_brief=True)


_add_tokens()


@attack(who=NOBODY)
def unlike_tokens(attacker: Attacker) -> None:
    """Tokens with a good form and a bad signature, each another, on 16 connections."""

    def get() -> bytes:
        token = attacker.issuer.token(VICTIM, jti=attacker.next())
        forged = token[:-20] + "A" * 20
        return request("GET", _PATH, headers_of(VICTIM, forged).items())

    attacker.repeat(get, connections=16)


@attack(who=OWNER)
def unlike_good_tokens(attacker: Attacker) -> None:
    """Good tokens of 12 kB, each another, so that keeping them costs."""

    def get() -> bytes:
        token = attacker.issuer.token(ATTACKER, jti=attacker.next(), note="x" * 8_500)
        return request("GET", _PATH, headers_of(ATTACKER, token).items())

    attacker.repeat(get, connections=16)


@attack(who=FOREIGN)
def forged_tokens_at_once(attacker: Attacker) -> None:
    """2,000 gets at a time, on 20 connections of HTTP/2, of callers without a right to them."""
    get = attacker.rest("GET", NO_CUSTOMER)
    _get_at_once(attacker, lambda: get)


@attack(who=NOBODY, quick=NOBODY)
def forged_tokens_from_elsewhere(attacker: Attacker) -> None:
    """The same from another network than all others, of as many tenants as there are gets."""
    headers = [it for it in attacker.rest("GET", NO_CUSTOMER) if it[0] != "x-twc-tenant"]
    _get_at_once(attacker, lambda: [*headers, ("x-twc-tenant", attacker.next())], "127.0.0.2")


def _get_at_once(attacker: Attacker, get: Callable[[], Headers], source: str = "127.0.0.1") -> None:
    """Makes 100 calls at a time on each of 20 connections."""

    def call(_: int) -> None:
        while not attacker.is_over:
            with attacker.http2(source=source) as connection:
                for _ in range(100):
                    connection.open(get(), end=True)
                connection.wait(attacker.end + attacker.answer_seconds)

    attacker.at_once(call, attacker.many(20))
