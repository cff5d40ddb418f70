"""Messages of streams, as a client gets them from grpcio."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.client import SECONDS
from twc_customer_server.transport.admission import Dispatcher
from twc_customer_server.transport.incoming import GrpcioExecutor
from twc_customer_server.transport.interface import IncomingCall

PATH = "/test.Service/Stream"

Handler = Callable[[bytes, grpc.ServicerContext], Iterator[bytes]]


@contextmanager
def served(handler: Handler, *, is_short: bool = False) -> Iterator["grpc.Channel"]:
    """Serves a handler of a stream; yields a channel to it."""

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
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
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


@given(st.lists(st.integers(0, 40_000), max_size=12), st.booleans())
def test_any_sizes(sizes: list[int], is_short: bool) -> None:  # noqa: FBT001
    """Messages of any size come whole and in their order."""
    with served(lambda *_: (it for it in _messages(sizes)), is_short=is_short) as channel:
        assert [*call(channel)] == _messages(sizes)
