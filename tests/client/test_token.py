"""Tokens are given, read from a file or obtained from an issuer, and stay secret."""

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
        self.requests: list[dict[str, list[str]]] = []
        self.tokens: list[str] = []
        self.lifetime = 3600

    @property
    def url(self) -> str:
        """The issuer's URL."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        known = self.path == "/acme/.well-known/openid-configuration"
        found = {"token_endpoint": f"{self.server.url}/token"} if known else {}
        self._respond(200 if known else 404, found)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.requests.append(parse_qs(body))
        kind, _, credentials = self.headers["authorization"].partition(" ")
        expected = b"my+client:s%25cret%2B%2F%C3%A4"
        if (kind, base64.b64decode(credentials)) != ("Basic", expected):
            self._respond(401, {"error": "invalid_client"})
            return
        token = self.server.tokens.pop(0) if len(self.server.tokens) > 1 else self.server.tokens[0]
        self._respond(200, {"access_token": token, "expires_in": self.server.lifetime})

    def _respond(self, status: int, response: dict[str, Any]) -> None:
        body = json.dumps(response).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


@pytest.fixture
def issuer(tenant: str) -> Iterator[Issuer]:
    """An issuer of tokens for the test's tenant."""
    server = Issuer()
    server.tokens = [token_for(tenant)]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def oauth_cli(cli: CommandLine, issuer: Issuer) -> CommandLine:
    """A command line with client credentials in place of a token."""
    cli.environment |= {
        "TWC_TOKEN": "",
        "TWC_TOKEN_URL": f"{issuer.url}/token",
        "TWC_CLIENT_ID": "my client",
        "TWC_CLIENT_SECRET": SECRET,
    }
    return cli


def run(cli: CommandLine, *args: object) -> Any:
    """Runs a command without TWC_TOKEN; its errors must not contain the secret."""
    cli.environment["TWC_TOKEN"] = ""
    result = finish(cli.start(*args))
    assert SECRET not in result.err
    return result


def test_print(oauth_cli: CommandLine, issuer: Issuer, tenant: str) -> None:
    """`token` prints the token, and with --json its lifetime."""
    options = ("--scope", "customers", "--audience", "customer-api")
    assert run(oauth_cli, *options, "token").out == token_for(tenant) + "\n"
    assert run(oauth_cli, "token", "--json").json == {
        "access_token": token_for(tenant),
        "token_type": "Bearer",
        "expires_in": 3600,
    }
    assert issuer.requests == [
        {
            "grant_type": ["client_credentials"],
            "scope": ["customers"],
            "audience": ["customer-api"],
        },
        {"grant_type": ["client_credentials"]},
    ]


def test_inspect(oauth_cli: CommandLine, tenant: str) -> None:
    """`token --inspect` prints the claims, and not the token."""
    claims = run(oauth_cli, "token", "--inspect", "--json").json
    assert (claims["tenant"], claims["aud"]) == (tenant, "customer-api")
    assert token_for(tenant) not in run(oauth_cli, "token", "--inspect").out
    assert "is not a JWT" in run(oauth_cli, "--token", "opaque", "token", "--inspect").err


def test_discovery(oauth_cli: CommandLine, issuer: Issuer, tenant: str) -> None:
    """The token endpoint is the one in the discovery document of the tenant's issuer."""
    oauth_cli.environment["TWC_TOKEN_URL"] = ""
    args = ("--issuer", f"{issuer.url}/{{tenant}}", "--tenant")
    assert run(oauth_cli, *args, "acme", "token").out == token_for(tenant) + "\n"
    assert "(HTTP 404)" in run(oauth_cli, *args, "globex", "token").err


def test_calls_with_obtained_token(oauth_cli: CommandLine) -> None:
    """Calls use the token that was obtained."""
    path = oauth_cli.write("x.jsonl", *emails(1))
    assert run(oauth_cli, "import", path, "--json").json["created"] == 1


def test_renewal_after_rejection(oauth_cli: CommandLine, issuer: Issuer, tenant: str) -> None:
    """A token that the server rejects is renewed once, and the call retried."""
    expired = trusted_issuer().token(tenant=tenant, exp=1)
    issuer.tokens = [expired, token_for(tenant)]
    path = oauth_cli.write("x.jsonl", *emails(1))
    assert run(oauth_cli, "import", path, "--json").json["created"] == 1
    issuer.tokens = [expired]
    assert "the token has expired (UNAUTHENTICATED)" in run(oauth_cli, "get", "1").err


def test_renewal_before_expiry(oauth_cli: CommandLine, issuer: Issuer) -> None:
    """A token that is about to expire is renewed before the next call."""
    issuer.lifetime = 0
    rows = [{"email": f"{n}@example.com", "lastName": "L"} for n in range(1001)]
    run(oauth_cli, "import", oauth_cli.write("x.jsonl", *rows))
    issuer.requests.clear()
    run(oauth_cli, "lookup", "--last-name", "L")
    assert len(issuer.requests) == 2


def test_token_file(cli: CommandLine, tenant: str) -> None:
    """A token is read from a file, for each call."""
    file = cli.write("token", token_for(tenant))
    assert run(cli, "--token-file", file, "export").status == 0
    file.write_bytes(b"\xff")
    assert "cannot be read: it is not text" in run(cli, "--token-file", file, "export").err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "the token is missing"),
        (("--client-id", "x"), "--client-id needs TWC_CLIENT_SECRET"),
        (("--client-id", "x", "--client-secret", "y"), "needs --issuer or --token-url"),
    ],
)
def test_missing_option(cli: CommandLine, options: tuple[str, ...], message: str) -> None:
    """The option that is missing for a token is named."""
    result = run(cli, *options, "token")
    assert result.status == 2
    assert message in result.err


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://issuer.example/token", "must be an https URL"),
        ("http://127.0.0.1:1/token", "cannot be reached"),
        ("/else", "must be an https URL"),
    ],
)
def test_endpoint(oauth_cli: CommandLine, url: str, message: str) -> None:
    """The secret is sent to https endpoints alone, and their failures are reported."""
    result = run(oauth_cli, "--token-url", url, "token")
    assert result.status == 1
    assert message in result.err


def test_wrong_secret(oauth_cli: CommandLine, tmp_path: Path) -> None:
    """The issuer's error is reported, without the secret."""
    oauth_cli.environment["TWC_CLIENT_SECRET"] = "wrong"  # noqa: S105
    result = run(oauth_cli, "token")
    assert result.status == 1
    assert "returned no token: invalid_client (HTTP 401)" in result.err
    assert tmp_path.exists()
