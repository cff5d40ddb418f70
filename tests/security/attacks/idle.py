"""Requests over HTTP/1.1 and REST over HTTP/2 that begin and do not go on, or go on slowly."""

from tests.security.attacker import Attacker, Stream
from tests.security.attacks.registry import EVERYONE, NOBODY, attack
from tests.security.attacks.streams import IDLE_SECONDS

PATH = "/customers"
# A body that keeps coming is to be complete, or to be cut, within this time.
BODY_SECONDS = 70

_MANY = 64


@attack(who=EVERYONE, ends_within=IDLE_SECONDS)
def idle_body(attacker: Attacker) -> None:
    """64 creates whose body of 1,000 bytes does not come."""
    head = attacker.request("POST", PATH, None, [("content-length", "1000")])
    attacker.hold(head, _MANY)


@attack(who=EVERYONE, ends_within=IDLE_SECONDS)
def idle_chunks(attacker: Attacker) -> None:
    """64 creates whose chunked body stops in the midst of a chunk."""
    head = attacker.request("POST", PATH, None, [("transfer-encoding", "chunked")])
    attacker.hold(head + b"100\r\n{", _MANY)


@attack(who=NOBODY, ends_within=BODY_SECONDS)
def dripped_body(attacker: Attacker) -> None:
    """64 creates whose body comes byte by byte."""
    head = attacker.request("POST", PATH, None, [("content-length", "1000")])
    attacker.hold(head, _MANY, drip=b" ")


@attack(who=NOBODY, seconds=8)
def dripped_chunks(attacker: Attacker) -> None:
    """64 uploads whose chunked body comes in chunks of a byte."""
    head = attacker.request("POST", "/upload-customers", None, [("transfer-encoding", "chunked")])
    attacker.hold(head, _MANY, drip=b"1\r\n \r\n")


@attack(who=NOBODY, ends_within=IDLE_SECONDS)
def dripped_headers(attacker: Attacker) -> None:
    """200 requests whose headers come byte by byte."""
    attacker.hold(b"GET /api/v2/customers/x HTTP/1.1\r\nx-a: ", attacker.many(200), drip=b"b")


@attack(who=NOBODY, ends_within=IDLE_SECONDS)
def dripped_request_line(attacker: Attacker) -> None:
    """200 requests whose path comes byte by byte."""
    attacker.hold(b"GET /", attacker.many(200), drip=b"b")


@attack(ends_within=IDLE_SECONDS)
def expect_continue(attacker: Attacker) -> None:
    """64 uploads of 15 MB that wait to be told to go on, and then send nothing."""
    headers = [("expect", "100-continue"), ("content-length", str(15 << 20))]
    attacker.hold(attacker.request("POST", "/upload-customers", None, headers), _MANY)


@attack(who=EVERYONE, ends_within=IDLE_SECONDS)
def idle_body_over_http2(attacker: Attacker) -> None:
    """64 creates over HTTP/2 that send headers and no body."""
    attacker.hold_streams(Stream(attacker.rest("POST", PATH)), _MANY)


@attack(who=NOBODY, seconds=8)
def dripped_body_over_http2(attacker: Attacker) -> None:
    """64 creates over HTTP/2 whose body comes byte by byte."""
    attacker.hold_streams(Stream(attacker.rest("POST", PATH), drip=b" "), _MANY)


@attack(who=NOBODY)
def idle_connections(attacker: Attacker) -> None:
    """3,000 connections on which nothing is sent."""
    attacker.hold(b"", attacker.many(3000))


@attack(who=NOBODY)
def idle_http2_connections(attacker: Attacker) -> None:
    """1,000 connections of HTTP/2 without a request."""
    attacker.hold(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", attacker.many(1000))


@attack(who=NOBODY, port="native")
def idle_native_connections(attacker: Attacker) -> None:
    """1,000 connections that send a part of HTTP/2's preface."""
    attacker.hold(b"PRI * HTTP/2", attacker.many(1000))
