"""HTTP/1.1 at its edges: many connections, pipelines, upgrades, odd framing, long paths."""

import socket
import struct
from contextlib import suppress

from tests.security.attacker import API, Attacker
from tests.security.attacks.registry import EVERYONE, FOREIGN, NOBODY, Run, attack, register
from tests.security.http1 import request
from tests.support.builders import NO_CUSTOMER

_ORIGIN = ("origin", "https://shop.example")
_LINGER = struct.pack("ii", 1, 0)
_READ_BYTES = 1 << 20


@attack(who=NOBODY)
def connection_churn(attacker: Attacker) -> None:
    """Connections that are reset as soon as they are made."""

    def call(_: int) -> None:
        while not attacker.is_over:
            if connection := attacker.connect():
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                attacker.drop(connection)
                attacker.outcomes.add("reset by us")

    attacker.at_once(call, 8)


@attack(who=EVERYONE)
def pipelines(attacker: Attacker) -> None:
    """1,000 gets in one piece on each of eight connections, whose answers nobody reads."""
    sent = attacker.request("GET", NO_CUSTOMER) * attacker.many(1000)

    def call(_: int) -> None:
        while not attacker.is_over:
            if connection := attacker.connect():
                connection.settimeout(1)
                with suppress(OSError):
                    while not attacker.is_over:
                        connection.sendall(sent)
                attacker.outcomes.add("not read")
                attacker.drop(connection)

    attacker.at_once(call, 8)


@attack(who=NOBODY, answer_bytes=None, is_public=True)
def unread_page(attacker: Attacker) -> None:
    """The largest file of `/docs`, eight times at once on 500 connections that read little."""
    headers = [("accept-encoding", "gzip")]
    sent = request("GET", "/docs/swagger-ui-bundle.js", headers, None) * 8
    attacker.hold(sent, attacker.many(500))


@attack(who=FOREIGN)
def closed_after_request(attacker: Attacker) -> None:
    """Gets whose client closes its side at once."""
    sent = attacker.request("GET", NO_CUSTOMER)

    def call(_: int) -> None:
        while not attacker.is_over:
            if connection := attacker.connect():
                with suppress(OSError):
                    connection.sendall(sent)
                    connection.shutdown(socket.SHUT_WR)
                    first = connection.recv(_READ_BYTES)
                    label = first[9:12].decode("latin-1") if first else "cut"
                    attacker.outcomes.add(label, len(first))
                attacker.drop(connection)

    attacker.at_once(call, 8)


@attack(who=EVERYONE)
def abandoned_requests(attacker: Attacker) -> None:
    """Lookups whose client is gone before the answer."""
    sent = attacker.request("GET", "/customers/search?firstName=x")

    def call(_: int) -> None:
        while not attacker.is_over:
            if connection := attacker.connect():
                with suppress(OSError):
                    connection.sendall(sent)
                attacker.drop(connection)
                attacker.outcomes.add("given up")

    attacker.at_once(call, 8)


def _numbered(count: int) -> str:
    """Makes so many lines of headers."""
    return "".join(f"x-{n}: {n}\r\n" for n in range(count))


# What is sent as it is, by its name: what it does, the request's line, and what follows.
_GET, _POST = f"GET {API}{NO_CUSTOMER}", f"POST {API}/customers"
_INNER = f"GET {API}/customers/CANARY HTTP/1.1\r\nhost: localhost\r\n\r\n"
_SEARCH = f"GET {API}/customers/search?"
_CHUNKED = "transfer-encoding: chunked\r\n"
_ODD: dict[str, tuple[str, str, str]] = {
    "websocket": (
        "An upgrade to a websocket.",
        _GET,
        (
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ),
    ),
    "upgrade to http2": (
        "An upgrade from HTTP/1.1 to HTTP/2.",
        _GET,
        (
            "connection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
            "http2-settings: AAMAAABkAAQAAP__\r\n\r\n"
        ),
    ),
    "tunnel": (
        "A tunnel to an address of the cloud's metadata.",
        "CONNECT 169.254.169.254:80",
        "\r\n",
    ),
    "absolute path": (
        "A request for another host.",
        f"GET http://169.254.169.254{API}{NO_CUSTOMER}",
        "\r\n",
    ),
    "trace": ("A request that asks to be sent back.", f"TRACE {API}/customers", "\r\n"),
    "two lengths": (
        "A body with two lengths, and a request within it.",
        _POST,
        f"content-length: 2\r\ncontent-length: {len(_INNER)}\r\n\r\n{_INNER}",
    ),
    "length and chunks": (
        "A body with a length and with chunks, and a request within it.",
        _POST,
        f"content-length: 4\r\n{_CHUNKED}\r\n0\r\n\r\n{_INNER}",
    ),
    "odd transfer encoding": (
        "A body of an encoding that is nearly chunked.",
        _POST,
        f"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{_INNER}",
    ),
    "negative length": ("A body of less than nothing.", _POST, "content-length: -1\r\n\r\n"),
    "uncountable length": (
        "A body of more bytes than 64 bits can count.",
        _POST,
        f"content-length: {(1 << 64) + 1}\r\n\r\n{{}}",
    ),
    "huge chunk": ("A chunk of an exabyte.", _POST, f"{_CHUNKED}\r\nFFFFFFFFFFFFFFFFF\r\n{{}}"),
    "chunk extensions": (
        "A body of 2,000 chunks of a byte, each with an extension of 1 kB.",
        _POST,
        f"{_CHUNKED}\r\n" + f"1;{'x' * 1000}\r\n \r\n" * 2000 + "0\r\n\r\n",
    ),
    "many trailers": (
        "A body with 5,000 trailers.",
        _POST,
        f"{_CHUNKED}\r\n2\r\n{{}}\r\n0\r\n{_numbered(5000)}\r\n",
    ),
    "ranges": (
        "A get of 1,000 ranges.",
        _GET,
        f"range: bytes={','.join(f'{n}-{n}' for n in range(1000))}\r\n\r\n",
    ),
    "line feeds": ("50,000 line feeds before a request.", "\r\n" * 50_000 + _GET, "\r\n"),
    "noise": ("50,000 bytes that are no request.", "\x16\x03\x01\x00" * 12_500, "\r\n"),
    "many headers": ("A get with 5,000 headers.", _GET, f"{_numbered(5000)}\r\n"),
    "long path": ("A path of 90 kB.", _GET + "x" * 90_000, "\r\n"),
    "path of slashes": ("A path of 80,000 slashes.", f"GET {'/' * 80_000}", "\r\n"),
    "path of dots": ("A path that goes up 15,000 times.", f"GET {'/a/..' * 15_000}", "\r\n"),
    "path of escapes": ("A path of 25,000 escapes.", _GET + "%2e" * 25_000, "\r\n"),
    "query of parameters": (
        "A lookup with 20,000 parameters.",
        _SEARCH + "&".join(f"a={n % 10}" for n in range(20_000)),
        "\r\n",
    ),
    "query of allowed parameters": (
        "A lookup that has each of its parameters thousands of times.",
        _SEARCH + "&".join(["email=a", "phone=1", "mobile=1"] * 2500),
        "\r\n",
    ),
    "query of hundred thousand": (
        "A lookup with 100,000 parameters, more than headers may have.",
        _SEARCH + "&".join(["a=b"] * 100_000),
        "\r\n",
    ),
    "query of escapes": (
        "A lookup of a name of 30,000 escapes.",
        f"{_SEARCH}firstName={'%c3%a4' * 15_000}",
        "\r\n",
    ),
}


def _send(line: str, rest: str) -> Run:
    def run(attacker: Attacker) -> None:
        headers = "".join(f"{name}: {value}\r\n" for name, value in attacker.headers().items())
        sent = f"{line} HTTP/1.1\r\nhost: localhost\r\n{headers}"
        if "POST" in line:
            sent += "content-type: application/json\r\n"
        attacker.repeat((sent + rest).encode("latin-1"), connections=8)

    return run


def _add_odd() -> None:
    for name, (summary, line, rest) in _ODD.items():
        register(name, summary, _send(line, rest), who=NOBODY, is_brief=True)


_add_odd()


@attack(who=NOBODY, is_public=True)
def preflights(attacker: Attacker) -> None:
    """Preflights from an origin that is allowed, on 16 connections."""
    asks = ("access-control-request-method", "POST")
    attacker.repeat(request("OPTIONS", f"{API}/customers", [_ORIGIN, asks]), connections=16)


@attack(who=NOBODY, is_public=True)
def health_checks(attacker: Attacker) -> None:
    """Health checks as fast as they are answered, on 32 connections."""
    attacker.repeat(request("GET", "/healthz", []), connections=32)


@attack(who=NOBODY)
def unknown_paths(attacker: Attacker) -> None:
    """Paths and methods that do not exist, on 32 connections."""
    sent = [request("GET", f"/{attacker.next()}", []) for _ in range(20)]
    sent += [request("PATCH", f"{API}/customers", []) for _ in range(20)]
    attacker.repeat(*sent, connections=32)


@attack(who=FOREIGN)
def bad_tokens_at_once(attacker: Attacker) -> None:
    """Gets on 64 connections."""
    attacker.repeat(attacker.request("GET", NO_CUSTOMER), connections=attacker.many(64))
