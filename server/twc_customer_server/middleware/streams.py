"""Streams of messages: bounds their number and duration, and finds out how they ended."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import grpc

from twc_customer_server import contract
from twc_customer_server.errors import Overloaded

# Grace period in which grpcio may still report a finished stream as cancelled.
_CANCELLATION_GRACE_SECONDS = 0.02

C = TypeVar("C")
T = TypeVar("T")
Decode = Callable[[bytes], T]


class ClientGone(Exception):
    """The client ended the call before its stream of messages was complete."""


def limit_concurrency(
    method: Callable[[Any, C], Iterable[T]], slots: threading.BoundedSemaphore
) -> Callable[[Any, C], Iterator[T]]:
    """Refuses calls while all slots are taken. Raises Overloaded."""

    def limited(requests: Any, call: C) -> Iterator[T]:
        if not slots.acquire(blocking=False):
            raise Overloaded("too many streams at the same time; try again after a while")
        try:
            yield from method(requests, call)
        finally:
            slots.release()

    return limited


def complete(
    decode: Decode[T], requests: Iterator[bytes], context: grpc.ServicerContext
) -> Iterator[T]:
    """Yields the messages of a stream. Raises ClientGone if the client breaks it off.

    grpcio ends the iterator of a stream that was cancelled as it ends one
    that is complete, and reports the cancellation a moment later; this waits
    for that moment.
    """
    ended = threading.Event()
    is_over = not context.add_callback(ended.set)
    with cancel_after(context, contract.UPLOAD_SECONDS):
        yield from map(decode, requests)
    if is_over or ended.wait(_CANCELLATION_GRACE_SECONDS):
        raise ClientGone


def until_idle(
    decode: Decode[T], requests: Iterator[bytes], context: grpc.ServicerContext
) -> Iterator[T]:
    """Yields the messages of a long-lived stream; cancels a stream that is idle for too long."""
    while True:
        with cancel_when_idle(context):
            encoded = next(requests, None)
        if encoded is None:
            return
        yield decode(encoded)


def cancel_when_idle(context: grpc.ServicerContext) -> AbstractContextManager[None]:
    """Cancels a call whose client takes too long to send, or to take, a message."""
    return cancel_after(context, contract.STREAM_IDLE_SECONDS)


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
