"""The command line `twc-customers`."""

import os
from typing import Any

import click

from twc_customer_client.command_errors import command_error
from twc_customer_client.commands.delete import erase_command, restore_command
from twc_customer_client.commands.export_file import export_command
from twc_customer_client.commands.import_file import import_command
from twc_customer_client.commands.merge import merge_command
from twc_customer_client.commands.read import get_command, lookup_command
from twc_customer_client.commands.token import token_command
from twc_customer_client.errors import CustomerError
from twc_customer_client.options import ConnectionOptions, connection_options


class _CommandLine(click.Group):
    """Reports a failed call as the error of its command."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. Raises CommandError."""
        try:
            return super().invoke(ctx)
        except CustomerError as error:
            raise command_error(error) from None


@click.group(
    cls=_CommandLine, context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}
)
@connection_options
@click.pass_context
def cli(context: click.Context, /, **values: Any) -> None:
    """Imports, exports, finds, merges, restores and erases customers of the Customer API.

    Each option here can also be set by the environment variable TWC_ and its
    name, such as TWC_TOKEN_FILE.

    Exit status: 0 success, 1 the command failed, 2 wrong usage, 3 the import
    rejected customers, 130 interrupted.
    """
    context.obj = options = ConnectionOptions(values)
    context.call_on_close(options.close)


for _command in (
    import_command,
    export_command,
    get_command,
    lookup_command,
    merge_command,
    restore_command,
    erase_command,
    token_command,
):
    cli.add_command(_command)


def main() -> None:
    """Runs the command that the arguments name."""
    # The files it writes hold personal data: only the current user may read them.
    os.umask(0o077)
    cli(prog_name="twc-customers")
