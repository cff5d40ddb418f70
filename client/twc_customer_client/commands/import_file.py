"""`twc-customers import`: stores the customers of a file."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client.command_errors import CommandError, InputFileError
from twc_customer_client.commands.printing import json_option
from twc_customer_client.files import unreadable
from twc_customer_client.formats.columns import ColumnOptions, Columns
from twc_customer_client.formats.encodings import canonical_encoding, check_is_text
from twc_customer_client.formats.mappings import MAPPINGS
from twc_customer_client.importing.importer import ImportJob, ImportSummary, import_file
from twc_customer_client.options import ConnectionOptions

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}

_DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}

_ON_CONFLICT = {
    "reject": pb.ImportCustomersRequest.REJECT,
    "skip": pb.ImportCustomersRequest.SKIP,
    "update": pb.ImportCustomersRequest.UPDATE,
}

# As many bytes of a file as tell what it is in.
_START_BYTES = 8192

# The exit status of an import that is complete and rejected customers.
_EXIT_REJECTED = 3


def format_of(path: Path | None, option: str | None, default: str | None = None) -> str:
    """Returns the format by `--format`, else by a file's extension. Raises UsageError.

    `default` is the format of standard input or output.
    """
    by_name = _FORMATS.get(path.suffix.lower()) if path else default
    if not (option or by_name):
        raise click.UsageError("the file format is unknown: set --format")
    return option or by_name or ""


def _parse_map(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Parses each `--map COLUMN=FIELD`; the column's name may contain `=`."""
    pairs = [value.rpartition("=") for value in values]
    if any(not (column and field) for column, _, field in pairs):
        raise click.BadParameter("must be like 'Column=field'")
    return {column.strip(): field.strip() for column, _, field in pairs}


def _parse_delimiter(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> str | None:
    delimiter = _DELIMITER_NAMES.get((value or "").lower(), value)
    if delimiter and (len(delimiter) > 1 or delimiter in '"\r\n '):
        raise click.BadParameter("must be one character, or tab")
    return delimiter


def _parse_encoding(_context: click.Context, _option: click.Parameter, value: str) -> str:
    try:
        return canonical_encoding(value)
    except LookupError:
        examples = "utf-8, utf-16, windows-1252, iso-8859-15 or shift_jis"
        raise click.BadParameter(f"must name an encoding, such as {examples}") from None


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["csv", "json", "jsonl"]),
    help="The file format.  [default: by the file's extension]",
)
@click.option(
    "--encoding",
    default="utf-8",
    callback=_parse_encoding,
    help="The encoding of the file, such as utf-16 or windows-1252.",
)
@click.option(
    "--delimiter",
    callback=_parse_delimiter,
    metavar="CHARACTER",
    help="What divides the cells of a CSV file, such as ';' or tab.  [default: by its header]",
)
@click.option(
    "--mapping",
    type=click.Choice(list(MAPPINGS)),
    default="twc",
    help="The system whose column names a CSV file has.",
)
@click.option(
    "--map",
    "overrides",
    multiple=True,
    metavar="COLUMN=FIELD",
    callback=_parse_map,
    help="Read a column as a field, as in 'Town=addresses[0].city'. Repeatable.",
)
@click.option(
    "--ignore-unknown",
    is_flag=True,
    help="Skip columns and members that are not fields of a customer.",
)
@click.option(
    "--on-conflict",
    type=click.Choice(list(_ON_CONFLICT)),
    default="reject",
    help="What to do about a customer whose e-mail address, reference or phone number another "
    "one has: reject it, skip it, or update the other one with its values.",
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file for rejected customers and reasons.  [default: FILE's name and .rejects]",
)
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A CSV file for the result of each customer: its line, what became of it, and its id.",
)
@click.option("--dry-run", is_flag=True, help="Validate the customers without storing any.")
@click.option("--restart", is_flag=True, help="Start an interrupted import over.")
@json_option("Print the summary as JSON.")
@click.pass_obj
def import_command(options: ConnectionOptions, /, **values: Any) -> None:
    """Stores the customers of FILE: CSV, JSON Lines or a JSON array; - is standard input.

    Writes customers that the server or the file format rejects to a rejects
    file, with the reasons: correct that file and import it like any other.
    Run the same command again to resume an interrupted import.
    """
    summary = import_file(options.long_client, _create_job(options, values))
    if values["as_json"]:
        click.echo(json.dumps(_to_object(summary, values)))
    else:
        _print_summary(summary, values)
    if summary.error:
        click.echo(f"{summary.counts.total:,} customers were processed", err=True)
        if summary.last_record and str(values["file"]) != "-":
            summary.error.next_step = _resuming_step(summary.error)
        raise summary.error
    if summary.counts.rejected:
        sys.exit(_EXIT_REJECTED)


def _create_job(options: ConnectionOptions, values: dict[str, Any]) -> ImportJob:
    path = None if str(values["file"]) == "-" else values["file"]
    if path and path.is_file():
        _check_content(path)
    file_format = format_of(path, values["file_format"])
    columns = ColumnOptions(
        values["overrides"], MAPPINGS[values["mapping"]], values["ignore_unknown"]
    )
    identity = {
        "server": options.server,
        "tenant": options.tenant,
        "encoding": values["encoding"],
        "delimiter": values["delimiter"],
        "mapping": values["mapping"],
        "map": values["overrides"],
        "ignore_unknown": values["ignore_unknown"],
        "on_conflict": values["on_conflict"],
    }
    dry_run = values["dry_run"]
    rejects = values["rejects"] or _default_rejects(path, file_format, dry_run=dry_run)
    return ImportJob(
        options.long_waiting,
        path,
        file_format,
        values["encoding"],
        values["delimiter"],
        columns,
        _ON_CONFLICT[values["on_conflict"]],
        rejects,
        values["results"],
        identity,
        dry_run,
        values["restart"],
    )


def _check_content(path: Path) -> None:
    """Raises InputFileError if a file is no text, whatever its extension, or CommandError."""
    try:
        with path.open("rb") as file:
            check_is_text(file.read(_START_BYTES))
    except OSError as error:
        raise unreadable(path, error) from None


def _default_rejects(path: Path | None, file_format: str, *, dry_run: bool) -> Path:
    """Returns the path beside the file; a dry run has one of its own."""
    kind = ".dry-run" if dry_run else ""
    extension = "csv" if file_format == "csv" else "jsonl"
    file = path or Path("stdin")
    return file.with_name(f"{file.stem}{kind}.rejects.{extension}")


def _to_object(summary: ImportSummary, values: dict[str, Any]) -> dict[str, Any]:
    counts = summary.counts
    return {
        "complete": summary.error is None,
        "dry_run": values["dry_run"],
        "created": counts.created,
        "updated": counts.updated,
        "unchanged": counts.unchanged,
        "skipped": counts.skipped,
        "valid": counts.valid,
        "rejected": counts.rejected,
        "rejects_file": str(summary.rejects) if summary.rejects else None,
        "dropped": dict(summary.columns.dropped) if summary.columns else {},
        "last_record": summary.last_record,
        "seconds": round(summary.seconds, 3),
        "error": summary.error.message if summary.error else None,
    }


def _resuming_step(error: CommandError) -> str:
    """Returns what to do about the error of an import that can be resumed."""
    if isinstance(error, InputFileError):
        return "correct the file and run the same command with --restart"
    before = f"{error.next_step}; then " if error.next_step else ""
    return f"{before}run the same command again to resume"


def _print_summary(summary: ImportSummary, values: dict[str, Any]) -> None:
    counts = summary.counts
    parts = [f"{counts.valid:,} valid"] if values["dry_run"] else [f"{counts.created:,} created"]
    if values["on_conflict"] == "update" and not values["dry_run"]:
        parts.append(f"{counts.updated:,} updated")
    parts.append(f"{counts.unchanged:,} unchanged")
    if values["on_conflict"] == "skip":
        parts.append(f"{counts.skipped:,} skipped")
    click.echo(", ".join(parts))
    if summary.rejects:
        click.echo(f"{counts.rejected:,} rejected: see {summary.rejects}")
    if summary.columns:
        _print_columns(summary.columns)


def _print_columns(columns: Columns) -> None:
    """Prints the columns that were not read, and in how many rows they had a value."""
    dropped = [
        f"{json.dumps(name, ensure_ascii=False)} ({count:,})"
        for name, count in columns.dropped.items()
        if count
    ]
    if dropped:
        click.echo(f"columns not imported, with rows that have a value: {', '.join(dropped)}")
    if columns.systems:
        systems = " or ".join(columns.systems)
        click.echo(f"the header looks like an export of {systems}: see --mapping")
