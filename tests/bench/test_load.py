"""Tests of the load generators: requests that they send, and wrong responses that they detect."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from bench.errors import BenchError, WrongResponseError
from bench.load.connection import Connection, Request, read_requests, write_requests
from bench.load.h2load import throughput_of
from bench.load.http1 import Http1
from bench.load.http2 import Http2
from bench.load.loops import LoadResult, closed_loop, open_loop

ECHO = "/bench.Test/Echo"
# Longer than the lengths that HPACK encodes in one byte.
TOKEN = "x" * 300


class _Echo(grpc.GenericRpcHandler):
    """Echoes requests that carry the token; fails for the request `fail`."""

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._echo)

    def _echo(self, request: bytes, context: Any) -> bytes:
        if dict(context.invocation_metadata()).get("authorization") != TOKEN:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        if request == b"fail":
            context.abort(grpc.StatusCode.INTERNAL, "failed")
        return request


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A connection to a gRPC server that echoes requests."""
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    http2 = Http2("127.0.0.1", port, ECHO, {"authorization": TOKEN})
    with closing(http2.socket):
        yield http2
    server.stop(None).wait()


def _start_server(response: bytes) -> int:
    """Starts a server that sends a response to the first request; returns its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(1 << 16)
            connection.sendall(response)

    threading.Thread(target=serve).start()
    return int(listener.getsockname()[1])


def _result_of(response: bytes, expected: bytes) -> LoadResult:
    http1 = Http1("127.0.0.1", _start_server(response), 200)
    with closing(http1.socket):
        return closed_loop([http1], [Request(b"GET / HTTP/1.1\r\n\r\n", expected)], 1)


def test_round_trip_of_request_file(tmp_path: Path) -> None:
    """A file of requests preserves all bytes."""
    requests = [Request(b"GET\n", b"ada"), Request(b"\0\xff", b""), Request(b"", b"")]
    write_requests(tmp_path / "file", requests)

    assert read_requests(tmp_path / "file") == requests


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nada",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nada\r\n0\r\n\r\n",
    ],
)
def test_http1_response(response: bytes) -> None:
    """A response with either framing is read to its end."""
    result = _result_of(response, b"ada")

    assert (len(result.latencies_us), result.errors) == (1, [])


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nada",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbob",
    ],
)
def test_http1_wrong_response(response: bytes) -> None:
    """A response with another status, or without the expected bytes, is an error."""
    assert len(_result_of(response, b"ada").errors) == 1


def test_http2_calls(connection: Connection) -> None:
    """Concurrent calls on a connection each get their own response."""
    bodies = [f"customer {number} ".encode() * 100 for number in range(200)]
    result = closed_loop([connection], [Request(body, body) for body in bodies], 8)

    assert (len(result.latencies_us), result.errors) == (200, [])
    assert (result.min_bytes, result.max_bytes) == (1105, 1305)


@pytest.mark.parametrize("request_", [Request(b"fail", b""), Request(b"ada", b"bob")])
def test_http2_wrong_response(connection: Connection, request_: Request) -> None:
    """A call that fails, or a response without the expected bytes, is an error."""
    assert len(closed_loop([connection], [request_], 1).errors) == 1


def test_open_loop(connection: Connection) -> None:
    """Requests at a rate take the time that the rate implies, however fast the responses are."""
    result = open_loop([connection], [Request(b"ada", b"ada")] * 50, 500, seed=1)

    assert 0.05 < result.ended - result.started < 5
    assert (len(result.latencies_us), result.errors) == (50, [])


H2LOAD = """
finished in 1.59s, 10074.15 req/s, 15.00MB/s
requests: 16000 total, 16000 started, 16000 done, {0} succeeded, {1} failed, 0 errored, 0 timeout
status codes: {0} 2xx, 0 3xx, {1} 4xx, 0 5xx
traffic: 23.82MB (24973545) total, 47.02KB (48150) headers (space savings 96.28%), 1MB (32000) data
"""


def test_h2load_throughput() -> None:
    """The throughput is the one that h2load prints, if all responses are right."""
    assert throughput_of(H2LOAD.format(16000, 0), (1, 3)) == 10_074.15


@pytest.mark.parametrize(
    ("output", "body_bytes"),
    [(H2LOAD.format(15999, 1), (1, 3)), (H2LOAD.format(16000, 0), (3, 5))],
)
def test_h2load_wrong_responses(output: str, body_bytes: tuple[int, int]) -> None:
    """Responses with another status or size are an error."""
    with pytest.raises(WrongResponseError):
        throughput_of(output, body_bytes)


def test_h2load_failure() -> None:
    """Output without results is reported as a failure of h2load."""
    with pytest.raises(BenchError, match="could not connect"):
        throughput_of("could not connect", (1, 3))
