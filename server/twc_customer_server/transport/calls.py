"""A call of an RPC from its headers to its end, and what was received of it."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from enum import Enum
from typing import Any, NamedTuple, NoReturn

import grpc
from grpc_status import rpc_status

from twc_customer_server import contract
from twc_customer_server.api import status
from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.errors import ServiceError
from twc_customer_server.middleware.rpc import Handler, Refusal, abort
from twc_customer_server.transport.interface import IncomingCall
from twc_customer_server.transport.limits import Kind, Usage

# Bytes of a stream that may be left of its messages when its handler has ended; those of a short
# one are counted.
_AHEAD_BYTES = 1 << 16

# Time for a client to take a response before its call makes room.
_SENDING_SECONDS = 0.5


class Awaits(Enum):
    """Tells how much of a call is received before it takes a thread."""

    NOTHING = 0
    MESSAGE = 1
    ALL_MESSAGES = 2


class Rpc(NamedTuple):
    """How the calls of an RPC are received, queued, handled and refused.

    `handler` returns responses one by one if `responds_by_stream`.
    """

    awaits: Awaits
    kind: Kind
    responds_by_stream: bool
    handler: Handler


class Call:
    """A call of an RPC; `usage` is that of its tenant, and set when it is admitted."""

    usage: Usage
    caller: Caller | None = None
    # When its messages were waited for first, and since when its client is waited for: to
    # send one or to take one.
    began = 0.0
    since = math.inf
    # Whether a message of it has come.
    has_begun = False
    has_slot = is_large = is_over = is_sending = False
    # Bytes of its messages, and of its answer.
    size = answer_bytes = 0
    # The error that ends it before its next response.
    _end: Exception | None = None
    # Called when its handler has ended.
    _release: Callable[["Call"], object]

    def __init__(self, incoming: IncomingCall, rpc: Rpc) -> None:
        self.incoming = incoming
        self.rpc = rpc
        self._messages: list[bytes] = []

    @property
    def tenant(self) -> str:
        """The tenant of the caller, empty while that is not known."""
        return self.caller.tenant if self.caller else ""

    @property
    def part_received(self) -> float:
        """How much of the largest upload has come: of its bytes or of its items."""
        return max(
            self.size / contract.MAX_UPLOAD_BYTES,
            len(self._messages) / contract.MAX_UPLOAD_CUSTOMERS,
        )

    def add(self, message: bytes | None) -> bool:
        """Keeps a message; None is the end of them. Tells whether the call may run.

        An upload that is too long may, so that its handler refuses it.
        """
        if message is None:
            return True
        self.has_begun = True
        self._messages.append(message)
        self.size += len(message)
        return (
            self.rpc.awaits is Awaits.MESSAGE
            or self.size > contract.MAX_UPLOAD_BYTES
            or len(self._messages) > contract.MAX_UPLOAD_CUSTOMERS
        )

    def run(self, release: Callable[["Call"], object]) -> None:
        """Runs the handler; calls `release` when it has ended, before the client knows.

        `answer_bytes` then tells of what the client has to take.
        """
        self._release = release
        handle = self._handle_streaming if self.rpc.responds_by_stream else self._handle
        try:
            if self.rpc.awaits is not Awaits.MESSAGE:
                self.incoming.run_stream(handle, self._take())
            elif self._messages:
                is_short = self.rpc.kind is Kind.UNARY
                self.incoming.run_with(handle, self._messages.pop(), is_short=is_short)
            else:
                self.incoming.run_with(require_message, "")
        finally:
            if not self.is_over:
                release(self)

    def refuse(self, error: Exception) -> None:
        """Ends the call with an error, in place of its handler."""
        self.incoming.run_with(self.rpc.handler.refuse, Refusal(error, self.tenant))

    def end(self, error: Exception) -> bool:
        """Ends the call with an error while its handler may be running; tells whether it does.

        An import or export that is at work ends when it has sent its next response: for one
        whose client does not take that, this is to be called again.
        """
        is_bulk = self.rpc.kind is Kind.BULK
        is_just_sending = is_bulk and time.monotonic() - self.since < _SENDING_SECONDS
        if self.is_sending and not is_just_sending:
            if self.rpc.awaits is Awaits.ALL_MESSAGES:
                # It is stored, which no status of a refusal may deny.
                self.incoming.cancel()
            else:
                # The client takes no message, and would not take more than a status.
                self.incoming.reject(str(error))
        elif is_bulk and (self.is_sending or self.since == math.inf):
            self._end = error
            return False
        else:
            refusal = Refusal(error, self.tenant)
            self.incoming.end_with(self.rpc.handler.refuse, refusal)
        return True

    def _handle(self, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            answer = self.rpc.handler.handle(request, context, caller=self.caller)
            self.answer_bytes = len(answer)
            return answer
        finally:
            self._release(self)

    def _handle_streaming(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        if self.rpc.awaits is not Awaits.MESSAGE:
            request = self._receive(request)
        try:
            with closing(
                self.rpc.handler.handle(request, context, caller=self.caller)
            ) as responses:
                for response in responses:
                    self.is_sending, self.since = True, time.monotonic()
                    self.answer_bytes += len(response)
                    yield response
                    self.is_sending, self.since = False, math.inf
                    if self._end and self.rpc.awaits is Awaits.ALL_MESSAGES:
                        # It is stored.
                        self.incoming.cancel()
                        return
                    if self._end:
                        self.rpc.handler.refuse(Refusal(self._end, self.tenant), context)
        finally:
            if self.rpc.kind is not Kind.UNARY:
                self.answer_bytes = min(self.answer_bytes, _AHEAD_BYTES)
            self._release(self)

    def _receive(self, messages: Iterator[bytes]) -> Iterator[bytes]:
        """Yields messages, and notes since when the next one is waited for."""
        self.since = time.monotonic()
        for message in messages:
            self.has_begun, self.since = True, math.inf
            yield message
            del message
            self.since = time.monotonic()
        self.since = math.inf

    def _take(self) -> Iterator[bytes]:
        """Yields the messages, and frees each."""
        self._messages.reverse()
        while self._messages:
            yield self._messages.pop()


def refuse(error: ServiceError, context: grpc.ServicerContext) -> NoReturn:
    """Ends a call with an error; for calls that are not of the service itself."""
    abort(error, rpc_status.to_status(status.to_status(error)), context)


def require_message(_: object, context: grpc.ServicerContext) -> NoReturn:
    """Ends a call whose client sent no message, as gRPC prescribes."""
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "the call requires exactly one message")
