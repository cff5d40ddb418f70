"""`twc-customers import`: customers from a file."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import click

from twc_customer_client import importing
from twc_customer_client.caller import Caller
from twc_customer_client.columns import Rules
from twc_customer_client.mappings import MAPPINGS
from twc_customer_client.problems import Refused

_FORMATS = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}

# The exit status of an import that is complete but for what it rejected.
REJECTED = 3


def format_of(path: Path | None, given: str | None, other: str | None = None) -> str:
    """The format of a file: the one that is given, else by its name. Raises UsageError."""
    by_name = _FORMATS.get(path.suffix.lower()) if path else other
    if not (given or by_name):
        raise click.UsageError("--format is needed: the name of the file does not tell it")
    return given or by_name or ""


def _mapped(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> Any:
    """Reads every `--map Column=field`; a column's name may have `=` in it."""
    pairs = [each.rpartition("=") for each in given]
    if any(not (column and field) for column, _, field in pairs):
        raise click.BadParameter("must be like 'Column=field'")
    return {column.strip(): field.strip() for column, _, field in pairs}


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "jsonl"]),
    help="The format, if the name of the file does not tell it.",
)
@click.option(
    "--mapping",
    type=click.Choice(list(MAPPINGS)),
    default="twc",
    help="Whose names the columns of a CSV file have.",
)
@click.option(
    "--map",
    "columns",
    multiple=True,
    metavar="COLUMN=FIELD",
    callback=_mapped,
    help="The field that a column has, as in 'Town=addresses[0].city'; repeatable.",
)
@click.option(
    "--ignore-unknown",
    is_flag=True,
    help="Pass over columns and members that are no field of a customer.",
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where rejected customers go, with the reasons.  [default: beside FILE]",
)
@click.option("--dry-run", is_flag=True, help="Check all customers, and store none.")
@click.option("--restart", is_flag=True, help="Forget how far a broken-off import has come.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_obj
def import_command(caller: Caller, /, **given: Any) -> None:
    """Stores the customers of FILE: CSV, JSON Lines, or a JSON array; - is standard input.

    What cannot be stored goes to a rejects file, with the reasons; corrected,
    that is imported like any other. An import that was broken off goes on
    where it was when the same command is run again.
    """
    # A stop is like Ctrl-C: it leaves things in order.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        summary = importing.run(caller.connection, _job(caller, given))
    finally:
        signal.signal(signal.SIGTERM, before)
    if given["as_json"]:
        click.echo(json.dumps(_object(summary, given)))
    else:
        _tell(summary, given)
    if summary.problem:
        click.echo(f"Error: {summary.problem.message}", err=True)
        click.echo(f"{summary.counts.total:,} customers are done{_hint(summary, given)}", err=True)
        sys.exit(summary.problem.exit_code)
    if summary.counts.rejected:
        sys.exit(REJECTED)


def _job(caller: Caller, given: dict[str, Any]) -> importing.Job:
    path = None if str(given["file"]) == "-" else given["file"]
    form = format_of(path, given["form"])
    rules = Rules(given["columns"], MAPPINGS[given["mapping"]], given["ignore_unknown"])
    of = {
        "server": caller.server,
        "tenant": caller.tenant,
        "mapping": given["mapping"],
        "map": given["columns"],
        "ignore_unknown": given["ignore_unknown"],
    }
    rejects = given["rejects"] or _beside(path, form, dry_run=given["dry_run"])
    return importing.Job(path, form, rules, rejects, of, given["dry_run"], given["restart"])


def _beside(path: Path | None, form: str, *, dry_run: bool) -> Path:
    """Where rejects go unless told; those of a dry run do not stand in the way of the import."""
    kind = ".dry-run" if dry_run else ""
    suffix = "csv" if form == "csv" else "jsonl"
    whole = path or Path("stdin")
    return whole.with_name(f"{whole.stem}{kind}.rejects.{suffix}")


def _object(summary: importing.Summary, given: dict[str, Any]) -> dict[str, Any]:
    counts = summary.counts
    return {
        "complete": summary.problem is None,
        "dry_run": given["dry_run"],
        "created": counts.created,
        "unchanged": counts.unchanged,
        "valid": counts.valid,
        "rejected": counts.rejected,
        "rejects_file": str(summary.rejects) if summary.rejects else None,
        "last_record": summary.done,
        "seconds": round(summary.seconds, 3),
        "error": summary.problem.message if summary.problem else None,
    }


def _hint(summary: importing.Summary, given: dict[str, Any]) -> str:
    """How to go on after a break."""
    if not summary.done or str(given["file"]) == "-":
        return ""
    if isinstance(summary.problem, Refused):
        return "; correct the file and run the same command with --restart"
    return "; run the same command again to go on"


def _tell(summary: importing.Summary, given: dict[str, Any]) -> None:
    counts = summary.counts
    if given["dry_run"]:
        click.echo(f"{counts.valid:,} could be stored, {counts.unchanged:,} are there already")
    else:
        click.echo(f"{counts.created:,} stored, {counts.unchanged:,} were there already")
    if summary.rejects:
        click.echo(f"{counts.rejected:,} rejected: see {summary.rejects}")
