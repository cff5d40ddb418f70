"""Waits, channels and streams of threads; `aio/runtime.py` has the same for asyncio."""

import time
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

import grpc

from twc_customer_client import channels, credentials
from twc_customer_client.calls import Answer, Sent, stalled
from twc_customer_client.credentials import BoundedTokenSource, TokenSource
from twc_customer_client.sync.call_thread import CallThread, uninterrupted

Request = TypeVar("Request")
Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)
T = TypeVar("T")

# A client takes the first as its token, and makes the second of it.
Token = credentials.Token
Tokens = TokenSource
token_source = credentials.token_source

# A caller gives these to be sent.
Source = Iterable[T]


class ResponseCall(Protocol[Response_co]):
    """A call with a stream of responses, as grpcio returns it."""

    def __next__(self) -> Response_co:
        """Waits for the next response. Raises RpcError, and StopIteration at the end."""

    def cancel(self) -> object:
        """Cancels the call."""


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Returns a channel, which connects with the first call; plaintext without credentials."""
    if credentials is None:
        return grpc.insecure_channel(target, channels.OPTIONS)
    return grpc.secure_channel(target, credentials, channels.OPTIONS)


def sleep(seconds: float) -> None:
    """Waits."""
    time.sleep(seconds)


def current_token(tokens: Tokens, seconds: float) -> str:
    """Returns the token for a call that has some time. Raises TokenError."""
    if isinstance(tokens, BoundedTokenSource):
        return tokens.current_within(seconds)
    return tokens.current()


def renew_token(tokens: Tokens, rejected: str, seconds: float) -> bool:
    """Looks for another token than a rejected one, for some time. Raises TokenError."""
    if isinstance(tokens, BoundedTokenSource):
        return tokens.renew_within(rejected, seconds)
    return tokens.renew(rejected)


def send_unary(
    rpc: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request, sent: Sent
) -> Answer[Response]:
    """Makes a call with one response. Raises RpcError."""
    response, call = uninterrupted(
        lambda: rpc.with_call(
            request,
            timeout=sent.timeout,
            metadata=sent.metadata,
            wait_for_ready=sent.wait_for_ready,
        )
    )
    return Answer(response, dict((*call.initial_metadata(), *call.trailing_metadata())))


def send_collected(rpc: Callable[..., Any], request: object, sent: Sent) -> Answer[list[Any]]:
    """Makes a call with a stream of responses, and returns them all. Raises RpcError."""

    def collect() -> Answer[list[Any]]:
        call = rpc(
            iter(request) if isinstance(request, list) else request,
            timeout=sent.timeout,
            metadata=sent.metadata,
            wait_for_ready=sent.wait_for_ready,
        )
        responses = list(call)
        return Answer(responses, dict((*call.initial_metadata(), *call.trailing_metadata())))

    return uninterrupted(collect)


class Responses(Generic[Response]):
    """The responses of a stream, each of which must come within `seconds`."""

    def __init__(self, open_call: Callable[[], ResponseCall[Response]], seconds: float) -> None:
        self._seconds = seconds
        self._thread = CallThread()
        try:
            self._call = self._thread.submit(open_call).result()
        except BaseException:
            self._thread.end()
            raise

    def next(self) -> Response | None:
        """Returns the next response, or None at the end. Raises RpcError."""
        pending = self._thread.submit(lambda: next(self._call, None))
        try:
            return pending.result(self._seconds)
        except Empty:
            raise stalled(self._seconds) from None

    def close(self) -> None:
        """Cancels the call, if it has not ended."""
        self._thread.end()
        self._call.cancel()


class Outbox(Generic[T]):
    """Requests on their way into a stream, which takes them one by one."""

    def __init__(self) -> None:
        self._requests: SimpleQueue[T | None] = SimpleQueue()

    def put(self, request: T) -> None:
        """Adds a request."""
        self._requests.put(request)

    def end(self) -> None:
        """Ends the requests."""
        self._requests.put(None)

    def __iter__(self) -> Iterator[T]:
        while (request := self._requests.get()) is not None:
            yield request


def iterate(source: Source[T]) -> Iterator[T]:
    """Returns an iterator over a source."""
    return iter(source)
