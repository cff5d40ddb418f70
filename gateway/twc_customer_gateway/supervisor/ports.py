"""The ports of the service: found free, or held for the workers to share."""

import socket


def free(host: str) -> int:
    """A port of an address that nothing listened on a moment ago."""
    with socket.create_server((host, 0), family=_family(host)) as probe:
        return int(probe.getsockname()[1])


def hold(host: str, port: int) -> socket.socket:
    """Keeps a port for processes that share it by SO_REUSEPORT, until the socket is closed.

    Raises OSError if something listens there, or holds the port, too.
    """
    holder = socket.socket(_family(host))
    try:
        # Connections of an earlier service may linger on the port.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
        # Of several at once only one can listen, because none shares yet.
        holder.listen()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # It stays bound, which keeps others out, and takes no connections from the workers.
        holder.shutdown(socket.SHUT_RDWR)
    except OSError:
        holder.close()
        raise
    return holder


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
