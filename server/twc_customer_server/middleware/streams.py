"""Streams of messages: how many there may be, how long they may last, and how they end."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc

from twc_customer_server import contract
from twc_customer_server.errors import Overloaded, ServiceError

# How long after the end of a stream it may turn out to have been a break.
_BREAK_SECONDS = 0.02


C = TypeVar("C")
T = TypeVar("T")


class BrokenOff(Exception):
    """The client ended the call before its stream of messages was complete."""


def bounded(
    behaviour: Callable[[Any, C], Iterable[T]], room: threading.BoundedSemaphore
) -> Callable[[Any, C], Iterator[T]]:
    """Refuses a call for which there is no room beside others. Raises Overloaded."""

    def within(requests: Any, call: C) -> Iterator[T]:
        if not room.acquire(blocking=False):
            raise Overloaded("too many streams at the same time; try again after a while")
        try:
            yield from behaviour(requests, call)
        finally:
            room.release()

    return within


def readable(request: T, _context: grpc.ServicerContext) -> T:
    """Passes a message on; raises what the deserializer put in the place of one."""
    if isinstance(request, ServiceError):
        raise request
    return request


def whole(requests: Iterator[T], context: grpc.ServicerContext) -> Iterator[T]:
    """Passes on a stream of messages; raises at its end if it did not end but break off.

    grpcio first reports both alike, and a moment later that a broken call is
    over: that moment is waited for.
    """
    over = threading.Event()
    is_over = not context.add_callback(over.set)
    with patience(context):
        for request in requests:
            yield readable(request, context)
    if is_over or over.wait(_BREAK_SECONDS):
        raise BrokenOff


def flowing(requests: Iterator[T], context: grpc.ServicerContext) -> Iterator[T]:
    """Passes on messages for as long as they come; a stream in which none comes is cancelled."""
    while True:
        with patience(context):
            request = next(requests, None)
        if request is None:
            return
        yield readable(request, context)


@contextmanager
def patience(context: grpc.ServicerContext) -> Iterator[None]:
    """Cancels a call whose client takes too long meanwhile."""
    timer = threading.Timer(contract.STREAM_IDLE_SECONDS, context.cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
