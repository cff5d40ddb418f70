"""The response to a call that Envoy passes to Python, by ASGI (pyvoy).

pyvoy's `send` acts when it is called, on any thread, so that the thread that ran the handler
responds itself.
"""

import queue
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from twc_customer_server import contract
from twc_customer_server.transport.inprocess_loop import run
from twc_customer_server.transport.interface import Gone, Metadata
from twc_customer_server.transport.wire import encode_metadata, encode_status, frame

Event = dict[str, Any]
Send = Callable[[Event], Awaitable[None]]

_TYPE = (b"content-type", b"application/grpc")
_START = {"type": "http.response.start", "status": 200, "trailers": True, "headers": [_TYPE]}

# A stream's bytes that a thread sends before it waits for the client to take them.
_UNACKNOWLEDGED_BYTES = 1 << 16


class Response:
    """Sends messages and the status of a call; what comes after its end raises Gone."""

    __slots__ = (
        "_has_begun",
        "_is_over",
        "_lock",
        "_on_gone",
        "_send",
        "_sent",
        "_waiting",
    )

    def __init__(self, send: Send, on_gone: Callable[[], object]) -> None:
        """Calls `on_gone` when the client is found to be gone."""
        self._send = send
        self._on_gone = on_gone
        # Guards what follows, and the order in which events are sent.
        self._lock = threading.Lock()
        self._has_begun = self._is_over = False
        # Bytes since the client has taken all.
        self._sent = 0
        # Where a thread waits for the client: for None, or for what it is to raise.
        self._waiting: queue.SimpleQueue[Gone | None] | None = None

    def begin(self, metadata: Metadata | None) -> None:
        """Sends the headers, and metadata among them, unless they are sent. Raises Gone."""
        with self._lock:
            self._require_open()
            if not self._has_begun:
                self._start(encode_metadata(metadata))
                # They go out with the first part of the body.
                self._send(_part(b""))

    def send_whole(self, message: bytes, metadata: Metadata | None) -> None:
        """Sends the one message of a unary call, and the status OK. Raises Gone.

        The metadata are in the headers, too: a gateway need not wait for the trailers.
        """
        headers = encode_metadata(metadata)
        with self._lock:
            self._require_open()
            self._is_over = True
            self._start(headers)
            self._send(_part(frame(message), is_last=True))
            status = [(b"grpc-status", b"0"), *headers]
            self._send({"type": "http.response.trailers", "headers": status})

    async def send_parts(self, parts: Sequence[bytes], on_sent: Callable[[], object]) -> None:
        """Sends parts of the body, each when the client can take more, and calls back at the last.

        Envoy reads each at once, as long as it takes: together they would hold up all others.
        """
        try:
            for number, part in enumerate(parts, 1):
                with self._lock:
                    if self._is_over:
                        return
                    self._start([])
                    sent = self._send(_part(part))
                if number < len(parts):
                    await sent
        except Exception:  # noqa: BLE001 - whatever pyvoy raises, the client is gone
            self._on_gone()
        else:
            on_sent()

    def send_part(self, part: bytes) -> None:
        """Sends messages of a stream, and waits for its client now and then. Raises Gone.

        Cancels a call whose client takes nothing for too long.
        """
        with self._lock:
            self._require_open()
            self._sent += len(part)
            if self._sent < _UNACKNOWLEDGED_BYTES:
                self._start([])
                self._send(_part(part))
                return
            self._sent = 0
            waiting: queue.SimpleQueue[Gone | None] = queue.SimpleQueue()
            self._waiting = waiting
        self.start_to_send(part, lambda: waiting.put(None))
        try:
            error = waiting.get(timeout=contract.STREAM_IDLE_SECONDS)
        except queue.Empty:
            self.close(grpc.StatusCode.CANCELLED, "CANCELLED", None)
            error = Gone()
        if error:
            raise error
        self._waiting = None

    def start_to_send(self, part: bytes, on_sent: Callable[[], object]) -> None:
        """Sends a part of the body, and calls back when the client can take more."""
        with self._lock:
            if self._is_over:
                return
            self._start([])
            sent = self._send(_part(part))
        run(self._await(sent, on_sent))

    def close(self, code: grpc.StatusCode, message: str, metadata: Metadata | None) -> None:
        """Ends the response with a status, unless it has ended."""
        status = encode_status(code, message, metadata)
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            if self._has_begun:
                self._send(_part(b"", is_last=True))
                self._send({"type": "http.response.trailers", "headers": status})
            else:
                headers = {"headers": [_TYPE, *status], "trailers": False}
                self._send(_START | headers)
                self._send(_part(b"", is_last=True))

    def end(self) -> None:
        """Sends nothing any more, and has a thread that waits for the client go on."""
        with self._lock:
            self._is_over = True
            # The garbage collector is not needed for a call whose response does not refer to it.
            self._on_gone = _do_nothing
            if self._waiting:
                self._waiting.put(Gone())

    async def _await(self, sent: Awaitable[None], on_sent: Callable[[], object]) -> None:
        try:
            await sent
        except Exception:  # noqa: BLE001 - whatever pyvoy raises, the client is gone
            self._on_gone()
        else:
            on_sent()

    def _start(self, headers: list[tuple[bytes, bytes]]) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._send(_START | {"headers": [_TYPE, *headers]} if headers else _START)

    def _require_open(self) -> None:
        if self._is_over:
            raise Gone


def _do_nothing() -> None:
    pass


def _part(body: bytes, *, is_last: bool = False) -> Event:
    return {"type": "http.response.body", "body": body, "more_body": not is_last}
