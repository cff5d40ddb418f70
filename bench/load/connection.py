"""What the load generator asks of a connection, whatever it speaks."""

import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from bench.load.requests import Request

READ_BYTES = 1 << 18


class Answer(NamedTuple):
    """The end of a request: what it was called, its body's length, and what is wrong with it."""

    name: Any
    length: int
    wrong: str


class ClosedError(Exception):
    """The server ended the connection."""


class Connection(ABC):
    """A connection to a server."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @abstractmethod
    def send(self, requests: Sequence[tuple[Any, Request]]) -> None:
        """Sends requests, each with a name that its answer is to bear."""

    @abstractmethod
    def receive(self) -> list[Answer]:
        """Reads what has come, and returns the answers that are whole. Raises ClosedError."""

    def read(self) -> bytes:
        """Reads some of what has come, or waits for it. Raises ClosedError."""
        try:
            if received := self.socket.recv(READ_BYTES):
                return received
        except ConnectionError as error:
            raise ClosedError from error
        raise ClosedError
