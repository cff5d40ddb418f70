"""A service that does not answer is reported soon, with the reason and what to do."""

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest

from tests.client.command_line import WITHOUT_COVERAGE, CommandLine, cases, emails, finish
from tests.support.builders import UNKNOWN_ID
from tests.support.certificates import Authority
from tests.support.ports import held_port
from tests.support.tokens import trust
from twc_customer_client import errors
from twc_customer_client.command_errors import command_error
from twc_customer_client.credentials import TokenError
from twc_customer_client.errors import BY_REASON, CustomerError, Failure
from twc_customer_server.app import App
from twc_customer_server.settings.model import Settings

GET = ("get", UNKNOWN_ID)
ONCE = ("--retry-for", "0")


@pytest.fixture
def refused() -> Iterator[str]:
    """An address that refuses connections."""
    with held_port() as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Gives the same answer to whatever connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_all() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client:
                        client.recv(1000)
                        client.sendall(answer)

        thread = threading.Thread(target=answer_all)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            # Wakes the thread that accepts.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("server", "problem", "next_step"),
    [
        ("REFUSED", "connection refused", "start the service, or set --server"),
        ("customers.invalid:1", "the name is not found", "correct the name: set --server"),
        ("customers.invalid", "the name is not found", "correct the name: set --server"),
        ("http://127.0.0.1:1", "this is no address", "without http://"),
        ("127.0.0.1:no-port", "the port is no number", "set --server"),
    ],
)
def test_address(cli: CommandLine, refused: str, server: str, problem: str, next_step: str) -> None:
    """An address where no service is reached is named with the reason and what to set."""
    server = server.replace("REFUSED", refused)
    result = cli.run("--server", server, "--plaintext", *ONCE, *GET)
    assert (result.status, result.out) == (1, "")
    [error, following] = result.err.splitlines()
    assert error == f"Error: cannot reach {server}: {problem}"
    assert following.startswith("Next: ")
    assert next_step in following


def test_other_protocol(cli: CommandLine) -> None:
    """A server of another protocol is told from one that is away."""
    with answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as address:
        result = cli.run("--server", address, *ONCE, *GET)
    assert (
        f"cannot reach {address}: it answers in HTTP/1, not gRPC\nNext: set --server" in result.err
    )


def test_tls(make_cli: Callable[[str, str], CommandLine], tmp_path: Path, tenant: str) -> None:
    """What is wrong about TLS is told, and which option mends it."""
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    pair = authority.issue("server")
    settings = Settings(
        data_dir=tmp_path, tls_certificate=pair.certificate, tls_key=pair.key, **trust()
    )
    app = App(settings, ["127.0.0.1:0"])
    app.start()
    try:
        port = app.ports[0]
        cli = make_cli(f"127.0.0.1:{port}", tenant)
        trusted = ("--ca", authority.certificate)
        plaintext = cli.run(*ONCE, *GET).err
        untrusted = cli.run("--ca", other.certificate, *ONCE, *GET).err
        renamed = cli.run("--server", f"localhost:{port}", *trusted, *ONCE, *GET).err
        unreadable = cli.run("--ca", __file__, *ONCE, *GET).err
    finally:
        app.stop()
    assert "it closed the connection\nNext: if the service requires TLS, use --tls" in plaintext
    assert "its certificate is not trusted\nNext: name the file of the authority" in untrusted
    assert "its certificate is for another name\nNext: set --server" in renamed
    assert "the files of TLS cannot be used\nNext: give PEM files" in unreadable


def test_unneeded_tls(cli: CommandLine) -> None:
    """A service without TLS that is called with TLS is told from one that is away."""
    result = cli.run("--tls", *ONCE, *GET)
    assert "it does not speak TLS\nNext: leave out --tls" in result.err


def test_reads_fail(cli: CommandLine, refused: str) -> None:
    """A read says at once why it tries again, and gives up within seconds."""
    cli.environment["TWC_SERVER"] = refused
    process = cli.start(*GET)
    assert process.stderr
    first = process.stderr.readline()
    assert first == f"cannot reach {refused}: connection refused; trying again for up to 5 s\n"
    start = time.monotonic()
    result = finish(process)
    assert result.status == 1
    assert f"gave up after {int(result.err.split('after ')[1][0])} seconds" in result.err
    # It waits for less than 5 s by itself.
    assert time.monotonic() - start < 60


def test_silence(cli: CommandLine, silent: str) -> None:
    """A service that does not answer is waited for as long as --timeout says, which is said."""
    cli.environment["TWC_SERVER"] = silent
    result = finish(cli.start("--timeout", "4", *GET))
    assert result.status == 1
    waiting, error, next_step = result.err.splitlines()
    assert waiting == f"waiting for {silent}, which has not answered yet"
    assert error.startswith(f"Error: {silent} has not answered in time")
    assert "--timeout" in next_step


def test_imports_go_on(
    make_cli: Callable[[str, str], CommandLine], tmp_path: Path, tenant: str
) -> None:
    """An import says that it tries again, and goes on when the service is there."""
    with held_port() as port:
        cli = make_cli(f"127.0.0.1:{port}", tenant)
        process = cli.start("import", cli.write("x.jsonl", *emails(1, 2)), "--json")
        assert process.stderr
        assert "connection refused; trying again for up to 300 s" in process.stderr.readline()
        assert process.stderr.readline().startswith("Next: start the service")
        app = App(Settings(data_dir=tmp_path / "server", **trust()), [f"127.0.0.1:{port}"])
        app.start()
        try:
            result = finish(process)
        finally:
            app.stop()
    assert (result.status, result.json["created"]) == (0, 2)


@cases(get=GET, importing=("import", "x.jsonl"))
def test_interrupt(cli: CommandLine, silent: str, case: tuple[str, ...]) -> None:
    """Ctrl-C ends a command that waits."""
    cli.write("x.jsonl", *emails(1))
    cli.environment |= {"TWC_SERVER": silent} | WITHOUT_COVERAGE
    process = cli.start(*case)
    assert process.stderr
    assert "waiting for" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.status == 130
    assert "Error: interrupted" in result.err


def test_waiting_on_a_terminal(cli: CommandLine, silent: str) -> None:
    """On a terminal the wait is a line that moves, and goes when it is over."""
    leader, follower = pty.openpty()
    arguments = ("--server", silent, "--timeout", "4", *GET)
    process = subprocess.Popen(
        [sys.executable, "-m", "twc_customer_client", *arguments],
        env=os.environ | cli.environment | {"TERM": "xterm", "COLUMNS": "120"},
        stderr=follower,
    )
    os.close(follower)
    output = b""
    # A terminal that nobody writes to any more ends with EIO on Linux.
    with suppress(OSError):
        while chunk := os.read(leader, 1 << 16):
            output += chunk
    os.close(leader)
    assert process.wait() == 1
    assert output.count(f"waiting for {silent}".encode()) > 3
    assert b"\x1b[2K" in output.rpartition(b"waiting for")[2]


def test_quick_answer(cli: CommandLine) -> None:
    """A command that is answered at once says nothing but its result."""
    assert cli.run("lookup", "--email", "ada@example.com") == (0, "", "")


ERRORS = {*BY_REASON.values(), *CustomerError.__subclasses__(), CustomerError}


@pytest.mark.parametrize("kind", sorted(ERRORS, key=str))
def test_next_steps(kind: type[CustomerError]) -> None:
    """Every error says what to do next."""
    failure = Failure("not now", grpc.StatusCode.UNKNOWN, "ANY", request_id="r1")
    assert command_error(kind(failure), "host:1").next_step


def test_broken_connection() -> None:
    """A connection that breaks within a call is not taken for a service without TLS."""
    failure = Failure("Socket closed", grpc.StatusCode.UNAVAILABLE)
    error = command_error(errors.Unavailable(failure), "host:1")
    assert error.message == "Socket closed (UNAVAILABLE)"
    assert "--tls" not in error.next_step


def test_request_id() -> None:
    """A fault of the service is reported with the id by which its operators find it."""
    failure = Failure("internal error", grpc.StatusCode.INTERNAL, "INTERNAL_ERROR", request_id="r1")
    assert "request id r1" in command_error(errors.InternalError(failure), "host:1").next_step
    assert "TWC_TOKEN" in command_error(TokenError("none"), "host:1").next_step
