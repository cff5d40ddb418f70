"""Requests of the load generator, and the interface of the connections that send them."""

import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

READ_BYTES = 1 << 18

_LENGTHS = struct.Struct(">II")


class Request(NamedTuple):
    """A prepared request, and the bytes that its response must contain.

    The payload is the whole request for HTTP/1.1, the encoded message for gRPC.
    """

    payload: bytes
    expected: bytes


class Response(NamedTuple):
    """A complete response: the tag of its request, the body's length, and an error or ""."""

    tag: Any
    body_bytes: int
    error: str


class ConnectionClosedError(Exception):
    """The server closed the connection."""


class Connection(ABC):
    """A connection to a server."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @abstractmethod
    def send(self, requests: Sequence[tuple[Any, Request]]) -> None:
        """Sends requests, each with a tag that its response returns."""

    @abstractmethod
    def receive(self) -> list[Response]:
        """Reads once; returns the responses that are complete. Raises ConnectionClosedError."""

    def read(self) -> bytes:
        """Reads some bytes, waiting for them if need be. Raises ConnectionClosedError."""
        try:
            if received := self.socket.recv(READ_BYTES):
                return received
        except ConnectionError as error:
            raise ConnectionClosedError from error
        raise ConnectionClosedError


def write_requests(path: Path, requests: Iterable[Request]) -> None:
    """Writes requests to a file, for another process to read."""
    with path.open("wb") as file:
        for request in requests:
            file.write(_LENGTHS.pack(len(request.payload), len(request.expected)))
            file.writelines(request)


def read_requests(path: Path) -> list[Request]:
    """Reads the requests that `write_requests` wrote."""
    content = path.read_bytes()
    requests = []
    offset = 0
    while offset < len(content):
        payload, expected = _LENGTHS.unpack_from(content, offset)
        begin = offset + _LENGTHS.size
        middle, offset = begin + payload, begin + payload + expected
        requests.append(Request(content[begin:middle], content[middle:offset]))
    return requests
