"""`twc-customers export`: writes customers to a file."""

import json
from pathlib import Path
from typing import Any

import click
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client.commands.import_file import format_of
from twc_customer_client.commands.printing import json_option
from twc_customer_client.exporting import ExportSummary, export_file
from twc_customer_client.options import ConnectionOptions

# A cursor is as long as this, at least; what is shorter and no time is a mistake.
_CURSOR_LENGTH = 24


def _parse_since(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> dict[str, Any]:
    """Returns the field of the request that a time or a cursor is for."""
    if value is None:
        return {}
    time = Timestamp()
    try:
        time.FromJsonString(value)
    except ValueError:
        if len(value) < _CURSOR_LENGTH or " " in value:
            problem = "must be the cursor of an export, or a time such as 2026-05-28T10:00:00Z"
            raise click.BadParameter(problem) from None
        return {"cursor": value}
    return {"modified_since": time}


@click.command("export")
@click.argument(
    "file",
    required=False,
    default="-",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["csv", "jsonl"]),
    help="The file format.  [default: by the file's extension, else jsonl]",
)
@click.option(
    "--since",
    callback=_parse_since,
    metavar="CURSOR",
    help="Export only customers changed since the previous export: its cursor. Or since a time, "
    "by the clocks of the servers.",
)
@click.option(
    "--include-deleted",
    is_flag=True,
    help="Also write the ids and times of deleted customers; JSON Lines only.",
)
@json_option("Print the summary as JSON.")
@click.pass_obj
def export_command(options: ConnectionOptions, /, **values: Any) -> None:
    """Writes customers to FILE, or to standard output, as JSON Lines or CSV.

    Replaces FILE when the export is complete. The summary has the cursor for
    the --since of the next export; it goes to standard error if the customers
    go to standard output.
    """
    path = None if str(values["file"]) == "-" else values["file"]
    file_format = format_of(path, values["file_format"], "jsonl")
    if file_format == "json":
        raise click.UsageError("an export is csv or jsonl: use such an extension, or set --format")
    if file_format == "csv" and values["include_deleted"]:
        raise click.UsageError("--include-deleted needs JSON Lines: CSV has no tombstones")
    request = pb.ExportCustomersRequest(
        include_deleted=values["include_deleted"], **values["since"]
    )
    summary = export_file(options.long_client, path, file_format, request, options.long_waiting)
    if values["as_json"]:
        text = json.dumps(_to_object(summary, path))
    else:
        deleted = f" and {summary.deleted:,} deleted" if values["include_deleted"] else ""
        text = f"{summary.customers:,} customers{deleted}; next: --since {summary.next_cursor}"
    click.echo(text, err=path is None)


def _to_object(summary: ExportSummary, path: Path | None) -> dict[str, Any]:
    return {
        "file": str(path) if path else None,
        "exported": summary.customers,
        "deleted": summary.deleted,
        "next_cursor": summary.next_cursor,
    }
