"""`twc-customers token`: the token that the other commands would use."""

import json
from typing import Any

import click

from twc_customer_client import tokens
from twc_customer_client.caller import Caller
from twc_customer_client.tokens import ClientCredentials

# What tells what a token is good for.
_SHOWN = ("iss", "sub", "aud", "azp", "scope", "tenant", "iat", "nbf", "exp")


@click.command("token")
@click.option(
    "--inspect",
    is_flag=True,
    help="Print what the token says of itself, unverified, and not the token.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def token_command(caller: Caller, *, inspect: bool, as_json: bool) -> None:
    """Prints the token that the other commands use, obtained if client credentials are set."""
    token = caller.tokens.current()
    if inspect:
        said = {name: value for name, value in tokens.claims(token).items() if name in _SHOWN}
        lines = [f"{name}: {value}" for name, value in said.items()]
        click.echo(json.dumps(said) if as_json else "\n".join(lines))
        return
    click.echo(json.dumps(_object(caller.tokens, token)) if as_json else token)


def _object(source: tokens.Tokens, token: str) -> dict[str, Any]:
    said: dict[str, Any] = {"access_token": token, "token_type": "Bearer"}
    if isinstance(source, ClientCredentials) and source.grant().lasts is not None:
        said["expires_in"] = source.grant().lasts
    return said
