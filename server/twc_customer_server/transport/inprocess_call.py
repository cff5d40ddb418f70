"""A call that Envoy passes to Python in its own process, by ASGI (pyvoy).

pyvoy's thread only moves bytes, and admits calls: handlers run on the server's threads.
"""

import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, cast

import grpc

from twc_customer_server.transport.inprocess_context import Context
from twc_customer_server.transport.inprocess_loop import Future, run
from twc_customer_server.transport.inprocess_response import Response, Send
from twc_customer_server.transport.interface import (
    Behavior,
    Gone,
    IncomingCall,
    Metadata,
    OnReceived,
)
from twc_customer_server.transport.wire import (
    FrameReader,
    Head,
    ProtocolError,
    frame,
    frames,
)

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]

# Messages that are sent together, in bytes, if all of a stream come soon.
_PART_BYTES = 1 << 15


class Method(NamedTuple):
    """An RPC: the function of its handler, and what decodes requests and encodes responses."""

    behavior: Behavior
    decode: Callable[[bytes], Any] | None
    encode: Callable[[Any], bytes]
    takes_stream: bool
    responds_by_stream: bool


class InprocessCall(IncomingCall):
    """A call of an RPC; `pump` receives its messages."""

    __slots__ = (
        "_asked",
        "_callbacks",
        "_client",
        "_frames",
        "_has_all",
        "_is_over",
        "_lock",
        "_method",
        "_on_received",
        "_receive_rest",
        "_response",
        "_until",
    )

    def __init__(
        self,
        method: Method,
        head: Head,
        client: tuple[str, int] | None,
        send: Send,
        most: int,
    ) -> None:
        """Its messages take `most` bytes at most."""
        self._method = method
        self.metadata = head.metadata
        self._client = client
        self._response = Response(send, self.end)
        self.behavior = method.behavior
        self._until = float("inf") if head.timeout is None else time.monotonic() + head.timeout
        self._frames = FrameReader(head.encoding, most)
        # Set when all that the call takes has been received, and while its client is not asked for.
        self._receive_rest: Receive | None = None
        # Guards what follows.
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []
        self._has_all = self._is_over = False
        self._on_received: OnReceived | None = None
        # Set when a message is asked for.
        self._asked: Future | None = None

    def peer(self) -> str:
        """Returns where the call comes from, as `grpc.ServicerContext.peer` does."""
        if not self._client:
            return "unix:"
        host, port = self._client
        return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"

    def has_expired(self) -> bool:
        """Tells whether the call's deadline has passed."""
        return self._until <= time.monotonic()

    def time_remaining(self) -> float | None:
        """Returns the seconds until the deadline; None if there is none."""
        left = self._until - time.monotonic()
        return None if left == float("inf") else max(left, 0)

    def is_active(self) -> bool:
        """Tells whether the call has neither ended nor been cancelled."""
        return not (self._is_over or self.has_expired())

    async def pump(self, receive: Receive) -> None:
        """Receives messages as they are asked for, until the call, or what it takes, ends."""
        frames = self._frames
        try:
            while await self._is_asked():
                while (message := frames.take()) is None and not frames.is_complete:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        self.end()
                        return
                    frames.add(event["body"], is_last=not event.get("more_body", False))
                self._deliver(message)
                if message is None or not self._method.takes_stream:
                    self._receive_rest = receive
                    return
        except ProtocolError as error:
            self._close(error.code, str(error))

    def receive(self, on_received: OnReceived) -> None:
        """Starts to receive a message, which `on_received` gets, mostly on pyvoy's thread.

        There is none after the last one, and if the client has cancelled the call.
        """
        with self._lock:
            is_over = self._is_over or self._has_all
            if not is_over:
                self._on_received = on_received
            asked, self._asked = self._asked, None
        if is_over:
            on_received(None)
        elif asked:
            asked.set_result(None)

    def run_with(self, behavior: Behavior, argument: object, *, is_short: bool = False) -> None:
        """Runs a behavior with an argument, which is not None, unless the call has ended.

        `is_short` tells that the messages of its stream come soon, take no more than one answer
        may, and can be sent together: no thread waits for the client to take them.
        """
        if self.is_active():
            self._respond(behavior, argument, is_short=is_short)
        else:
            self.end()

    def end_with(self, behavior: Behavior, argument: object) -> None:
        """Runs a behavior that ends the call, in place of one that may be running."""
        self.run_with(behavior, argument)

    def run_stream(self, behavior: Behavior, messages: Iterable[bytes] = ()) -> None:
        """Runs a behavior with messages that were received, and those that come."""
        encoded = chain(messages, self.messages())
        decode = self._method.decode
        self.run_with(behavior, map(decode, encoded) if decode else encoded)

    def cancel(self) -> None:
        """Cancels the call, which may be in the middle of a message."""
        self._close(grpc.StatusCode.CANCELLED, "CANCELLED")

    def reject(self, message: str) -> None:
        """Ends the call with RESOURCE_EXHAUSTED and a message alone, which takes no time."""
        self._close(grpc.StatusCode.RESOURCE_EXHAUSTED, message)

    def on_end(self, callback: Callable[[], object]) -> None:
        """Calls back when the call has ended, or at once if it has."""
        with self._lock:
            has_ended = self._is_over
            if not has_ended:
                self._callbacks.append(callback)
        if has_ended:
            callback()

    def send(self, encoded: bytes, on_sent: Callable[[], object]) -> None:
        """Starts to send a message, unless the call has ended; calls back when it is sent."""
        self._response.start_to_send(frame(encoded), on_sent)

    def begin(self, metadata: Metadata | None = None) -> None:
        """Sends the headers, and metadata among them, unless they are sent. Raises Gone."""
        self._response.begin(metadata)

    def end(self) -> None:
        """Notes that the call has ended, and has all who wait for it go on."""
        self._response.end()
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            callbacks, self._callbacks = self._callbacks, []
            on_received, self._on_received = self._on_received, None
            asked, self._asked = self._asked, None
        for callback in callbacks:
            callback()
        if on_received:
            on_received(None)
        if asked:
            asked.set_result(None)

    def look(self) -> None:
        """Ends the call if its deadline has passed; asks Envoy whether its client is gone."""
        if self.has_expired():
            self.end()
        elif receive := self._receive_rest:
            self._receive_rest = None
            run(self._look_for_client(receive))

    async def _look_for_client(self, receive: Receive) -> None:
        """Ends the call if its client is gone, of which nobody is told who does not ask."""
        if (await receive())["type"] == "http.disconnect":
            self.end()
        else:
            self._receive_rest = receive

    def _close(self, code: grpc.StatusCode, message: str, metadata: Metadata | None = None) -> None:
        self._response.close(code, message, metadata)
        self.end()

    async def _is_asked(self) -> bool:
        """Waits until a message is asked for; returns False if the call ends first."""
        with self._lock:
            if self._on_received or self._is_over:
                return not self._is_over
            self._asked = asked = Future()
        await asked
        return not self._is_over

    def _deliver(self, message: bytes | None) -> None:
        with self._lock:
            self._has_all = message is None
            on_received, self._on_received = self._on_received, None
        if on_received:
            on_received(message)

    def _respond(self, behavior: Behavior, argument: object, *, is_short: bool) -> None:
        context = Context(self)
        encode = self._method.encode
        parts: list[bytes] = []
        try:
            response: Any = behavior(argument, context)
            if not self._method.responds_by_stream:
                self._response.send_whole(encode(response), context.trailing)
                self.end()
                return
            with closing(response):
                for part in frames(map(encode, response), _PART_BYTES if is_short else 0):
                    if is_short:
                        parts.append(part)
                    else:
                        self._response.send_part(part)
            if not parts:
                self._response.begin(None)
            context.status, context.message = grpc.StatusCode.OK, ""
        except Gone:
            self.end()
            return
        except Exception as error:  # noqa: BLE001 - every error has a status
            context.fail(error)
        run(self._response.send_parts(parts, partial(self._close_as, context)))

    def _close_as(self, context: Context) -> None:
        self._close(context.status, context.message, context.trailing)


def method_of(handler: "grpc.RpcMethodHandler[Any, Any]") -> Method:
    """Returns the RPC that a handler is for."""
    kinds = {
        (False, False): handler.unary_unary,
        (False, True): handler.unary_stream,
        (True, False): handler.stream_unary,
        (True, True): handler.stream_stream,
    }
    return Method(
        cast("Behavior", kinds[handler.request_streaming, handler.response_streaming]),
        handler.request_deserializer,
        handler.response_serializer or bytes,
        takes_stream=handler.request_streaming,
        responds_by_stream=handler.response_streaming,
    )
