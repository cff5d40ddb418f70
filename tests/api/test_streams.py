"""Messages of streams, as a client gets them from grpcio."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.client import SECONDS
from tests.support.http2 import Http2
from twc_customer_server.transport.admission import Dispatcher
from twc_customer_server.transport.incoming import GrpcioExecutor
from twc_customer_server.transport.interface import IncomingCall

PATH = "/test.Service/Stream"

CANCELLED = 1

Handler = Callable[[bytes, grpc.ServicerContext], Iterator[bytes]]


@contextmanager
def served(handler: Handler, *, is_short: bool = False) -> Iterator["grpc.Channel"]:
    """Serves a handler of a stream; yields a channel to it."""
    with (
        listening(handler, is_short=is_short) as address,
        grpc.insecure_channel(address) as channel,
    ):
        yield channel


@contextmanager
def listening(handler: Handler, *, is_short: bool = False) -> Iterator[str]:
    """Serves a handler of a stream; yields its address."""

    def accept(call: IncomingCall) -> None:
        def run(message: bytes | None) -> None:
            thread = threading.Thread(
                target=call.run_with, args=(handler, message), kwargs={"is_short": is_short}
            )
            thread.start()

        call.receive(run)

    executor = GrpcioExecutor(Dispatcher({handler: accept}).take)
    server = grpc.server(executor.as_threads())
    rpc: Any = grpc.unary_stream_rpc_method_handler(handler)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("test.Service", {"Stream": rpc}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait(SECONDS)


def call(channel: "grpc.Channel", request: bytes = b"") -> Any:
    """Calls the handler."""
    stub: Any = channel.unary_stream(PATH)
    return stub(request, timeout=SECONDS)


def _messages(sizes: list[int]) -> list[bytes]:
    return [bytes([number % 256]) * size for number, size in enumerate(sizes)]


SIZES = {
    "none": [],
    "empty": [0],
    "one": [1],
    "some": [10, 0, 300],
    "many": [700] * 100,
    "large": [100_000, 1, 100_000],
}


@pytest.mark.parametrize("is_short", [False, True], ids=["long", "short"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("fails", [False, True], ids=["ok", "error"])
def test_order(sizes: list[int], *, fails: bool, is_short: bool) -> None:
    """All messages come in their order, and after them the status, with its metadata."""

    def handler(_: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.set_trailing_metadata((("end", "yes"),))
        yield from _messages(sizes)
        if fails:
            context.abort(grpc.StatusCode.ABORTED, "told")

    received = []
    with served(handler, is_short=is_short) as channel:
        responses = call(channel)
        try:
            received += responses
        except grpc.RpcError:
            assert fails
        assert received == _messages(sizes)
        ended = (responses.code(), responses.details(), dict(responses.trailing_metadata()))
    expected = (grpc.StatusCode.ABORTED, "told") if fails else (grpc.StatusCode.OK, "")
    assert ended == (*expected, {"end": "yes"})


def test_message_at_once() -> None:
    """A message of a long stream comes although the next one does not."""
    goes_on = threading.Event()

    def handler(_: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:  # noqa: ARG001
        yield b"first"
        goes_on.wait(SECONDS)
        yield b"second"

    with served(handler) as channel:
        responses = call(channel)
        assert next(responses) == b"first"
        goes_on.set()
        assert [*responses] == [b"second"]


def test_client_that_does_not_read() -> None:
    """Of a stream whose client takes nothing, few messages are made."""
    made = []
    closed = threading.Event()

    def handler(_: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:  # noqa: ARG001
        try:
            for number in range(10_000):
                made.append(number)
                yield bytes(10_000)
        finally:
            closed.set()

    with served(handler) as channel:
        responses = call(channel)
        next(responses)
        assert not closed.wait(0.5)
        responses.cancel()
        assert closed.wait(SECONDS)
    # grpcio has as much on its way as HTTP/2 lets it, which is up to a few MiB.
    assert len(made) < 1_000


UNREAD = {
    # Fewer bytes than a thread makes ahead.
    "error": ([20_000] * 3, False, True),
    "short": ([20_000] * 50, True, False),
    "short with error": ([20_000] * 50, True, True),
}


@pytest.mark.parametrize(("sizes", "is_short", "fails"), UNREAD.values(), ids=UNREAD)
def test_thread_of_unread_stream(sizes: list[int], *, is_short: bool, fails: bool) -> None:
    """No thread waits until a client has taken the messages before an error, or a short stream."""
    threads: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()

    def handler(_: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        threads.put(threading.current_thread())
        yield from _messages(sizes)
        if fails:
            context.abort(grpc.StatusCode.ABORTED, "told")

    with (
        listening(handler, is_short=is_short) as address,
        Http2(address, window=0) as connection,
    ):
        connection.send(connection.begin(PATH), b"")
        thread = threads.get(timeout=SECONDS)
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_stream_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream whose client takes nothing for too long is cancelled, and its thread freed."""
    monkeypatch.setattr("twc_customer_server.contract.STREAM_IDLE_SECONDS", 0.5)
    closed = threading.Event()

    def handler(_: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:  # noqa: ARG001
        try:
            yield from _messages([20_000] * 50)
        finally:
            closed.set()

    with listening(handler) as address, Http2(address, window=0) as connection:
        stream = connection.begin(PATH)
        connection.send(stream, b"")
        assert connection.end() == (stream, CANCELLED)
        assert closed.wait(SECONDS)


def test_error_of_a_handler_itself() -> None:
    """An unforeseen error of a handler comes after its messages, without what it says."""

    def handler(_: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:  # noqa: ARG001
        yield b"first"
        raise RuntimeError("private")

    with served(handler) as channel:
        responses = call(channel)
        assert next(responses) == b"first"
        with pytest.raises(grpc.RpcError):
            next(responses)
        assert responses.code() is grpc.StatusCode.UNKNOWN
        assert responses.details() == "the handler ended with RuntimeError"


@given(st.lists(st.integers(0, 40_000), max_size=12), st.booleans())
def test_any_sizes(sizes: list[int], is_short: bool) -> None:  # noqa: FBT001
    """Messages of any size come whole and in their order."""
    with served(lambda *_: (it for it in _messages(sizes)), is_short=is_short) as channel:
        assert [*call(channel)] == _messages(sizes)
