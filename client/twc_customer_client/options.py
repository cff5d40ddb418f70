"""The options before the command: server, tenant, token, TLS and timeouts."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from twc_customer_client.channels import Tls
from twc_customer_client.credentials import FixedToken, TokenFile, TokenSource
from twc_customer_client.files import unreadable
from twc_customer_client.oauth import ClientCredentials, OAuthClient
from twc_customer_client.sync.client import CustomerClient
from twc_customer_client.waiting import Waiting

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_TENANT_PLACEHOLDER = "{tenant}"

# Of a command that somebody waits for.
_READ_SECONDS = 10.0
_WRITE_SECONDS = 20.0
_RETRY_SECONDS = 5.0

# Of one that goes on by itself: it outlives a restart of the service, or of its database.
_LONG_RETRY_SECONDS = 300.0

_OPTIONS = [
    click.option(
        "--server",
        envvar="TWC_SERVER",
        default="127.0.0.1:50051",
        metavar="HOST:PORT",
        help="The server's gRPC port, or the gateway's.",
    ),
    click.option("--tenant", envvar="TWC_TENANT", help="The tenant of the customers."),
    click.option(
        "--token",
        envvar="TWC_TOKEN",
        help="The bearer token. Prefer the environment variable: other users of this "
        "machine can see the arguments of commands.",
    ),
    click.option(
        "--token-file",
        envvar="TWC_TOKEN_FILE",
        type=_FILE,
        help="A file with the bearer token, read again when it changes.",
    ),
    click.option(
        "--issuer",
        envvar="TWC_ISSUER",
        help="The issuer to obtain tokens from, by OpenID Connect discovery; {tenant} in it "
        "is replaced by the tenant.",
    ),
    click.option(
        "--token-url",
        envvar="TWC_TOKEN_URL",
        help="The token endpoint, in place of discovery; {tenant} as above.",
    ),
    click.option(
        "--client-id",
        envvar="TWC_CLIENT_ID",
        help="The OAuth 2.0 client that obtains tokens; its secret is TWC_CLIENT_SECRET.",
    ),
    click.option("--client-secret", envvar="TWC_CLIENT_SECRET", hidden=True),
    click.option("--scope", envvar="TWC_SCOPE", help="The scope to request of the issuer."),
    click.option(
        "--audience", envvar="TWC_AUDIENCE", help="The audience to request of the issuer."
    ),
    click.option(
        "--tls",
        envvar="TWC_TLS",
        is_flag=True,
        help="Use TLS, and trust gRPC's default certificate authorities.",
    ),
    click.option(
        "--ca",
        envvar="TWC_CA",
        type=_FILE,
        help="Use TLS, and trust the certificate authorities in this PEM file.",
    ),
    click.option(
        "--cert",
        envvar="TWC_CERT",
        type=_FILE,
        help="Use TLS with this client certificate (PEM file).",
    ),
    click.option(
        "--key", envvar="TWC_KEY", type=_FILE, help="The certificate's private key (PEM file)."
    ),
    click.option(
        "--plaintext",
        envvar="TWC_PLAINTEXT",
        is_flag=True,
        help="Send the token unencrypted to another machine, through a network that you trust.",
    ),
    click.option(
        "--consistency",
        envvar="TWC_CONSISTENCY",
        metavar="any|latest|TOKEN",
        help="Let replicas answer reads: with what they have, or with what this command has seen.",
    ),
    click.option(
        "--timeout",
        envvar="TWC_TIMEOUT",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="How long to wait for an answer, repeats included; of imports, exports and changes "
        "for each response.  [default: 10 to read, 20 to write, 60 for each response]",
    ),
    click.option(
        "--retry-for",
        envvar="TWC_RETRY_FOR",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="How long to retry transient failures.  [default: 5; 300 for imports, exports and "
        "--follow]",
    ),
]


class ConnectionOptions:
    """The values of the options; makes the token source and the clients when first used."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._opened: list[CustomerClient] = []

    @property
    def server(self) -> str:
        """The server's address, as `host:port`."""
        return str(self._values["server"])

    @property
    def tenant(self) -> str:
        """The tenant. Raises UsageError if it is missing."""
        if not self._values["tenant"]:
            raise click.UsageError("the tenant is missing: set --tenant or TWC_TENANT")
        tenant = str(self._values["tenant"])
        if not (tenant.isascii() and tenant.isprintable()):
            raise click.UsageError(
                "the tenant's name has other characters than letters, digits, '.', '_' and '-': "
                "set --tenant or TWC_TENANT"
            )
        return tenant

    @property
    def read_seconds(self) -> float:
        """How long a command waits for customers that it reads."""
        return float(self._values["timeout"] or _READ_SECONDS)

    @property
    def write_seconds(self) -> float:
        """How long a command waits for a change that it makes."""
        return float(self._values["timeout"] or _WRITE_SECONDS)

    @cached_property
    def client(self) -> CustomerClient:
        """The client of single calls, which soon fail.

        Raises CommandError, and UsageError if an option is missing or wrong.
        """
        return self._open(self.waiting)

    @cached_property
    def long_client(self) -> CustomerClient:
        """The client of imports, exports and feeds, which go on trying. Raises as `client` does."""
        return self._open(self.long_waiting)

    @cached_property
    def waiting(self) -> Waiting:
        """Tells the user that a command waits for `client`."""
        return Waiting(self.server, self._retry_for(_RETRY_SECONDS))

    @cached_property
    def long_waiting(self) -> Waiting:
        """Tells the user that a command waits for `long_client`."""
        return Waiting(self.server, self._retry_for(_LONG_RETRY_SECONDS))

    def _retry_for(self, default: float) -> float:
        given = self._values["retry_for"]
        return default if given is None else float(given)

    def _open(self, waiting: Waiting) -> CustomerClient:
        values = self._values
        files = Tls(values["ca"], values["cert"], values["key"])
        if bool(files.certificate) != bool(files.key):
            raise click.UsageError("--cert and --key must be given together")
        is_encrypted = values["tls"] or files != Tls()
        try:
            client = CustomerClient(
                self.server,
                tenant=self.tenant,
                token=self.tokens,
                tls=files if is_encrypted else False,
                plaintext=values["plaintext"],
                timeout=values["timeout"],
                retry_for=waiting.retry_for,
                on_retry=waiting.retry,
                consistency=values["consistency"],
            )
        except OSError as error:
            raise unreadable(error.filename, error) from None
        except ValueError:
            raise click.UsageError(
                f"the token would travel to {self.server} unencrypted: use --tls or --ca, or "
                "--plaintext if you trust the network"
            ) from None
        self._opened.append(client)
        return client

    def close(self) -> None:
        """Closes the clients that were opened."""
        for client in self._opened:
            client.close()

    @cached_property
    def tokens(self) -> TokenSource:
        """The source of tokens. Raises UsageError if no option names one."""
        values = self._values
        if values["token"]:
            return FixedToken(values["token"])
        if values["token_file"]:
            return TokenFile(values["token_file"])
        if values["client_id"]:
            return ClientCredentials(self._oauth_client(), self.read_seconds)
        raise click.UsageError(
            "the token is missing: set --token-file or TWC_TOKEN, or --client-id and "
            "TWC_CLIENT_SECRET with --issuer or --token-url"
        )

    def _oauth_client(self) -> OAuthClient:
        values = self._values
        if not values["client_secret"]:
            raise click.UsageError("--client-id needs TWC_CLIENT_SECRET")
        if not (values["issuer"] or values["token_url"]):
            raise click.UsageError("--client-id needs --issuer or --token-url")
        return OAuthClient(
            values["client_id"],
            values["client_secret"],
            self._for_tenant(values["issuer"]),
            self._for_tenant(values["token_url"]),
            values["scope"] or "",
            values["audience"] or "",
        )

    def _for_tenant(self, url: str | None) -> str:
        """Replaces `{tenant}` in a URL; a URL without it needs no tenant."""
        if url and _TENANT_PLACEHOLDER in url:
            return url.replace(_TENANT_PLACEHOLDER, self.tenant)
        return url or ""


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
