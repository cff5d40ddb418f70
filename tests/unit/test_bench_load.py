"""The load generators of the benchmark: what they send, and what they notice."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from bench.load import h2load
from bench.load.connection import Connection
from bench.load.http1 import Http1
from bench.load.http2 import Http2
from bench.load.loops import Outcome, closed, paced
from bench.load.requests import Request, read, write
from bench.problems import BenchError, WrongAnswerError

ECHO = "/bench.Test/Echo"
SECRET = "x" * 300


class _Echo(grpc.GenericRpcHandler):
    """Returns what it is sent to callers with a long token; a call of `fail` fails."""

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._echo)

    def _echo(self, request: bytes, context: Any) -> bytes:
        if dict(context.invocation_metadata()).get("authorization") != SECRET:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        if request == b"fail":
            context.abort(grpc.StatusCode.INTERNAL, "failed")
        return request


@pytest.fixture
def native() -> Iterator[Connection]:
    """A connection to a gRPC server that returns what it is sent."""
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    connection = Http2("127.0.0.1", port, ECHO, {"authorization": SECRET})
    with closing(connection.socket):
        yield connection
    server.stop(None).wait()


def _answering(*answers: bytes) -> int:
    """The port of a server that answers one connection, whatever it is sent."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            for answer in answers:
                connection.recv(1 << 16)
                connection.sendall(answer)

    threading.Thread(target=serve).start()
    return int(listener.getsockname()[1])


def _asked(answer: bytes, wanted: bytes = b"") -> Outcome:
    connection = Http1("127.0.0.1", _answering(answer), 200)
    with closing(connection.socket):
        return closed([connection], [Request(b"GET / HTTP/1.1\r\n\r\n", wanted)], 1)


def test_requests_are_read_as_written(tmp_path: Path) -> None:
    """A file of requests holds any bytes."""
    requests = [Request(b"GET\n", b"ada"), Request(b"\0\xff", b""), Request(b"", b"")]
    write(tmp_path / "file", requests)

    assert read(tmp_path / "file") == requests


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nada",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nada\r\n0\r\n\r\n",
    ],
)
def test_http1_answer(answer: bytes) -> None:
    """An answer of either kind is read to its end."""
    outcome = _asked(answer, b"ada")

    assert (len(outcome.microseconds), outcome.wrong) == (1, [])


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nada",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbob",
    ],
)
def test_http1_wrong_answer(answer: bytes) -> None:
    """An answer of another status, or without what was asked for, is wrong."""
    assert len(_asked(answer, b"ada").wrong) == 1


def test_http2_calls(native: Connection) -> None:
    """Many calls run at the same time on a connection, each with an answer of its own."""
    bodies = [f"customer {number} ".encode() * 100 for number in range(200)]
    outcome = closed([native], [Request(body, body) for body in bodies], 8)

    assert (len(outcome.microseconds), outcome.wrong) == (200, [])
    assert (outcome.shortest, outcome.longest) == (1105, 1305)


@pytest.mark.parametrize("request_", [Request(b"fail", b""), Request(b"ada", b"bob")])
def test_http2_wrong_answer(native: Connection, request_: Request) -> None:
    """A call that fails, or an answer without what was asked for, is wrong."""
    assert len(closed([native], [request_], 1).wrong) == 1


def test_pace(native: Connection) -> None:
    """Requests at a rate take as long as the rate says, however fast the answers are."""
    outcome = paced([native], [Request(b"ada", b"ada")] * 50, 500, seed=1)

    assert 0.05 < outcome.ended - outcome.began < 0.5
    assert (len(outcome.microseconds), outcome.wrong) == (50, [])


H2LOAD = """
finished in 1.59s, 10074.15 req/s, 15.00MB/s
requests: 16000 total, 16000 started, 16000 done, {0} succeeded, {1} failed, 0 errored, 0 timeout
status codes: {0} 2xx, 0 3xx, {1} 4xx, 0 5xx
traffic: 23.82MB (24973545) total, 47.02KB (48150) headers (space savings 96.28%), 1MB (32000) data
"""


def test_h2load_rate() -> None:
    """The rate of an h2load whose answers are right is what it says."""
    assert h2load.rate(H2LOAD.format(16000, 0), (1, 3)) == 10_074.15


@pytest.mark.parametrize(
    ("output", "lengths"),
    [(H2LOAD.format(15999, 1), (1, 3)), (H2LOAD.format(16000, 0), (3, 5))],
)
def test_h2load_wrong_answers(output: str, lengths: tuple[int, int]) -> None:
    """Answers of another status or length are wrong."""
    with pytest.raises(WrongAnswerError):
        h2load.rate(output, lengths)


def test_h2load_fails() -> None:
    """An h2load that did nothing is told apart."""
    with pytest.raises(BenchError, match="could not connect"):
        h2load.rate("could not connect", (1, 3))
