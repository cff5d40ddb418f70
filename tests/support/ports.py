"""Ports for servers that tests start."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress


@contextmanager
def held_port(port: int = 0) -> Iterator[int]:
    """Yields a port that the system gives to no other process, and on which a server can listen.

    It is the given one, if that is not 0. Raises OSError if that is taken.

    The socket that holds it is bound and does not listen: beside it may listen, on
    Linux, whoever sets SO_REUSEADDR, as grpcio, Envoy and `socket.create_server` do.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("0.0.0.0", port))  # noqa: S104 - it never listens
        yield int(holder.getsockname()[1])


@contextmanager
def held_pair() -> Iterator[int]:
    """Yields a port that is held, of which the next one is held as well."""
    with ExitStack() as held:
        while True:
            first = held.enter_context(held_port())
            # The next one may be taken, and the last port has none.
            with suppress(OSError, OverflowError):
                held.enter_context(held_port(first + 1))
                break
        yield first
