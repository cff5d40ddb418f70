"""Reserves ports for the processes of the service, and keeps new connections from them."""

import ctypes
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from twc_customer_server.transport.ports import family

# Of Linux, for which Python has no names.
_SO_ATTACH_FILTER = 26
_SO_ATTACH_REUSEPORT_CBPF = 51
_BPF_RETURN = 0x06


def reserve(host: str, port: int) -> socket.socket:
    """Reserves a port for processes that share it by SO_REUSEPORT, until the socket is closed.

    The system chooses the port if it is 0. Connections to it are refused while no
    process listens. Raises OSError if something else listens on the port or reserves it.
    """
    reserving = socket.socket(family(host))
    try:
        if port:
            # Connections of an earlier service may linger on the port.
            reserving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserving.bind((host, port))
            # Several sockets that may reuse an address can bind it, but only one can listen.
            reserving.listen()
            reserving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            # It stays bound, and takes no connection that is meant for the workers.
            reserving.shutdown(socket.SHUT_RDWR)
        else:
            # Never listens: a port that the system chose is released by `shutdown`.
            reserving.bind((host, port))
        reserving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        reserving.close()
        raise
    return reserving


@contextmanager
def ignoring_connections(reserved: socket.socket, listeners: int = 1) -> Iterator[None]:
    """Has the system ignore attempts to connect to a reserved port, on which others listen.

    Connections that are being made, or wait to be accepted, stay with the
    listener, which can close when it has accepted them; the system would
    reset them. The client of one that was ignored tries again within a second
    or so. Does nothing where the system cannot filter packets as Linux does.
    """
    with ExitStack() as ignoring:
        if sys.platform == "linux":
            with suppress(OSError):
                _ignore(reserved, listeners, ignoring)
        yield


def _ignore(reserved: socket.socket, listeners: int, ignoring: ExitStack) -> None:
    """Listens behind the others, is chosen in place of them, and drops what comes.

    So do as many sockets as there are listeners: the system moves its last one into the place
    of one that is closed, and chooses any where it finds none. Raises OSError.
    """
    _drop_connections(reserved)
    ignoring.callback(reserved.shutdown, socket.SHUT_RDWR)
    for _ in range(listeners - 1):
        another = ignoring.enter_context(socket.socket(reserved.family))
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            another.setsockopt(socket.SOL_SOCKET, option, 1)
        another.bind(reserved.getsockname())
        _drop_connections(another)
    _attach(reserved, _SO_ATTACH_REUSEPORT_CBPF, listeners)


def _drop_connections(listener: socket.socket) -> None:
    _attach(listener, _SO_ATTACH_FILTER, 0)
    listener.listen()


def _attach(target: socket.socket, option: int, value: int) -> None:
    """Attaches a packet filter that returns a value: the bytes to keep, or the socket to choose."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, value))
    program = struct.pack("HP", 1, ctypes.addressof(instruction))
    target.setsockopt(socket.SOL_SOCKET, option, program)
