"""Listens on ports; loads nothing else, so that the gateway's supervisor can use it, too."""

import errno
import socket


def family(host: str) -> socket.AddressFamily:
    """Returns the family of an IP address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def is_of_both_families(host: str) -> bool:
    """Tells whether ports of an address are those of IPv4 and of IPv6, as with grpcio."""
    return host == "::" and socket.has_dualstack_ipv6()


def listen(host: str, port: int) -> socket.socket:
    """Listens on a port. Raises OSError if something else does."""
    address = (host, port)
    of_both = is_of_both_families(host)
    return socket.create_server(address, family=family(host), dualstack_ipv6=of_both)


def cannot_listen(address: str, setting: str = "", error: OSError | None = None) -> str:
    """Returns the message for an address that cannot be bound, and what to do.

    `setting` has its port. Without an error of the system, the reason is not known.
    """
    said = f"cannot listen on {address}: "
    number = error.errno if error else None
    if number == errno.EADDRNOTAVAIL:
        return said + "set BIND to an address of this machine"
    if number == errno.EACCES:
        return said + f"this user may not; set {setting} to a port from 1024 on"
    other = f" Stop it, or set {setting} to another port" if setting else ""
    return said + "is something else listening there?" + other
