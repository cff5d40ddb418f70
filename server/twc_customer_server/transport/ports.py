"""Listens on ports; loads nothing else, so that the gateway's supervisor can use it, too."""

import socket


def family(host: str) -> socket.AddressFamily:
    """Returns the family of an IP address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def listen(host: str, port: int) -> socket.socket:
    """Listens on a port. Raises OSError if something else does."""
    return socket.create_server((host, port), family=family(host))


def address_taken(address: str) -> str:
    """Returns the error message for an address that cannot be bound."""
    return f"cannot listen on {address}: is something else listening there?"
