"""Sends the messages of a stream by grpcio, without waking a thread for each.

grpcio has the thread of a handler wait for each message until it is sent. Here that thread goes
on to make the next ones, and the one that reads grpcio's events, which learns when a message is
sent, starts the next. Like `incoming` this uses names private to grpcio, which that checks.
"""

import logging
import time
from collections import deque
from collections.abc import Generator
from typing import Any

import grpc
from grpc import _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # its stub has less

from twc_customer_server import contract

# Bytes of messages that are made before the client has taken those before them; what is left of
# them when the thread that makes them goes on.
_MOST_BYTES = 1 << 16
_FEW_BYTES = _MOST_BYTES // 2

SIGNATURES = {
    "_call_behavior": [
        "rpc_event",
        "state",
        "behavior",
        "argument",
        "request_deserializer",
        "send_response_callback",
    ],
    "_get_initial_metadata_operation": ["state", "metadata"],
    "_is_rpc_state_active": ["state"],
    "_possibly_finish_call": ["state", "token"],
    "_status": ["rpc_event", "state", "serialized_response"],
}

_log = logging.getLogger(__name__)


def respond(event: Any, state: Any, behavior: Any, argument: object, *, is_short: bool) -> None:
    """Runs a behavior with an argument, and sends the encoded messages that it yields.

    As `grpc._server._stream_response_in_pool`, for behaviors that take and yield bytes. `is_short`
    tells that all of them come soon: the first ones wait for more, or for the status.
    """
    cygrpc.install_context_from_request_call_event(event)
    try:
        responses: Any
        responses, has_begun = _server._call_behavior(event, state, behavior, argument, None)
        if has_begun:
            Outgoing(event, state, is_short=is_short).send_all(responses)
    finally:
        cygrpc.uninstall_context()


def start_to_send(event: Any, state: Any, message: bytes | None, on_sent: Any) -> None:
    """Has grpcio send a message, and the headers before the first one; the state is locked.

    Only one message may be on its way. `on_sent` is called on grpcio's thread.
    """
    operations = [cygrpc.SendMessageOperation(message, 0)]
    if state.initial_metadata_allowed:
        operations.insert(0, _server._get_initial_metadata_operation(state, None))
        state.initial_metadata_allowed = False
    event.call.start_server_batch(operations, on_sent)
    state.due.add(_server._SEND_MESSAGE_TOKEN)


class Outgoing:
    """The messages of one stream that are on their way, and the status that follows them."""

    def __init__(self, event: Any, state: Any, *, is_short: bool) -> None:
        self._event = event
        self._is_short = is_short
        # Its condition, which has a reentrant lock, guards what follows.
        self._state = state
        self._waiting: deque[bytes] = deque()
        # Of those that wait and the one that is being sent.
        self._bytes = 0
        self._sending: bytes | None = None
        # When that was begun.
        self._since = 0.0
        self._has_all = False

    def send_all(self, responses: Generator[bytes]) -> None:
        """Sends the messages, and the status of their end or error, unless the call ends.

        Nothing waits until a client has taken the last ones.
        """
        try:
            for message in responses:
                if not self._send(message):
                    return
        except Exception as error:  # noqa: BLE001 - every error has a status
            self._fail(error)
        finally:
            # Others may keep what makes them for longer.
            responses.close()
        self._end()

    def _fail(self, error: Exception) -> None:
        """Has the status tell of an error unless the handler has aborted the call with one."""
        state = self._state
        with state.condition:
            if self._is_active() and not state.aborted:
                name = type(error).__name__
                _log.error("a handler ended with %s", name)
                state.code = grpc.StatusCode.UNKNOWN
                state.details = b"the handler ended with " + name.encode()

    def _send(self, message: bytes) -> bool:
        """Sends a message when its turn comes; returns whether the call goes on.

        Waits while there are too many that the client has not taken. All of a short stream
        are as many bytes as one answer may have, which no thread waits for either.
        """
        with self._state.condition:
            if not self._is_active():
                return False
            self._waiting.append(message)
            self._bytes += len(message)
            if self._sending is None and not (self._is_short and self._bytes <= _FEW_BYTES):
                self._start()
            if self._bytes > _MOST_BYTES and not self._is_short:
                return self._are_few_left()
            return self._is_active()

    def _are_few_left(self) -> bool:
        """Waits until the client has taken most messages; returns whether the call goes on.

        Cancels a call whose client takes none for too long.
        """
        while self._bytes > _FEW_BYTES and self._is_active():
            left = self._since + contract.STREAM_IDLE_SECONDS - time.monotonic()
            if left <= 0:
                self._event.call.cancel()
                return False
            self._state.condition.wait(left)
        return self._is_active()

    def _end(self) -> None:
        """Sends the status with the last message, or after it."""
        with self._state.condition:
            self._has_all = True
            if self._sending is None and self._is_active():
                self._start()

    def _start(self) -> None:
        """Starts to send the next message, and the status if it is the last; or that alone."""
        state = self._state
        message = self._waiting.popleft() if self._waiting else None
        if self._has_all and not self._waiting:
            _server._status(self._event, state, message)
            return
        self._sending, self._since = message, time.monotonic()
        start_to_send(self._event, state, message, self._sent)

    def _sent(self, _: object) -> Any:
        """Starts what follows the message that was sent, on grpcio's thread."""
        state = self._state
        with state.condition:
            self._bytes -= len(self._sending or b"")
            self._sending = None
            if not self._is_active():
                self._waiting.clear()
            elif self._waiting or self._has_all:
                self._start()
            if self._sending is None or self._bytes <= _FEW_BYTES:
                state.condition.notify_all()
            if self._sending is not None:
                return None, ()
            return _server._possibly_finish_call(state, _server._SEND_MESSAGE_TOKEN)

    def _is_active(self) -> bool:
        return bool(_server._is_rpc_state_active(self._state))
