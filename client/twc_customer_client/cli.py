"""The command line `twc-customers`."""

import errno
import os
import signal
import sys
from typing import Any

import click

from twc_customer_client.command_errors import Interrupted, command_error
from twc_customer_client.commands.changes import changes_command
from twc_customer_client.commands.delete import delete_command, erase_command, restore_command
from twc_customer_client.commands.export_file import export_command
from twc_customer_client.commands.import_file import import_command
from twc_customer_client.commands.merge import merge_command
from twc_customer_client.commands.read import get_command, lookup_command
from twc_customer_client.commands.token import token_command
from twc_customer_client.commands.write import create_command, update_command
from twc_customer_client.errors import CustomerError
from twc_customer_client.files import unwritable
from twc_customer_client.options import ConnectionOptions, connection_options

# Errors of writing alone, and not of a pipe that its reader has closed, which click ends.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _CommandLine(click.Group):
    """Reports a failed call, an interrupt, or output that is refused as the command's error."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. Raises CommandError."""
        try:
            return super().invoke(ctx)
        except CustomerError as error:
            raise command_error(error, ctx.params["server"]) from None
        except KeyboardInterrupt:
            raise Interrupted from None
        except OSError as error:
            # The code that writes a file with a name reports its errors itself.
            if error.errno not in _NO_SPACE:
                raise
            _discard_output()
            raise unwritable("standard output", error) from None
        except click.NoSuchOption as error:
            name = error.option_name
            if not any(name in option.opts for option in self.params):
                raise
            place = f"twc-customers {name} … {ctx.invoked_subcommand}"
            message = f"{name} is an option of the connection, before the command: {place}"
            raise click.NoSuchOption(name, message, ctx=error.ctx) from None


def _discard_output() -> None:
    """Drops what standard output still has to write: Python would try, and fail, once more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


@click.group(
    cls=_CommandLine, context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="twc-customer-client", message="%(prog)s %(version)s")
@connection_options
@click.pass_context
def cli(context: click.Context, /, **values: Any) -> None:
    """Stores, finds, changes, imports and exports customers of the Customer API.

    Each option here can also be set by the environment variable TWC_ and its
    name, such as TWC_TOKEN_FILE.

    Exit status: 0 success, 1 the command failed, 2 wrong usage, 3 the import
    rejected customers, 130 interrupted.
    """
    context.obj = options = ConnectionOptions(values)
    context.call_on_close(options.close)


for _command in (
    create_command,
    get_command,
    lookup_command,
    update_command,
    merge_command,
    delete_command,
    restore_command,
    erase_command,
    import_command,
    export_command,
    changes_command,
    token_command,
):
    cli.add_command(_command)


def main() -> None:
    """Runs the command that the arguments name."""
    # The files it writes hold personal data: only the current user may read them.
    os.umask(0o077)
    # SIGTERM ends a command as Ctrl-C does, with the checkpoint of an import saved.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cli(prog_name="twc-customers")
