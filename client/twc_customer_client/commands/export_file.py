"""`twc-customers export`: writes customers to a file."""

import json
from pathlib import Path
from typing import Any

import click
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client.commands.import_file import format_of
from twc_customer_client.exporting import ExportSummary, export_file
from twc_customer_client.options import ConnectionOptions


def _parse_time(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> Timestamp | None:
    if value is None:
        return None
    time = Timestamp()
    try:
        time.FromJsonString(value)
    except ValueError:
        raise click.BadParameter("must be a time such as 2026-05-28T10:00:00Z") from None
    return time


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
    callback=_parse_time,
    metavar="TIME",
    help="Export only customers changed since TIME: the as_of of the previous export.",
)
@click.option(
    "--include-deleted",
    is_flag=True,
    help="Also write the ids and times of deleted customers; JSON Lines only.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_obj
def export_command(options: ConnectionOptions, /, **values: Any) -> None:
    """Writes customers to FILE, or to standard output, as JSON Lines or CSV.

    Replaces FILE when the export is complete. The summary has the time as_of
    for the --since of the next export; it goes to standard error if the
    customers go to standard output.
    """
    path = None if str(values["file"]) == "-" else values["file"]
    file_format = format_of(path, values["file_format"], "jsonl")
    if file_format == "json":
        raise click.UsageError("an export is csv or jsonl: use such an extension, or set --format")
    if file_format == "csv" and values["include_deleted"]:
        raise click.UsageError("--include-deleted needs JSON Lines: CSV has no tombstones")
    request = pb.ExportCustomersRequest(
        modified_since=values["since"], include_deleted=values["include_deleted"]
    )
    summary = export_file(options.connection, path, file_format, request)
    if values["as_json"]:
        text = json.dumps(_to_object(summary, path))
    else:
        deleted = f" and {summary.deleted:,} deleted" if values["include_deleted"] else ""
        text = f"{summary.customers:,} customers{deleted}; next: --since {summary.as_of}"
    click.echo(text, err=path is None)


def _to_object(summary: ExportSummary, path: Path | None) -> dict[str, Any]:
    return {
        "file": str(path) if path else None,
        "exported": summary.customers,
        "deleted": summary.deleted,
        "as_of": summary.as_of,
    }
