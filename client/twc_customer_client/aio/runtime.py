"""Waits, channels and streams of asyncio; `sync/runtime.py` has the same for threads."""

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar, cast

import grpc

from twc_customer_client import channels, credentials
from twc_customer_client.calls import Answer, Sent, stalled
from twc_customer_client.credentials import BoundedTokenSource, TokenSource, validated

Request = TypeVar("Request")
Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)
T = TypeVar("T")


class AwaitedToken:
    """Tokens of a coroutine function, which is called for each call and may keep them."""

    def __init__(self, function: Callable[[], Awaitable[str]]) -> None:
        self.function = function


# A client takes the first as its token, and makes the second of it.
Token = credentials.Token | Callable[[], Awaitable[str]]
Tokens = TokenSource | AwaitedToken

# A caller gives these to be sent.
Source = AsyncIterable[T] | Iterable[T]


class ResponseCall(Protocol[Response_co]):
    """A call with a stream of responses, as grpcio returns it."""

    async def read(self) -> Response_co | Any:
        """Waits for the next response; returns grpc.aio.EOF at the end. Raises RpcError."""

    def cancel(self) -> object:
        """Cancels the call."""


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    """Returns a channel, which connects with the first call; plaintext without credentials."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, channels.OPTIONS)
    return grpc.aio.secure_channel(target, credentials, channels.OPTIONS)


async def sleep(seconds: float) -> None:
    """Waits."""
    await asyncio.sleep(seconds)


def token_source(token: Token) -> Tokens:
    """Returns the source of what a client was given. Raises TokenError."""
    if inspect.iscoroutinefunction(token):
        return AwaitedToken(token)
    return credentials.token_source(cast("credentials.Token", token))


async def current_token(tokens: Tokens, seconds: float) -> str:
    """Returns the token for a call that has some time, without keeping others from running.

    Raises TokenError.
    """
    if isinstance(tokens, AwaitedToken):
        return validated(await tokens.function())
    if tokens.is_at_hand():
        return tokens.current()
    if isinstance(tokens, BoundedTokenSource):
        return await asyncio.to_thread(tokens.current_within, seconds)
    return await asyncio.to_thread(tokens.current)


async def renew_token(tokens: Tokens, rejected: str, seconds: float) -> bool:
    """Looks for another token than a rejected one, for some time. Raises TokenError."""
    if isinstance(tokens, AwaitedToken):
        return await current_token(tokens, seconds) != rejected
    if isinstance(tokens, BoundedTokenSource):
        return await asyncio.to_thread(tokens.renew_within, rejected, seconds)
    return await asyncio.to_thread(tokens.renew, rejected)


async def send_unary(
    rpc: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request, sent: Sent
) -> Answer[Response]:
    """Makes a call with one response. Raises RpcError."""
    call = rpc(
        request, timeout=sent.timeout, metadata=sent.metadata, wait_for_ready=sent.wait_for_ready
    )
    response = await call
    headers = (*await call.initial_metadata(), *await call.trailing_metadata())
    return Answer(response, dict(headers))


async def send_collected(rpc: Callable[..., Any], request: object, sent: Sent) -> Answer[list[Any]]:
    """Makes a call with a stream of responses, and returns them all. Raises RpcError."""
    call = rpc(
        request, timeout=sent.timeout, metadata=sent.metadata, wait_for_ready=sent.wait_for_ready
    )
    try:
        responses = [response async for response in call]
        headers = (*await call.initial_metadata(), *await call.trailing_metadata())
        return Answer(responses, dict(headers))
    finally:
        call.cancel()


class Responses(Generic[Response]):
    """The responses of a stream, each of which must come within `seconds`."""

    def __init__(self, open_call: Callable[[], ResponseCall[Response]], seconds: float) -> None:
        self._call = open_call()
        self._seconds = seconds

    async def next(self) -> Response | None:
        """Returns the next response, or None at the end. Raises RpcError."""
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._call.read()
        except TimeoutError:
            raise stalled(self._seconds) from None
        return None if response is grpc.aio.EOF else response

    def close(self) -> None:
        """Cancels the call, if it has not ended."""
        self._call.cancel()


class Outbox(Generic[T]):
    """Requests on their way into a stream, which takes them one by one."""

    def __init__(self) -> None:
        self._requests: asyncio.Queue[T | None] = asyncio.Queue()

    def put(self, request: T) -> None:
        """Adds a request."""
        self._requests.put_nowait(request)

    def end(self) -> None:
        """Ends the requests."""
        self._requests.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[T]:
        while (request := await self._requests.get()) is not None:
            yield request


async def iterate(source: Source[T]) -> AsyncIterator[T]:
    """Yields the items of either kind of source."""
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item
