"""Calls that anyone may make, since they need no token: receives their message."""

import threading
import time
from collections.abc import Callable
from functools import partial

from twc_customer_server.errors import MessageTimeout, Overloaded
from twc_customer_server.transport.calls import refuse, require_message
from twc_customer_server.transport.interface import IncomingCall
from twc_customer_server.transport.receiver import MESSAGE_SECONDS

TOO_MANY_WAITING = "too many calls wait for their message: send it with the headers"


class OpenCalls:
    """Receives the message of calls, of few at a time, as anyone may make it a large one.

    A call whose message is slow gives way to a new one, and so cannot keep
    others out.
    """

    def __init__(self, most: int, on_received: Callable[[IncomingCall, bytes], object]) -> None:
        """`on_received` gets a call and its message, on grpcio's thread, and must not wait."""
        self._most = most
        self._on_received = on_received
        self._lock = threading.Lock()
        # When each call that waits began; the oldest is first.
        self._began: dict[IncomingCall, float] = {}

    def accept(self, incoming: IncomingCall) -> None:
        """Takes a call from grpcio."""
        surplus = None
        with self._lock:
            if len(self._began) >= self._most:
                surplus = next(iter(self._began))
                del self._began[surplus]
            self._began[incoming] = time.monotonic()
        if surplus:
            surplus.run_with(refuse, Overloaded(TOO_MANY_WAITING))
        incoming.receive(partial(self._receive, incoming))

    def tick(self) -> None:
        """Ends calls whose message does not come; to be called several times a second."""
        began_before = time.monotonic() - MESSAGE_SECONDS
        with self._lock:
            late = [call for call, began in self._began.items() if began < began_before]
            for call in late:
                del self._began[call]
        for call in late:
            call.run_with(refuse, MessageTimeout(MESSAGE_SECONDS))

    def _receive(self, incoming: IncomingCall, message: bytes | None) -> None:
        with self._lock:
            was_awaited = self._began.pop(incoming, None) is not None
        if not was_awaited:
            return
        if message is None:
            incoming.run_with(require_message, "")
        else:
            self._on_received(incoming, message)
