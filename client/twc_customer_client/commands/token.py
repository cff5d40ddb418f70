"""`twc-customers token`: prints the token that the other commands use."""

import json
from typing import Any

import click

from twc_customer_client.commands.printing import json_option
from twc_customer_client.credentials import TokenSource
from twc_customer_client.oauth import ClientCredentials, decode_claims
from twc_customer_client.options import ConnectionOptions
from twc_customer_client.waiting import Waiting

_SHOWN_CLAIMS = ("iss", "sub", "aud", "azp", "scope", "tenant", "iat", "nbf", "exp")


@click.command("token")
@click.option(
    "--inspect",
    is_flag=True,
    help="Print the token's claims, without verifying them, in place of the token.",
)
@json_option("Print JSON.")
@click.pass_obj
def token_command(options: ConnectionOptions, *, inspect: bool, as_json: bool) -> None:
    """Prints the token that the other commands use, obtained if client credentials are set."""
    with Waiting("the issuer").shown():
        token = options.tokens.current()
    if inspect:
        all_claims = decode_claims(token)
        claims = {name: value for name, value in all_claims.items() if name in _SHOWN_CLAIMS}
        lines = [f"{name}: {value}" for name, value in claims.items()]
        click.echo(json.dumps(claims) if as_json else "\n".join(lines))
        return
    click.echo(json.dumps(_to_object(options.tokens, token)) if as_json else token)


def _to_object(source: TokenSource, token: str) -> dict[str, Any]:
    """Returns a token as a token endpoint's response has it (RFC 6749, section 5.1)."""
    response: dict[str, Any] = {"access_token": token, "token_type": "Bearer"}
    if isinstance(source, ClientCredentials):
        lifetime = source.access_token().expires_in
        if lifetime is not None:
            response["expires_in"] = lifetime
    return response
