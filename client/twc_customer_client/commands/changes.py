"""`twc-customers changes`: prints the changes of customers, and follows them."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from google.protobuf import json_format
from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client.command_errors import Interrupted
from twc_customer_client.commands.printing import json_option
from twc_customer_client.errors import CustomerError
from twc_customer_client.files import replace_durably, sync_output, unreadable
from twc_customer_client.options import ConnectionOptions
from twc_customer_client.progress import Update, show_progress
from twc_customer_client.sync.items import Items

_PAGE_SIZE = 1000


class _Position:
    """Where to go on: a cursor, which a file keeps if there is one."""

    def __init__(self, cursor: str, file: Path | None) -> None:
        """Reads the file, if it exists. Raises CommandError."""
        self.cursor = cursor
        self._file = file
        if file:
            try:
                self.cursor = file.read_text("utf-8").strip()
            except FileNotFoundError:
                pass
            except (OSError, UnicodeDecodeError) as error:
                raise unreadable(file, error) from None

    def advance(self, cursor: str) -> None:
        """Goes on after changes that were printed. Raises CommandError if the file cannot tell."""
        if cursor == self.cursor:
            return
        sys.stdout.flush()
        self.cursor = cursor
        if self._file:
            # First, so that the cursor is not after changes that a power loss takes away.
            sync_output()
            replace_durably(self._file, f"{cursor}\n")


class _Printer:
    """Prints changes as lines of JSON, and counts them."""

    def __init__(self, position: _Position) -> None:
        self._position = position
        self.count = 0

    def print_all(self, feed: Items[pb.CustomerChange], update: Update | None = None) -> None:
        """Prints the changes of a feed, and goes on after each page of them."""
        with feed:
            for change in feed:
                value = json_format.MessageToDict(change, always_print_fields_with_no_presence=True)
                click.echo(json.dumps(value, ensure_ascii=False))
                self.count += 1
                # It is another one with the last change of a page.
                self._position.advance(feed.cursor)
                if update:
                    update(self.count, 0)
        self._position.advance(feed.cursor)


@click.command("changes")
@click.option("--follow", "-f", is_flag=True, help="Go on with changes as they come, until Ctrl-C.")
@click.option("--cursor", help="Begin after the changes that were printed before: their cursor.")
@click.option(
    "--cursor-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that keeps the cursor: the same command goes on where it ended.",
)
@click.option(
    "--from-now",
    is_flag=True,
    help="Begin with later changes, unless the cursor file has a cursor.",
)
@json_option("Print the summary as JSON.")
@click.pass_obj
def changes_command(options: ConnectionOptions, /, **values: Any) -> None:
    """Prints the changes of customers as JSON Lines, all customers at first.

    Each line has a kind, CREATED, UPDATED or DELETED, and the customer as it is
    now, or of a deleted one a tombstone. The summary, on standard error, has the
    cursor to go on with. With --follow, Ctrl-C ends it.
    """
    if values["cursor"] and (values["cursor_file"] or values["from_now"]):
        raise click.UsageError("--cursor begins elsewhere than --cursor-file or --from-now")
    position = _Position(values["cursor"] or "", values["cursor_file"])
    printer = _Printer(position)
    try:
        is_long = values["follow"]
        client = options.long_client if is_long else options.client
        waiting = options.long_waiting if is_long else options.waiting
        feed = client.changes(
            position.cursor or None,
            from_now=values["from_now"] and not position.cursor,
            page_size=_PAGE_SIZE,
            timeout=None if is_long else options.read_seconds,
        )
        with show_progress("reading", None, waiting, prints=True) as update:
            printer.print_all(feed, update)
        if is_long:
            printer.print_all(client.follow(position.cursor, retry_for=waiting.retry_for))
    except KeyboardInterrupt:
        _print_summary(printer, position, values)
        sys.exit(Interrupted.exit_code)
    except CustomerError:
        if printer.count:
            _print_summary(printer, position, values)
        raise
    _print_summary(printer, position, values)


def _print_summary(printer: _Printer, position: _Position, values: dict[str, Any]) -> None:
    if values["as_json"]:
        text = json.dumps({"changes": printer.count, "next_cursor": position.cursor})
    else:
        text = f"{printer.count:,} changes"
        if values["cursor_file"]:
            text += f"; next: --cursor-file {values['cursor_file']}"
        elif position.cursor:
            text += f"; next: --cursor {position.cursor}"
    click.echo(text, err=True)
