"""How the native port is kept for the workers that share it."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from twc_customer_gateway.supervisor import ports

HOST = "127.0.0.1"


def _listen(port: int, *, shared: bool) -> socket.socket:
    """Listens as a server does."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    try:
        server.bind((HOST, port))
        server.listen()
    except OSError:
        server.close()
        raise
    return server


INTRUDERS: dict[str, Callable[[int], socket.socket]] = {
    "holder": lambda port: ports.hold(HOST, port),
    "holder of all addresses": lambda port: ports.hold("0.0.0.0", port),  # noqa: S104
    "server": lambda port: _listen(port, shared=False),
}


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("intrude", INTRUDERS.values(), ids=INTRUDERS)
def test_held_port(intrude: Callable[[int], socket.socket], workers: int) -> None:
    """A held port is for those who share it alone, also while none of them listens."""
    port = ports.free(HOST)
    with ExitStack() as held:
        held.enter_context(ports.hold(HOST, port))
        for _ in range(workers):
            held.enter_context(_listen(port, shared=True))

        with pytest.raises(OSError, match="in use"):
            intrude(port)


def test_holder_takes_no_connections() -> None:
    """A held port that nobody listens on refuses connections, as any other does."""
    port = ports.free(HOST)
    with ports.hold(HOST, port), pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port))


def test_let_go() -> None:
    """A port that is held no more is free for anyone."""
    port = ports.free(HOST)
    ports.hold(HOST, port).close()

    _listen(port, shared=False).close()


def test_one_holder() -> None:
    """Of several that want to hold a port at the same time, exactly one does."""
    at_once = 8
    for _ in range(50):
        port = ports.free(HOST)
        ready = threading.Barrier(at_once)

        def hold(_: int, port: int = port, ready: threading.Barrier = ready) -> bool:
            ready.wait(20)
            try:
                holders.enter_context(ports.hold(HOST, port))
            except OSError:
                return False
            return True

        with ExitStack() as holders, ThreadPoolExecutor(at_once) as threads:
            held = list(threads.map(hold, range(at_once)))
        assert sum(held) == 1
