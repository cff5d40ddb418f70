"""Makes calls with tenant and token, and makes them again by the rules of `retries`."""

import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from twc_customer_client.aio.runtime import (
    Responses,
    Tokens,
    current_token,
    renew_token,
    send_collected,
    send_unary,
    sleep,
)
from twc_customer_client.calls import (
    Answer,
    CallOptions,
    CallSettings,
    Sent,
    deadline_of,
    headers,
)
from twc_customer_client.consistency import HEADER, ConsistencyTokens, header_of
from twc_customer_client.credentials import caller_metadata
from twc_customer_client.errors import REQUEST_ID, Cancelled, Failure
from twc_customer_client.retries import Attempts
from twc_customer_client.rpcs import STREAM_SECONDS, Rpc, rpc_of

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")


class AsyncCalls:
    """Makes the calls of one client."""

    def __init__(self, tokens: Tokens, settings: CallSettings) -> None:
        self._tokens = tokens
        self._settings = settings
        self.consistency = ConsistencyTokens(settings.consistency)
        self.is_closed = False

    async def unary(
        self,
        rpc: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        options: CallOptions,
    ) -> Answer[Response]:
        """Returns the answer of a call. Raises CustomerError."""
        return await self._repeat(rpc_of(request), partial(send_unary, rpc, request), options)

    async def collect(
        self, rpc: Callable[..., Any], request: Message, options: CallOptions
    ) -> Answer[list[Any]]:
        """Returns all responses of a short stream. Raises CustomerError."""
        return await self._repeat(rpc_of(request), partial(send_collected, rpc, request), options)

    async def upload(
        self, rpc: Callable[..., Any], requests: list[Request], options: CallOptions
    ) -> Answer[list[Any]]:
        """Returns all responses to a short stream of requests. Raises CustomerError."""
        send = partial(send_collected, rpc, requests)
        return await self._repeat(rpc_of(requests[0]), send, options)

    async def stream(
        self,
        rpc: Callable[..., Any],
        request: Message,
        *,
        seconds: float | None = None,
        retry_for: float | None = None,
    ) -> AsyncGenerator[Any]:
        """Yields the responses of a stream; after a break those to the request as it then is.

        Each must come within `seconds`. Raises CustomerError.
        """
        attempts = self.attempts(rpc_of(request), CallOptions(), retry_for)
        while True:
            sent, token = await self.prepare(attempts, CallOptions(), None)
            responses: Responses[Any] = self.responses(rpc, request, sent, seconds)
            try:
                while (response := await responses.next()) is not None:
                    attempts.succeed()
                    self.consistency.doubt()
                    yield response
            except grpc.RpcError as raised:
                attempts.fail(raised)
            else:
                return
            finally:
                responses.close()
            await self.wait(attempts, token)

    def responses(
        self, rpc: Callable[..., Any], request: object, sent: Sent, seconds: float | None = None
    ) -> Responses[Any]:
        """Starts a call with a stream of responses."""
        open_call = partial(
            rpc, request, metadata=sent.metadata, wait_for_ready=sent.wait_for_ready
        )
        return Responses(open_call, seconds or self._settings.timeout or STREAM_SECONDS)

    def attempts(self, rpc: Rpc, options: CallOptions, retry_for: float | None = None) -> Attempts:
        """Returns the attempts of a call that begins now."""
        return Attempts(
            rpc.name,
            is_repeatable=rpc.is_safe or options.has_key,
            seconds=self._settings.retry_for if retry_for is None else retry_for,
            deadline=deadline_of(options.timeout, time.monotonic()),
            on_retry=self._settings.on_retry,
        )

    async def prepare(
        self, attempts: Attempts, options: CallOptions, seconds: float | None
    ) -> tuple[Sent, str]:
        """Returns what goes with the next attempt, and its token. Raises CustomerError."""
        if self.is_closed:
            raise Cancelled(Failure("the client is closed", grpc.StatusCode.CANCELLED))
        token = await current_token(self._tokens, self._seconds_for_token(attempts))
        consistency = self.consistency.current()
        metadata = (
            *caller_metadata(self._settings.tenant, token),
            (REQUEST_ID, attempts.request_id),
            *headers(x_twc_consistency_token=header_of(consistency)),
            *options.headers,
        )
        timeout = None if seconds is None else attempts.remaining(seconds)
        return Sent(timeout, metadata, self._settings.wait_for_ready, consistency), token

    async def wait(self, attempts: Attempts, token: str) -> None:
        """Waits until the next attempt. Raises the failure if there is to be none."""
        if self.is_closed:
            attempts.give_up()
        if attempts.code == grpc.StatusCode.UNAUTHENTICATED and not attempts.token_was_renewed:
            attempts.token_was_renewed = True
            if await renew_token(self._tokens, token, self._seconds_for_token(attempts)):
                return
        await sleep(attempts.delay())

    async def _repeat(
        self,
        rpc: Rpc,
        send: Callable[[Sent], Awaitable[Answer[Response]]],
        options: CallOptions,
    ) -> Answer[Response]:
        attempts = self.attempts(rpc, options)
        seconds = options.timeout or self._settings.timeout or rpc.seconds
        while True:
            sent, token = await self.prepare(attempts, options, seconds)
            answer = None
            try:
                answer = await send(sent)
            except grpc.RpcError as raised:
                attempts.fail(raised)
            else:
                return answer
            finally:
                self._note(rpc, sent, answer)
            await self.wait(attempts, token)

    def _seconds_for_token(self, attempts: Attempts) -> float:
        """Returns how long a call may wait for a token, which itself knows when it is too long."""
        return attempts.remaining(self._settings.timeout or math.inf)

    def _note(self, rpc: Rpc, sent: Sent, answer: Answer[Any] | None) -> None:
        """Notes what later calls must see. A write that failed may have been made."""
        if answer:
            self.consistency.answered(sent.consistency, answer.header(HEADER))
        elif not rpc.is_safe:
            self.consistency.doubt()
