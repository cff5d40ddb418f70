"""Defines the calls of a transport, which admission, health and the rest take."""

import queue
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import grpc

Metadata = Sequence[tuple[str, str | bytes]]

# Takes an argument and the call's `grpc.ServicerContext`.
Behavior = Callable[[Any, Any], object]

# Takes a message; None is the end of them.
OnReceived = Callable[[bytes | None], object]

# Before the address of a gateway that runs elsewhere.
GATEWAY_PEER = "gateway:"


def is_gateway(peer: str) -> bool:
    """Tells whether a call comes from a gateway: they alone connect to the server's socket."""
    return peer.startswith(("unix:", GATEWAY_PEER))


class Gone(grpc.RpcError):
    """The call has ended, by its client or for it."""


class IncomingCall(ABC):
    """A call that has come with its headers alone, to be run once."""

    __slots__ = ("behavior", "metadata")

    behavior: Behavior
    # The headers of the call.
    metadata: Metadata

    @abstractmethod
    def peer(self) -> str:
        """Returns where the call comes from, as `grpc.ServicerContext.peer` does.

        What is of a gateway by TCP has `GATEWAY_PEER` before it.
        """

    @abstractmethod
    def has_expired(self) -> bool:
        """Tells whether the call's deadline has passed."""

    @abstractmethod
    def is_active(self) -> bool:
        """Tells whether the call has neither ended nor been cancelled."""

    @abstractmethod
    def receive(self, on_received: OnReceived) -> None:
        """Starts to receive a message, which `on_received` gets on the transport's thread.

        There is none after the last one, and if the client has cancelled the call, which
        `is_active` then knows.
        """

    def messages(self) -> Iterator[bytes]:
        """Yields messages, and waits for them. Raises Gone if the call is cancelled meanwhile."""
        received: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        while True:
            self.receive(received.put)
            message = received.get()
            if message is not None:
                yield message
                # It may be a large one, and the next one late.
                del message
            elif self.is_active():
                return
            else:
                raise Gone

    @abstractmethod
    def run_with(self, behavior: Behavior, argument: object, *, is_short: bool = False) -> None:
        """Runs a behavior with an argument, which is not None, unless the call has ended.

        `is_short` tells that the messages of its stream come soon, take no more than one answer
        may, and can be sent together: nothing waits for the client to take them.
        """

    @abstractmethod
    def end_with(self, behavior: Behavior, argument: object) -> None:
        """Runs a behavior that ends the call, in place of one that may be running."""

    @abstractmethod
    def run_stream(self, behavior: Behavior, messages: Iterable[bytes] = ()) -> None:
        """Runs a behavior with messages that were received, and those that come."""

    @abstractmethod
    def cancel(self) -> None:
        """Cancels the call, which may be in the middle of a message."""

    @abstractmethod
    def reject(self, message: str) -> None:
        """Ends the call with RESOURCE_EXHAUSTED and a message alone, which takes no time."""

    @abstractmethod
    def on_end(self, callback: Callable[[], object]) -> None:
        """Calls back when the call has ended, or at once if it has."""

    @abstractmethod
    def send(self, encoded: bytes, on_sent: Callable[[], object]) -> None:
        """Starts to send a message, unless the call has ended; calls back when it is sent.

        Only one message may be on its way.
        """
