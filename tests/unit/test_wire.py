"""How gRPC's frames, metadata and statuses are read and written."""

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.steps import EXAMPLES
from twc_customer_server.transport.wire import (
    FrameReader,
    ProtocolError,
    encode_metadata,
    encode_status,
    frame,
    frames,
    read_head,
)

MOST = 1 << 20
GRPC = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))


def _messages(reader: FrameReader, *parts: bytes) -> list[bytes]:
    """The messages of a body that comes in parts."""
    found = []
    for number, part in enumerate(parts, 1):
        reader.add(part, is_last=number == len(parts))
        while (message := reader.take()) is not None:
            found.append(message)
    return found


@EXAMPLES
@given(st.lists(st.binary(max_size=50)), st.integers(1, 20))
def test_frames(messages: list[bytes], size: int) -> None:
    """Messages are the same in whatever parts their body comes."""
    body = b"".join(map(frame, messages))
    parts = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    assert _messages(FrameReader(b"", MOST), *parts) == messages


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_compressed_frame(encoding: bytes) -> None:
    """A message that says that it is compressed is returned as it came."""
    body = b"\1" + frame(b"compressed")[1:]
    assert _messages(FrameReader(encoding, MOST), body) == [b"compressed"]


@pytest.mark.parametrize(
    ("encoding", "body", "code"),
    [
        (b"", b"\0\0\0\0\5abc", "INTERNAL"),
        (b"", b"\0\0", "INTERNAL"),
        (b"", b"\0\xff\xff\xff\xff", "RESOURCE_EXHAUSTED"),
        (b"br", b"\1\0\0\0\3abc", "UNIMPLEMENTED"),
        (b"", b"\1\0\0\0\3abc", "UNIMPLEMENTED"),
    ],
    ids=["cut off", "cut off in its length", "too large", "br", "unnamed"],
)
def test_bad_frame(encoding: bytes, body: bytes, code: str) -> None:
    """A body that is no whole message of an allowed size is refused with gRPC's code."""
    with pytest.raises(ProtocolError) as error:
        _messages(FrameReader(encoding, MOST), body)
    assert error.value.code.name == code


def test_head() -> None:
    """Metadata are in order, binary ones decoded, without the headers of gRPC itself."""
    given = ((b"x-a", b"1"), (b"x-b-bin", b"AQI,AwQ="), (b"grpc-timeout", b"250m"), (b"x-a", b"2"))
    head = read_head((*GRPC, *given))
    assert head.metadata == (("x-a", "1"), ("x-b-bin", b"\1\2"), ("x-b-bin", b"\3\4"), ("x-a", "2"))
    assert head.timeout == pytest.approx(0.25)


@pytest.mark.parametrize(
    "headers",
    [
        GRPC[:1],
        GRPC[1:],
        (GRPC[0], (b"te", b"gzip")),
        ((b"content-type", b"application/json"), GRPC[1]),
        (*GRPC, (b"x-bin", b"*")),
        *((*GRPC, (b"grpc-timeout", timeout)) for timeout in (b"", b"1", b"S", b"-1S", b"1s")),
        (*GRPC, (b"grpc-timeout", b"123456789S")),
    ],
    ids=str,
)
def test_bad_head(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """A call whose headers are not gRPC's, or that takes no trailers, is refused."""
    with pytest.raises(ProtocolError):
        read_head(headers)


@EXAMPLES
@given(st.binary(max_size=20))
def test_binary_metadata(value: bytes) -> None:
    """Binary metadata are read as they were written."""
    head = read_head((*GRPC, *encode_metadata((("x-bin", value),))))
    assert head.metadata == (("x-bin", value),)


def test_status() -> None:
    """A status message is percent-encoded, and metadata follow it."""
    headers = encode_status(grpc.StatusCode.NOT_FOUND, "100 % größe\n", (("x-a", "1"),))
    assert headers == [
        (b"grpc-status", b"5"),
        (b"grpc-message", b"100 %25 gr%C3%B6%C3%9Fe%0A"),
        (b"x-a", b"1"),
    ]


@pytest.mark.parametrize(
    ("sizes", "most", "joined"),
    [
        ([], 10, []),
        ([3], 10, [1]),
        ([3, 3, 3], 0, [1, 1, 1]),
        ([3, 3, 3], 5, [2, 1]),
        ([20, 1], 10, [1, 1]),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
def test_joined_frames(sizes: list[int], most: int, joined: list[int], *, fails: bool) -> None:
    """Messages are sent together up to a size, and those before an error before it."""
    messages = [bytes(size) for size in sizes]

    def made() -> Iterator[bytes]:
        yield from messages
        if fails:
            raise ConnectionError

    parts: list[bytes] = []
    with pytest.raises(ConnectionError) if fails else nullcontext():
        parts.extend(frames(made(), most))
    whole = iter(map(frame, messages))
    assert parts == [b"".join(islice(whole, count)) for count in joined]
