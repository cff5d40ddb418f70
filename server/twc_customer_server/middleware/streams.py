"""Streams of messages: bounds their duration, and finds out how they ended."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import grpc

from twc_customer_server import contract
from twc_customer_server.errors import EXPIRED, Unauthenticated

L = TypeVar("L", bound="LimitedCall")
T = TypeVar("T")
Decode = Callable[[bytes], T]


class LimitedCall(Protocol):
    """A call whose token ends at a time of the wall clock."""

    valid_until: float


def complete(
    decode: Decode[T], requests: Iterator[bytes], context: grpc.ServicerContext, *_: object
) -> Iterator[T]:
    """Yields the messages of a stream; cancels one that takes too long.

    A stream that its client breaks off ends with an error of `requests`.
    """
    with cancel_after(context, contract.UPLOAD_SECONDS):
        yield from map(decode, requests)


def while_token_is_valid(
    method: Callable[[Any, L], Iterable[T]],
) -> Callable[[Any, L], Iterator[T]]:
    """Ends the responses when the call's token ends. Raises Unauthenticated."""

    def limited(request: Any, call: L) -> Iterator[T]:
        for response in method(request, call):
            _check_token(call.valid_until)
            yield response

    return limited


def until_idle(
    decode: Decode[T],
    requests: Iterator[bytes],
    context: grpc.ServicerContext,
    valid_until: float,
) -> Iterator[T]:
    """Yields the messages of a long-lived stream; cancels a stream that is idle for too long.

    Raises Unauthenticated when the token of the call ends. The messages are
    read by a thread of their own, which ends with the call: grpcio has no
    timeout for the wait for a message.
    """
    reader = ThreadPoolExecutor(1, thread_name_prefix="stream")

    def receive() -> bytes | None:
        return _result(reader.submit(next, requests, None), context, valid_until)

    try:
        # It keeps no message while it waits for the next one.
        yield from map(decode, iter(receive, None))
    finally:
        reader.shutdown(wait=False)


def _result(read: Future[T], context: grpc.ServicerContext, valid_until: float) -> T:
    """Waits for a message; cancels the call when that is idle. Raises Unauthenticated."""
    left: float = contract.STREAM_IDLE_SECONDS
    idle_at = time.monotonic() + left
    while True:
        done, _ = wait([read], min(left, valid_until - time.time()))
        _check_token(valid_until)
        left = idle_at - time.monotonic()
        if done:
            return read.result()
        if left <= 0:
            context.cancel()
            return read.result()


def _check_token(valid_until: float) -> None:
    if time.time() >= valid_until:
        raise Unauthenticated(EXPIRED)


@contextmanager
def cancel_after(context: grpc.ServicerContext, seconds: float) -> Iterator[None]:
    """Cancels a call if the `with` block lasts longer than some seconds."""
    timer = threading.Timer(seconds, context.cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
