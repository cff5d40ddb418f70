"""Fetches small documents over HTTP, within one time limit and a bound on their size.

The timeouts of HTTP clients are for each read, so that a server that sends a
byte now and then holds them for as long as it likes. Here every step, and
every read, has what is left of one time limit.
"""

import functools
import http.client
import io
import socket
import ssl
import time
import urllib.request
import zlib
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any, NamedTuple, cast
from urllib.error import URLError

# The parameter of zlib that makes it expect gzip.
_GZIP = 16 + zlib.MAX_WBITS


class Response(NamedTuple):
    """The status of a response, and its decompressed content."""

    status: int
    content: bytes


def get(url: str, seconds: float, max_bytes: int) -> Response:
    """Fetches a document; through a proxy if the environment names one.

    It takes at most `seconds`, beside the lookup of the host's name, which
    cannot be interrupted. Redirects are not followed. Raises OSError if there
    is no response in time, and ValueError if the document is larger than
    `max_bytes` or has an unknown compression.
    """
    try:
        with _opener().open(url, timeout=seconds) as response:
            # A byte more than allowed shows that there is more.
            content = response.read(max_bytes + 1)
    except URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else error from None
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP response: {type(error).__name__}") from None
    coding = response.headers.get("content-encoding", "identity").lower()
    # `http.client` asks for none, but some caches keep compressed documents only.
    if coding == "gzip":
        content = _decompress(content, max_bytes + 1)
    elif coding != "identity":
        raise ValueError("the document has an unknown compression")
    if len(content) > max_bytes:
        raise ValueError(f"the document is larger than {max_bytes:,} bytes")
    return Response(response.status, content)


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    """Returns an opener that takes any response for an answer; it trusts the system's CAs."""
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.ProxyHandler())
    opener.add_handler(_HTTPHandler())
    opener.add_handler(_HTTPSHandler())
    return opener


def _decompress(content: bytes, max_bytes: int) -> bytes:
    try:
        return zlib.decompressobj(_GZIP).decompress(content, max_bytes)
    except zlib.error:
        raise ValueError("the document cannot be decompressed") from None


def _left(deadline: float) -> float:
    """Returns the seconds until a deadline. Raises TimeoutError if it is over."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _TimedConnection(HTTPConnection):
    """A connection whose timeout is for all that is done with it together."""

    def __init__(self, host: str, *, timeout: float = 0, **options: Any) -> None:
        super().__init__(host, timeout=timeout, **options)
        self._deadline = time.monotonic() + timeout
        # `http.client` calls them to connect, before it begins TLS, and to read a response.
        self._create_connection = self._connect
        self.response_class = cast("type[HTTPResponse]", self._response)
        self._last_response: HTTPResponse | None = None

    def connect(self) -> None:
        """Connects, through a proxy if there is one, and closes what that has answered."""
        try:
            super().connect()
        finally:
            # Python before 3.11.5 leaves it open.
            if self._last_response:
                self._last_response.close()

    def _response(self, sock: socket.socket, *args: Any, **options: Any) -> HTTPResponse:
        """Makes the response of a server or proxy, which is read until the deadline."""
        timed = cast("socket.socket", _TimedSocket(sock, self._deadline))
        self._last_response = HTTPResponse(timed, *args, **options)
        return self._last_response

    def _connect(self, address: tuple[str, int], *_: object) -> socket.socket:
        """Connects to the first of the host's addresses that answers; they share the time."""
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        for number, (family, kind, protocol, _name, place) in enumerate(found):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(_left(self._deadline) / (len(found) - number))
                connection.connect(place)
                connection.settimeout(_left(self._deadline))
            except OSError as error:
                connection.close()
                failure = error
            else:
                return connection
        raise failure


class _TimedTLSConnection(_TimedConnection, HTTPSConnection):
    """A connection with TLS, whose handshake has what is left of the time, too."""


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_TimedConnection, request)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def __init__(self) -> None:
        self._trust = ssl.create_default_context()
        super().__init__(context=self._trust)

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_TimedTLSConnection, request, context=self._trust)


class _TimedSocket:
    """Stands in for the socket of a response, and gives it a file that ends at a deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Returns the file. It keeps the connection open when the socket is closed."""
        return io.BufferedReader(_TimedFile(self._connection, self._deadline))


class _TimedFile(io.RawIOBase):
    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._file = connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(_left(self._deadline))
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
