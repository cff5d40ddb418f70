"""The ports, reserved for the processes that share them."""

import errno
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.support.ports import held_port
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


@pytest.fixture(params=["given", "chosen by the system"])
def wanted(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port to reserve; 0 is any."""
    if request.param == "given":
        with held_port() as port:
            yield port
    else:
        yield 0


INTRUDERS: dict[str, Callable[[int], socket.socket]] = {
    "reservation": lambda port: ports.reserve(HOST, port),
    "reservation of all addresses": lambda port: ports.reserve("0.0.0.0", port),  # noqa: S104
    "server": lambda port: _listen(port, shared=False),
}


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("intrude", INTRUDERS.values(), ids=INTRUDERS)
def test_reserved_port(wanted: int, intrude: Callable[[int], socket.socket], workers: int) -> None:
    """Only those who share a reserved port can listen on it, also when none of them does yet."""
    with ExitStack() as held:
        port = held.enter_context(ports.reserve(HOST, wanted)).getsockname()[1]
        for _ in range(workers):
            held.enter_context(_listen(port, shared=True))

        with pytest.raises(OSError, match="in use"):
            intrude(port)


def test_reserved_port_after_workers(wanted: int) -> None:
    """A port stays reserved when all that listened on it have ended, and they can return."""
    with ports.reserve(HOST, wanted) as reserved:
        port = reserved.getsockname()[1]
        _listen(port, shared=True).close()

        with pytest.raises(OSError, match="in use"):
            _listen(port, shared=False)
        _listen(port, shared=True).close()


def test_connection_to_reserved_port(wanted: int) -> None:
    """A reserved port that nobody listens on refuses connections, as any other does."""
    with ports.reserve(HOST, wanted) as reserved, pytest.raises(ConnectionRefusedError):
        socket.create_connection(reserved.getsockname())


def test_released_port() -> None:
    """A port that is no longer reserved is free for anyone."""
    with held_port() as port:
        ports.reserve(HOST, port).close()

        _listen(port, shared=False).close()


def test_one_reservation() -> None:
    """Of several that reserve a port at the same time, exactly one succeeds."""
    at_once = 8
    for _ in range(50):
        ready = threading.Barrier(at_once)

        def reserve(port: int, ready: threading.Barrier = ready) -> bool:
            ready.wait(20)
            try:
                reservations.enter_context(ports.reserve(HOST, port))
            except OSError:
                return False
            return True

        with (
            held_port() as port,
            ExitStack() as reservations,
            ThreadPoolExecutor(at_once) as threads,
        ):
            reserved = list(threads.map(reserve, [port] * at_once))
        assert sum(reserved) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs packet filters of sockets")
def test_ignored_connections(wanted: int) -> None:
    """A listener can close a port, with connections waiting, and lose none that was made."""
    with ports.reserve(HOST, wanted) as reserved:
        address = reserved.getsockname()
        with _listen(address[1], shared=True) as server, ExitStack() as made:
            waiting = [made.enter_context(socket.create_connection(address)) for _ in range(5)]
            with ports.ignoring_connections(reserved):
                for _ in range(20):
                    with pytest.raises(TimeoutError):
                        socket.create_connection(address, timeout=0.02)
                for client in waiting:
                    accepted = made.enter_context(server.accept()[0])
                    accepted.sendall(b"answer")
                    assert client.recv(6) == b"answer"
                server.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


@pytest.mark.skipif(sys.platform != "linux", reason="the system cannot filter packets")
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_listeners_that_close_in_turn(closed: int) -> None:
    """While connections are ignored none reaches listeners that are still open beside a closed."""
    with ExitStack() as held:
        reserved = held.enter_context(ports.reserve(HOST, 0))
        address = reserved.getsockname()
        servers = [held.enter_context(_listen(address[1], shared=True)) for _ in range(3)]
        held.enter_context(ports.ignoring_connections(reserved, len(servers)))
        servers.pop(closed).close()
        while servers:
            for _ in range(32):
                client = held.enter_context(socket.socket())
                client.settimeout(0)
                assert client.connect_ex(address) == errno.EINPROGRESS
            for server in servers:
                server.settimeout(0)
                with pytest.raises(BlockingIOError):
                    server.accept()
            servers.pop().close()
