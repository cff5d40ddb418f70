"""Calls as grpcio submits them to its executor, with messages that no thread waits for.

grpcio has a thread start to receive a call's message and wait for it. Here the
message is received first: the thread that reads grpcio's events tells when it
is there. This module and `outgoing` use names private to grpcio; where
`IS_SUPPORTED` is false they are not what these were written for.
"""

import inspect
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, NoReturn, cast

from grpc import _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # its stub has less

from twc_customer_server.errors import free_frames
from twc_customer_server.transport import outgoing
from twc_customer_server.transport.interface import (
    GATEWAY_PEER,
    Behavior,
    IncomingCall,
    OnReceived,
)

_SUBMITTED = [
    "rpc_event",
    "state",
    "behavior",
    "argument_thunk",
    "request_deserializer",
    "response_serializer",
]
_SIGNATURES = outgoing.SIGNATURES | {
    "_Context": ["rpc_event", "state", "request_deserializer"],
    "_stream_response_in_pool": _SUBMITTED,
    "_unary_response_in_pool": _SUBMITTED,
}
_CONSTANTS = {
    "_CANCELLED": "cancelled",
    "_CLOSED": "closed",
    "_OPEN": "open",
    "_RECEIVE_MESSAGE_TOKEN": "receive_message",
    "_SEND_MESSAGE_TOKEN": "send_message",
}
_STATE = (
    "aborted",
    "callbacks",
    "client",
    "code",
    "condition",
    "context",
    "details",
    "due",
    "initial_metadata_allowed",
)

_log = logging.getLogger(__name__)


class GrpcioCall(IncomingCall):
    """A call that grpcio has submitted."""

    __slots__ = ("_codecs", "_event", "_is_of_gateway", "_respond", "_run", "_state")

    def __init__(self, submitted: Sequence[Any], *, is_of_gateway: bool = False) -> None:
        """`submitted` is what grpcio submits: a function and its arguments.

        `is_of_gateway` tells that it came to an address at which only gateways call.
        """
        self._is_of_gateway = is_of_gateway
        (
            self._run,
            self._respond,
            self._event,
            self._state,
            self.behavior,
            _,
            *self._codecs,
        ) = submitted
        self.metadata = self._event.invocation_metadata

    def peer(self) -> str:
        """Returns where the call comes from, as `grpc.ServicerContext.peer` does.

        What is of a gateway by TCP has `GATEWAY_PEER` before it.
        """
        peer: str = self._event.call.peer().decode()
        return GATEWAY_PEER + peer if self._is_of_gateway else peer

    def has_expired(self) -> bool:
        """Tells whether the call's deadline has passed."""
        return bool(self._event.call_details.deadline <= time.time())

    def is_active(self) -> bool:
        """Tells whether the call has neither ended nor been cancelled."""
        return bool(_server._is_rpc_state_active(self._state))

    def receive(self, on_received: OnReceived) -> None:
        """Starts to receive a message, which `on_received` gets on grpcio's thread.

        There is none after the last one, and if the client has cancelled the call.
        """
        if self._state.client is _server._CLOSED or not self._start_to_receive(on_received):
            on_received(None)

    def run_with(self, behavior: Behavior, argument: object, *, is_short: bool = False) -> None:
        """Runs a behavior with an argument, which is not None, unless the call has ended.

        `is_short` tells that the messages of its stream come soon, take no more than one answer
        may, and can be sent together: nothing waits for the client to take them.
        """
        if _server._is_rpc_state_active(self._state):
            # Without the argument once it was taken.
            self._respond_by(behavior, [argument].pop, is_short=is_short)

    def end_with(self, behavior: Behavior, argument: object) -> None:
        """Runs a behavior that ends the call, in place of one that may be running."""
        with self._state.condition:
            if self.is_active():
                self._respond(self._event, self._state, behavior, lambda: argument, *self._codecs)
            # What the other one returns is not for the client any more.
            self._state.client = _server._CANCELLED

    def run_stream(self, behavior: Behavior, messages: Iterable[bytes] = ()) -> None:
        """Runs a behavior with messages that were received, and those that come."""
        encoded = chain(messages, self.messages())
        decode, _ = self._codecs
        self._respond_by(behavior, lambda: map(decode, encoded) if decode else encoded)

    def cancel(self) -> None:
        """Cancels the call, which may be in the middle of a message."""
        self._event.call.cancel()

    def reject(self, message: str) -> None:
        """Ends the call with RESOURCE_EXHAUSTED and a message alone, which takes no time."""
        self._event.call.cancel(cygrpc.StatusCode.resource_exhausted, message)

    def on_end(self, callback: Callable[[], object]) -> None:
        """Calls back when the call has ended, or at once if it has."""
        with self._state.condition:
            has_ended = self._state.callbacks is None
            if not has_ended:
                self._state.callbacks.append(callback)
        if has_ended:
            callback()

    def send(self, encoded: bytes, on_sent: Callable[[], object]) -> None:
        """Starts to send a message, unless the call has ended; calls back when it is sent.

        Only one message may be on its way.
        """
        state = self._state

        def sent(_: object) -> Any:
            with state.condition:
                ended = _server._possibly_finish_call(state, _server._SEND_MESSAGE_TOKEN)
            self._call(on_sent)
            return ended

        with state.condition:
            if _server._is_rpc_state_active(state):
                outgoing.start_to_send(self._event, state, encoded, sent)

    def _start_to_receive(self, on_received: OnReceived) -> bool:
        """Has grpcio receive a message, unless the call has ended; tells whether it does."""
        with self._state.condition:
            is_active = self.is_active()
            if is_active:
                operation = cygrpc.ReceiveMessageOperation(0)
                received = partial(self._received, on_received)
                self._event.call.start_server_batch((operation,), received)
                self._state.due.add(_server._RECEIVE_MESSAGE_TOKEN)
        return is_active

    def _received(self, on_received: OnReceived, event: Any) -> Any:
        """Passes a message on, on grpcio's thread, or that there is none."""
        state = self._state
        message = event.batch_operations[0].message()
        with state.condition:
            is_first_end = message is None and state.client is _server._OPEN
            if is_first_end:
                state.client = _server._CLOSED
            ended = _server._possibly_finish_call(state, _server._RECEIVE_MESSAGE_TOKEN)
        # The messages of a call that is cancelled end like others, and grpcio tells why a moment
        # later; but before it would receive one more.
        if not (is_first_end and self._start_to_receive(on_received)):
            self._call(on_received, message)
        return ended

    def _respond_by(
        self, behavior: Behavior, argument: Callable[[], object], *, is_short: bool = False
    ) -> None:
        if any(self._codecs):
            self._run(self._respond, self._event, self._state, behavior, argument, *self._codecs)
            return
        respond: Callable[..., None] = _respond_once
        if self._respond is _server._stream_response_in_pool:
            respond = partial(outgoing.respond, is_short=is_short)
        self._run(respond, self._event, self._state, behavior, argument())

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """Calls a function whose failure would end grpcio's thread; cancels this call instead."""
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 - grpcio's thread serves every call
            _log.error("a call was cancelled after %s", type(error).__name__)
            self.cancel()


def _respond_once(event: Any, state: Any, behavior: Behavior, argument: object) -> None:
    """Runs a behavior with an argument, and sends the encoded message that it returns.

    As `grpc._server._unary_response_in_pool`, which imports and runs a generator to make the
    context of each call.
    """
    cygrpc.install_context_from_request_call_event(event)
    try:
        response: Any = behavior(argument, _server._Context(event, state, None))
    except Exception as error:  # noqa: BLE001 - grpcio sends its status
        _server._call_behavior(event, state, partial(_raise, error), argument, None)
        free_frames(error)
    else:
        _server._status(event, state, response)
    finally:
        cygrpc.uninstall_context()


def _raise(error: Exception, *_: object) -> NoReturn:
    raise error


class GrpcioExecutor:
    """Takes calls from grpcio in place of threads, and hands them on."""

    def __init__(
        self, take: Callable[[IncomingCall], object], *, is_of_gateway: bool = False
    ) -> None:
        """`take` gets the calls, and neither waits nor fails.

        `is_of_gateway` tells that only gateways that run elsewhere call at the address.
        """
        self._take = take
        self._is_of_gateway = is_of_gateway

    def as_threads(self) -> ThreadPoolExecutor:
        """Returns itself as the executor of grpcio, which calls nothing but `submit`."""
        return cast("ThreadPoolExecutor", self)

    def submit(self, *submitted: Any) -> None:
        """Takes a call, on the thread that reads grpcio's events; must not wait or fail.

        Without a Future to return, grpcio does not count calls, which `Limits` does.
        """
        self._take(GrpcioCall(submitted, is_of_gateway=self._is_of_gateway))


def is_supported() -> bool:
    """Tells whether grpcio has the private names that this module uses, as it knows them."""
    with suppress(AttributeError, TypeError, ValueError):
        found = {
            name: [*inspect.signature(getattr(_server, name)).parameters] for name in _SIGNATURES
        }
        constants = {name: getattr(_server, name) for name in _CONSTANTS}
        state = _server._RPCState()  # type: ignore[no-untyped-call]
        operations = (cygrpc.ReceiveMessageOperation(0), cygrpc.SendMessageOperation(b"", 0))
        has_all = all(hasattr(state, name) for name in _STATE) and all(operations)
        return has_all and (found, constants) == (_SIGNATURES, _CONSTANTS)
    return False


IS_SUPPORTED = is_supported()
