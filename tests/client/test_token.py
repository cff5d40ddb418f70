"""Tokens are given, read from a file, or obtained from an issuer, and never told unasked."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.client.command_line import CommandLine, emails, finish
from tests.support.tokens import token_for, trusted_issuer

SECRET = "s%cret+/ä"  # noqa: S105 - of the test's issuer


class Issuer(HTTPServer):
    """An issuer with discovery and a token endpoint."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, list[str]]] = []
        self.tokens: list[str] = []
        self.lasts = 3600

    @property
    def url(self) -> str:
        """Where the issuer is."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        known = self.path == "/acme/.well-known/openid-configuration"
        found = {"token_endpoint": f"{self.server.url}/token"} if known else {}
        self._answer(200 if known else 404, found)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.asked.append(parse_qs(body))
        kind, _, credentials = self.headers["authorization"].partition(" ")
        expected = b"my+client:s%25cret%2B%2F%C3%A4"
        if (kind, base64.b64decode(credentials)) != ("Basic", expected):
            self._answer(401, {"error": "invalid_client"})
            return
        token = self.server.tokens.pop(0) if len(self.server.tokens) > 1 else self.server.tokens[0]
        self._answer(200, {"access_token": token, "expires_in": self.server.lasts})

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Is quiet."""


@pytest.fixture
def issuer(tenant: str) -> Iterator[Issuer]:
    """An issuer that gives the test's tenant tokens."""
    server = Issuer()
    server.tokens = [token_for(tenant)]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def own(cli: CommandLine, issuer: Issuer) -> CommandLine:
    """A command line that has client credentials in the place of a token."""
    cli.environment |= {
        "TWC_TOKEN": "",
        "TWC_TOKEN_URL": f"{issuer.url}/token",
        "TWC_CLIENT_ID": "my client",
        "TWC_CLIENT_SECRET": SECRET,
    }
    return cli


def run(cli: CommandLine, *args: object) -> Any:
    """Runs a command that has no token of its own to hide."""
    cli.environment["TWC_TOKEN"] = ""
    done = finish(cli.start(*args))
    assert SECRET not in done.err
    return done


def test_prints(own: CommandLine, issuer: Issuer, tenant: str) -> None:
    """The token that was obtained is printed, and with --json how long it lasts."""
    options = ("--scope", "customers", "--audience", "customer-api")
    assert run(own, *options, "token").out == token_for(tenant) + "\n"
    assert run(own, "token", "--json").object == {
        "access_token": token_for(tenant),
        "token_type": "Bearer",
        "expires_in": 3600,
    }
    assert issuer.asked == [
        {
            "grant_type": ["client_credentials"],
            "scope": ["customers"],
            "audience": ["customer-api"],
        },
        {"grant_type": ["client_credentials"]},
    ]


def test_inspect(own: CommandLine, tenant: str) -> None:
    """A token can be looked into without being told."""
    said = run(own, "token", "--inspect", "--json").object
    assert (said["tenant"], said["aud"]) == (tenant, "customer-api")
    assert token_for(tenant) not in run(own, "token", "--inspect").out
    assert "is no JWT" in run(own, "--token", "opaque", "token", "--inspect").err


def test_discovery(own: CommandLine, issuer: Issuer, tenant: str) -> None:
    """The token endpoint is the one that the tenant's issuer publishes."""
    own.environment["TWC_TOKEN_URL"] = ""
    args = ("--issuer", f"{issuer.url}/{{tenant}}", "--tenant")
    assert run(own, *args, "acme", "token").out == token_for(tenant) + "\n"
    assert "(HTTP 404)" in run(own, *args, "globex", "token").err


def test_used(own: CommandLine) -> None:
    """Calls use the token that is obtained for them."""
    path = own.write("x.jsonl", *emails(1))
    assert run(own, "import", path, "--json").object["created"] == 1


def test_renewed(own: CommandLine, issuer: Issuer, tenant: str) -> None:
    """A token that is refused is renewed once, and the call made again."""
    expired = trusted_issuer().token(tenant=tenant, exp=1)
    issuer.tokens = [expired, token_for(tenant)]
    path = own.write("x.jsonl", *emails(1))
    assert run(own, "import", path, "--json").object["created"] == 1
    issuer.tokens = [expired]
    assert "the token has expired (UNAUTHENTICATED)" in run(own, "get", "1").err


def test_renewed_in_time(own: CommandLine, issuer: Issuer) -> None:
    """A token that is about to expire is renewed before the next call."""
    issuer.lasts = 0
    rows = [{"email": f"{n}@example.com", "lastName": "L"} for n in range(1001)]
    run(own, "import", own.write("x.jsonl", *rows))
    issuer.asked.clear()
    run(own, "lookup", "--last-name", "L")
    assert len(issuer.asked) == 2


def test_file(cli: CommandLine, tenant: str) -> None:
    """A token is read from a file, for each call."""
    file = cli.write("token", token_for(tenant))
    assert run(cli, "--token-file", file, "export").status == 0
    file.write_bytes(b"\xff")
    assert "cannot be read: it is no text" in run(cli, "--token-file", file, "export").err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "a token is needed"),
        (("--client-id", "x"), "--client-id needs TWC_CLIENT_SECRET"),
        (("--client-id", "x", "--client-secret", "y"), "needs --issuer or --token-url"),
    ],
)
def test_usage(cli: CommandLine, options: tuple[str, ...], said: str) -> None:
    """What is missing for a token is said."""
    done = run(cli, *options, "token")
    assert done.status == 2
    assert said in done.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://issuer.example/token", "must be an https URL"),
        ("http://127.0.0.1:1/token", "cannot be reached"),
        ("/else", "must be an https URL"),
    ],
)
def test_endpoint(own: CommandLine, url: str, said: str) -> None:
    """A secret goes to no endpoint that others could read along, and failures are told."""
    done = run(own, "--token-url", url, "token")
    assert done.status == 1
    assert said in done.err


def test_wrong_secret(own: CommandLine, tmp_path: Path) -> None:
    """An issuer that refuses is quoted, without the secret."""
    own.environment["TWC_CLIENT_SECRET"] = "wrong"  # noqa: S105
    done = run(own, "token")
    assert done.status == 1
    assert "gave no token: invalid_client (HTTP 401)" in done.err
    assert tmp_path.exists()
