"""Client of Envoy's administration interface."""

import http.client
import json
import socket
from typing import Any

# Seconds in which Envoy must respond: it does at once unless the machine is overloaded.
TIMEOUT_SECONDS = 5


def request(admin_socket: str, method: str, path: str) -> bytes:
    """Sends a request to an administration socket and returns the response's body.

    Raises OSError if Envoy does not respond.
    """
    connection = http.client.HTTPConnection("envoy")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(TIMEOUT_SECONDS)
    try:
        connection.sock.connect(admin_socket)
        connection.request(method, path)
        return connection.getresponse().read()
    except http.client.HTTPException as error:
        raise OSError("Envoy did not complete its response") from error
    finally:
        connection.close()


def stat(admin_socket: str, name: str, kind: str = "Gauges") -> int | None:
    """Returns the value of a gauge or, of the kind `Counters`, of a counter.

    Returns None if Envoy does not know it (yet). Raises OSError if Envoy does not respond.
    """
    stats = _get_json(admin_socket, f"/stats?format=json&type={kind}&filter=^{name}$")["stats"]
    return next((int(each["value"]) for each in stats), None)


def is_ready(admin_socket: str) -> bool:
    """Tells whether Envoy can serve calls: a server can, and it has not begun to stop."""
    try:
        is_live = stat(admin_socket, "server.state") == 0
        return is_live and bool(stat(admin_socket, "cluster.server.membership_healthy"))
    except OSError:
        return False


def _get_json(admin_socket: str, path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(request(admin_socket, "GET", path))
    return content
