"""Asks Envoy's administration interface."""

import http.client
import socket
from pathlib import Path

# How long Envoy may take: it answers at once, but for when the machine is busy.
SECONDS = 5


def ask(admin: Path, method: str, path: str) -> bytes:
    """What Envoy answers on its administration socket. Raises OSError if it does not."""
    connection = http.client.HTTPConnection("envoy")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(SECONDS)
    try:
        connection.sock.connect(str(admin))
        connection.request(method, path)
        return connection.getresponse().read()
    finally:
        connection.close()
