"""Web servers of issuers, sound and hostile, on loopback ports of their own."""

import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Self

# Answers a request for a path on a connection, which is closed afterwards.
Answer = Callable[[socket.socket, str], None]


class IssuerSite(ThreadingTCPServer):
    """The web server of an issuer: `answer` is what it does, and `paths` what it was asked for."""

    daemon_threads = True
    # Its threads may be in the middle of an answer that takes for ever.
    block_on_close = False
    request_queue_size = 128

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.answer = answer
        self.paths: list[str] = []
        self.running = 0
        self.most_running = 0
        self.lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return ("127.0.0.1", int(self.server_address[1]))

    @property
    def url(self) -> str:
        """The address of its root, without a slash."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Says nothing: clients that give up are what tests want."""


class _Connection(BaseRequestHandler):
    def handle(self) -> None:
        site = self.server
        assert isinstance(site, IssuerSite)
        request = b""
        while b"\r\n\r\n" not in request:
            received = self.request.recv(65536)
            if not received:
                return
            request += received
        path = request.split()[1].decode()
        with _counted(site):
            site.paths.append(path)
            site.answer(self.request, path)


@contextmanager
def _counted(site: IssuerSite) -> Iterator[None]:
    with site.lock:
        site.running += 1
        site.most_running = max(site.most_running, site.running)
    try:
        yield
    finally:
        with site.lock:
            site.running -= 1


def response(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """An HTTP response."""
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{headers}\r\n"
    return head.encode() + body


def publishing(body: bytes, status: str = "200 OK", headers: str = "") -> Answer:
    """Answers with a document."""

    def answer(connection: socket.socket, _: str) -> None:
        connection.sendall(response(body, status, headers))

    return answer


def hanging(connection: socket.socket, _: str) -> None:
    """Takes the request, and answers nothing until the client gives up."""
    connection.recv(1)


def dripping(body: bytes, at: int, seconds: float = 0.05) -> Answer:
    """Sends the first `at` bytes of a response at once, and then a byte now and then."""

    def answer(connection: socket.socket, _: str) -> None:
        sent = response(body)
        connection.sendall(sent[:at])
        for byte in sent[at:]:
            connection.sendall(bytes([byte]))
            time.sleep(seconds)

    return answer


def endless(connection: socket.socket, _: str) -> None:
    """Sends a document that does not end."""
    connection.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"keys": [')
    while True:
        connection.sendall(b" " * 65536)


def in_gzip(body: bytes, megabytes: int = 0) -> Answer:
    """Answers with a document in gzip, and that much white space behind it."""
    gzip = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    pieces = [gzip.compress(piece) for piece in (body, *[b" " * 1_000_000] * megabytes)]
    compressed = b"".join((*pieces, gzip.flush()))
    return publishing(compressed, headers="content-encoding: gzip\r\n")
