"""Messages of gRPC and gRPC-Web that lie about their length, or are no messages."""

import base64

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.security.attacker import SERVICE, Attacker, Who
from tests.security.attacks.registry import Run, attack, register
from tests.security.http1 import request
from tests.support.http2_frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    frame,
    header_block,
    message,
)

# gRPC has INTERNAL and UNIMPLEMENTED for messages that break its own protocol.
_INTERNAL = ("grpc 13", "grpc 2", "500")
_GOOD = pb.CreateCustomerRequest(customer=Customer(email="a@example.com")).SerializeToString()
# A field of a length that has no bytes, and a group within a group within a group.
_NESTED = b"\x9b\x06" * 100_000

_MESSAGES: dict[str, tuple[str, bytes]] = {
    "short message": ("A message of fewer bytes than it says.", message(_GOOD, length=9999)),
    "long message": ("A message of more bytes than it says.", message(_GOOD, length=3)),
    "endless message": ("A message of 4 GB by its length.", message(b"x", length=(1 << 32) - 1)),
    "compressed by no one": ("A message that claims to be compressed.", message(_GOOD, flag=1)),
    "unknown flag": ("A message with a flag that does not exist.", message(_GOOD, flag=255)),
    "two messages": ("Two messages where one belongs.", message(_GOOD) * 2),
    "no message": ("The end of a call without a message.", b""),
    "many empty messages": ("100,000 messages of no bytes.", message(b"") * 100_000),
    "half a prefix": ("Three bytes of the prefix of a message.", b"\0\0\0"),
    "no protobuf": ("A message of bytes that are no Protocol Buffers.", message(b"\xff" * 10_000)),
    "nested groups": ("A message of 100,000 groups, each in another.", message(_NESTED)),
    "unknown fields": ("A message of a million unknown fields.", message(b"\xf8\x07\x01" * 10**6)),
    "overlong numbers": ("A message whose lengths have more bytes than numbers may.",
        message(b"\x0a" + b"\xff" * 1000)),
}  # fmt: skip


def _native(content: bytes) -> Run:
    def run(attacker: Attacker) -> None:
        while not attacker.is_over:
            calls = [attacker.rpc(f"{SERVICE}/CreateCustomer") for _ in range(8)]
            attacker.call_all(calls, content)

    return run


def _web(content: bytes) -> Run:
    def run(attacker: Attacker) -> None:
        media = [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1")]
        headers = [*attacker.headers().items(), *media]
        sent = request("POST", f"{SERVICE}/CreateCustomer", headers, content)
        attacker.repeat(sent, connections=4)

    return run


def _add_messages() -> None:
    for name, (summary, content) in _MESSAGES.items():
        for suffix, port, run in (
            ("", "gateway", _native(content)),
            (" native", "native", _native(content)),
            (" over web", "gateway", _web(content)),
        ):
            who = (Who.NONE, Who.OWN) if not suffix else (Who.NONE,)
            register(
                name + suffix, summary, run, who=who, port=port, allowed=_INTERNAL, is_brief=True
            )


_add_messages()


@attack(allowed=(*_INTERNAL, "200"))
def web_text_that_is_none(attacker: Attacker) -> None:
    """Calls of gRPC-Web in base64 that is broken, and in base64 of nothing but padding."""
    media = [("content-type", "application/grpc-web-text"), ("x-grpc-web", "1")]
    headers = [*attacker.headers().items(), *media]
    contents = (b"!!!!" * 1000, b"====" * 1000, base64.b64encode(message(_GOOD))[:-3] + b"\0==")
    sent = [request("POST", f"{SERVICE}/CreateCustomer", headers, it) for it in contents]
    attacker.repeat(*sent, connections=4)


@attack(native=True, allowed=_INTERNAL)
def request_trailers(attacker: Attacker) -> None:
    """Calls that end with trailers of 30 kB, among them such as only answers have."""
    trailers = header_block([("grpc-status", "0"), *((f"x-{n}", "y" * 500) for n in range(30))])
    size = 1 << 14
    while not attacker.is_over:
        with attacker.http2() as connection:
            stream = connection.open(attacker.rpc(f"{SERVICE}/CreateCustomer"))
            connection.write(stream, message(_GOOD), attacker.end)
            parts = [trailers[at : at + size] for at in range(0, len(trailers), size)]
            frames = [frame(HEADERS, END_STREAM, stream, parts[0])]
            frames += [frame(CONTINUATION, 0, stream, part) for part in parts[1:]]
            connection.send(b"".join([*frames, frame(CONTINUATION, END_HEADERS, stream)]))
            connection.wait(attacker.end)


@attack(native=True, allowed=_INTERNAL)
def odd_encodings(attacker: Attacker) -> None:
    """Calls of encodings, media types and binary metadata that do not exist."""
    path = f"{SERVICE}/CreateCustomer"
    odd = (
        attacker.rpc(path, grpc_encoding="bogus"),
        attacker.rpc(path, grpc_accept_encoding=",".join(["gzip"] * 5000)),
        attacker.rpc(path, x_bin="!" * 5000),
        attacker.rpc(path, grpc_timeout="9" * 5000),
        [(name, "application/grpc+" + "x" * 5000 if name == "content-type" else value)
         for name, value in attacker.rpc(path)],
    )  # fmt: skip
    while not attacker.is_over:
        attacker.call_all(odd, message(_GOOD))


@attack(native=True, allowed=_INTERNAL)
def bad_header_fields(attacker: Attacker) -> None:
    """Calls with pseudo-headers twice, missing, unknown and last, and with names in capitals."""
    good = attacker.rpc(f"{SERVICE}/GetCustomer")
    odd = (
        [*good, (":path", "/x")],
        [*good[4:], *good[:4]],
        good[1:],
        [*good, (":status", "200")],
        [*good, ("X-Capital", "1")],
        [*good, ("connection", "close")],
        [*good, ("x-line", "a\r\nb: c")],
        [*good, ("x-nul", "\0")],
        [*good, ("content-length", "-5")],
        [(name, "" if name == ":path" else value) for name, value in good],
    )

    def call(number: int) -> None:
        while not attacker.is_over:
            attacker.call_all([odd[number]], message(b""))

    attacker.at_once(call, len(odd))
