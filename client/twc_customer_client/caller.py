"""Who calls and where, as the options before the command and the environment say."""

from functools import cached_property
from pathlib import Path
from typing import Any

import click

from twc_customer_client.connection import Address, Connection, Limits
from twc_customer_client.tokens import Client, ClientCredentials, GivenToken, TokenFile, Tokens

_PLACEHOLDER = "{tenant}"


class Caller:
    """What every command is given; a connection and a token are made when one needs them."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given

    @property
    def server(self) -> str:
        """Where the service is."""
        return str(self._given["server"])

    @property
    def tenant(self) -> str:
        """Whose customers it is about. Raises UsageError."""
        if not self._given["tenant"]:
            raise click.UsageError("a tenant is needed: --tenant before the command, or TWC_TENANT")
        return str(self._given["tenant"])

    @cached_property
    def connection(self) -> Connection:
        """The connection to the service. Raises Problem, and UsageError if something is missing."""
        given = self._given
        address = Address(given["server"], given["tls"], given["ca"], given["cert"], given["key"])
        if bool(address.certificate) != bool(address.key):
            raise click.UsageError("--cert and --key go together")
        limits = Limits(given["timeout"], given["retry_for"])
        return Connection(address, self.tenant, self.tokens, limits)

    def close(self) -> None:
        """Ends the connection, if there is one."""
        if "connection" in self.__dict__:
            self.connection.close()

    @cached_property
    def tokens(self) -> Tokens:
        """Where tokens come from. Raises UsageError if it is not said."""
        token, file = self._given["token"], self._given["token_file"]
        if token or file:
            return GivenToken(token) if token else TokenFile(Path(file))
        if self._given["client_id"]:
            return ClientCredentials(self._client(), self._given["timeout"])
        raise click.UsageError(
            "a token is needed: --token-file or TWC_TOKEN, or --client-id and TWC_CLIENT_SECRET "
            "with --issuer or --token-url"
        )

    def _client(self) -> Client:
        given = self._given
        if not given["client_secret"]:
            raise click.UsageError("--client-id needs TWC_CLIENT_SECRET")
        if not (given["issuer"] or given["token_url"]):
            raise click.UsageError("--client-id needs --issuer or --token-url")
        return Client(
            given["client_id"],
            given["client_secret"],
            self._of_tenant(given["issuer"]),
            self._of_tenant(given["token_url"]),
            given["scope"] or "",
            given["audience"] or "",
        )

    def _of_tenant(self, url: str | None) -> str:
        """A URL in which `{tenant}` stands for the tenant."""
        return url.replace(_PLACEHOLDER, self.tenant) if url and _PLACEHOLDER in url else url or ""
