"""HTTP/1.1 by hand: sends bytes as they are, and reads the answer."""

import http.client
import re
import socket
from collections.abc import Iterable

from tests.security.outcomes import CUT, UNANSWERED

_PIECE = 1 << 16
_GRPC_STATUS = re.compile(rb"grpc-status: ?(\d+)")


def connect(port: int, seconds: float, received_bytes: int = 0) -> socket.socket:
    """Connects to a port; each step on the connection may take some seconds.

    The system takes about `received_bytes` that nobody has read yet, if they are given.
    """
    connection = socket.socket()
    connection.settimeout(seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if received_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received_bytes)
    try:
        connection.connect(("127.0.0.1", port))
    except OSError:
        connection.close()
        raise
    return connection


def request(
    method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes | None = None
) -> bytes:
    """Encodes a request; with a body it has the body's length."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def exchange(connection: socket.socket, sent: bytes) -> tuple[str, int, bool]:
    """Sends a request; returns the answer's status and size, and whether the connection lasts."""
    try:
        connection.sendall(sent)
    except TimeoutError:
        return UNANSWERED, 0, False
    except OSError:
        pass  # Who answers before the request is complete may read no more of it.
    return read_answer(connection, sent.partition(b" ")[0].decode("latin-1"))


def read_answer(connection: socket.socket, method: str = "GET") -> tuple[str, int, bool]:
    """Reads an answer: its status and size, and whether the connection lasts."""
    answer = http.client.HTTPResponse(connection, method=method)
    try:
        answer.begin()
        status, size, first = str(answer.status), 0, b""
        while piece := answer.read(_PIECE):
            first = first or piece
            size += len(piece)
    except TimeoutError:
        return UNANSWERED, 0, False
    except (OSError, http.client.HTTPException):
        return CUT, 0, False
    finally:
        answer.close()
    if found := _GRPC_STATUS.search(first + str(answer.headers).lower().encode("latin-1")):
        status = f"grpc {int(found[1])}"
    return status, size, not answer.will_close
