"""Reserves ports for the processes of the service."""

import socket

from twc_customer_server.transport.ports import family


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
