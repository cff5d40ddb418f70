"""`twc-customers export`: all customers, or those that changed."""

import json
from pathlib import Path
from typing import Any

import click
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client import exporting
from twc_customer_client.caller import Caller
from twc_customer_client.commands.import_file import format_of


def _moment(_context: click.Context, _option: click.Parameter, given: str | None) -> Any:
    if given is None:
        return None
    moment = Timestamp()
    try:
        moment.FromJsonString(given)
    except ValueError:
        raise click.BadParameter("must be a time such as 2026-05-28T10:00:00Z") from None
    return moment


@click.command("export")
@click.argument(
    "file",
    required=False,
    default="-",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    help="The format, if the name of the file does not tell it.",
)
@click.option(
    "--since",
    callback=_moment,
    metavar="TIME",
    help="Only what changed since a time: the as_of of the export before.",
)
@click.option(
    "--include-deleted",
    is_flag=True,
    help="Also say who was deleted, and when; in JSON Lines only.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_obj
def export_command(caller: Caller, /, **given: Any) -> None:
    """Writes customers to FILE, or to standard output, as JSON Lines or CSV.

    The file is replaced when the new one is whole. The summary has the time
    as_of, which the next export takes as --since; it goes to standard error
    if the customers go to standard output.
    """
    path = None if str(given["file"]) == "-" else given["file"]
    form = format_of(path, given["form"], "jsonl")
    if form == "json":
        raise click.UsageError("an export is csv or jsonl: name the file so, or use --format")
    if form == "csv" and given["include_deleted"]:
        raise click.UsageError(
            "--include-deleted is for JSON Lines: CSV has no row for who is gone"
        )
    request = pb.ExportCustomersRequest(
        modified_since=given["since"], include_deleted=given["include_deleted"]
    )
    done = exporting.run(caller.connection, path, form, request)
    to_error = path is None
    if given["as_json"]:
        click.echo(json.dumps(_object(done, path)), err=to_error)
    else:
        gone = f" and {done.deleted:,} deleted" if given["include_deleted"] else ""
        click.echo(f"{done.customers:,} customers{gone}; next: --since {done.as_of}", err=to_error)


def _object(done: exporting.Exported, path: Path | None) -> dict[str, Any]:
    return {
        "file": str(path) if path else None,
        "exported": done.customers,
        "deleted": done.deleted,
        "as_of": done.as_of,
    }
