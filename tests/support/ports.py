"""Ports for servers that tests start."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port() -> Iterator[int]:
    """Yields a port that the system gives to no other process, and on which a server can listen.

    The socket that holds it is bound and does not listen: beside it may listen, on
    Linux, whoever sets SO_REUSEADDR, as grpcio, Envoy and `socket.create_server` do.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("0.0.0.0", 0))  # noqa: S104 - it never listens
        port: int = holder.getsockname()[1]
        yield port
