"""The command line `twc-customers`: where the service is, who calls, and the commands."""

import os
from pathlib import Path
from typing import Any

import click

from twc_customer_client.caller import Caller
from twc_customer_client.commands.export_file import export_command
from twc_customer_client.commands.import_file import import_command
from twc_customer_client.commands.read import get_command, lookup_command
from twc_customer_client.commands.token import token_command

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_OPTIONS = [
    click.option(
        "--server",
        envvar="TWC_SERVER",
        default="127.0.0.1:50051",
        metavar="HOST:PORT",
        help="Where the service is.",
    ),
    click.option("--tenant", envvar="TWC_TENANT", help="Whose customers it is about."),
    click.option(
        "--token",
        envvar="TWC_TOKEN",
        help="The bearer token; others on this machine may see it, unless it is given "
        "by the environment.",
    ),
    click.option(
        "--token-file",
        envvar="TWC_TOKEN_FILE",
        type=_FILE,
        help="A file with the token, read anew for each call.",
    ),
    click.option(
        "--issuer",
        envvar="TWC_ISSUER",
        help="Whom to ask for a token, by OpenID discovery; {tenant} stands for the tenant.",
    ),
    click.option(
        "--token-url",
        envvar="TWC_TOKEN_URL",
        help="Where to ask for a token, without discovery; {tenant} as above.",
    ),
    click.option(
        "--client-id",
        envvar="TWC_CLIENT_ID",
        help="The OAuth 2.0 client that asks, with TWC_CLIENT_SECRET.",
    ),
    click.option("--client-secret", envvar="TWC_CLIENT_SECRET", hidden=True),
    click.option("--scope", envvar="TWC_SCOPE", help="The scope to ask for."),
    click.option("--audience", envvar="TWC_AUDIENCE", help="The audience to ask for."),
    click.option(
        "--tls",
        envvar="TWC_TLS",
        is_flag=True,
        help="Speak TLS, and trust the authorities that gRPC trusts.",
    ),
    click.option(
        "--ca", envvar="TWC_CA", type=_FILE, help="Speak TLS, and trust these authorities (PEM)."
    ),
    click.option(
        "--cert", envvar="TWC_CERT", type=_FILE, help="Speak TLS, and show this certificate (PEM)."
    ),
    click.option("--key", envvar="TWC_KEY", type=_FILE, help="Its private key (PEM)."),
    click.option(
        "--timeout",
        envvar="TWC_TIMEOUT",
        type=click.FloatRange(min=0, min_open=True),
        default=60.0,
        metavar="SECONDS",
        help="How long to wait for an answer.",
    ),
    click.option(
        "--retry-for",
        envvar="TWC_RETRY_FOR",
        type=click.FloatRange(min=0),
        default=300.0,
        metavar="SECONDS",
        help="How long to try again what fails for now.",
    ),
]


def _with_options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@_with_options
@click.pass_context
def cli(context: click.Context, /, **given: Any) -> None:
    """Imports, exports and finds customers of the Customer API.

    Every option here can be set in the environment, too: TWC_ and its name.
    Exit status: 0 if all went well, 1 if the command failed, 2 if it was not
    called properly, 3 if some customers were rejected, 130 if it was interrupted.
    """
    context.obj = caller = Caller(given)
    context.call_on_close(caller.close)


for _command in (import_command, export_command, get_command, lookup_command, token_command):
    cli.add_command(_command)


def main() -> None:
    """Runs the command that the arguments name."""
    # What is written is personal data: for this user alone.
    os.umask(0o077)
    cli(prog_name="twc-customers")
