"""An import: from a file to the service, and its account."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from twc_customer_client import progress
from twc_customer_client.batches import Terms, collect
from twc_customer_client.columns import Rules
from twc_customer_client.connection import Connection
from twc_customer_client.csv_records import CsvRows
from twc_customer_client.json_records import JsonArray, JsonLines
from twc_customer_client.ledger import Ledger, open_ledger
from twc_customer_client.lines import Lines
from twc_customer_client.problems import Problem
from twc_customer_client.records import Record, Source
from twc_customer_client.rejects import CsvForm, Form, JsonForm
from twc_customer_client.sending import Sender
from twc_customer_client.state import Counts, fingerprint


class Job(NamedTuple):
    """What to import, and how. Without a path it comes from standard input."""

    path: Path | None
    format: str
    rules: Rules
    rejects: Path
    # What else must be the same when it is resumed.
    of: dict[str, Any]
    dry_run: bool
    restart: bool


class Summary(NamedTuple):
    """What became of an import; `problem` says what kept it from its end, if anything did."""

    counts: Counts
    done: int
    rejects: Path | None
    seconds: float
    problem: Problem | None


class Interrupted(Problem):
    """The user has ended the command, or the system."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted")


def run(connection: Connection, job: Job) -> Summary:
    """Imports a file, from where the same import was broken off. Raises Problem."""
    began = time.monotonic()
    with _opened(job.path) as file:
        source, form = _source(Lines(file), job)
        ledger = open_ledger(_state_path(job), job.rejects, form, _of(job), restart=job.restart)
        problem = _send(connection, source, ledger, job)
    ledger.close(complete=problem is None)
    rejects = job.rejects if ledger.counts.rejected else None
    return Summary(ledger.counts, ledger.done, rejects, time.monotonic() - began, problem)


def _send(connection: Connection, source: Source, ledger: Ledger, job: Job) -> Problem | None:
    """Sends what is not done yet, and returns what kept it from its end."""
    terms = Terms(job.dry_run, job.rules.ignore_unknown)
    before = ledger.counts.total
    sender = Sender(connection, collect(_after(source.records(), ledger.done), terms))
    size = job.path.stat().st_size if job.path else None
    what = "checking" if job.dry_run else "importing"
    try:
        with progress.shown(what, size) as tell, closing(sender.answers()) as answers:
            for batch, answer in answers:
                ledger.answered(batch, answer)
                tell(ledger.counts.total - before, batch.records[-1].end)
    except Problem as problem:
        return problem
    except KeyboardInterrupt:
        return Interrupted()
    return None


def _after(records: Iterator[Record], done: int) -> Iterator[Record]:
    return (record for record in records if record.number > done)


def _source(lines: Lines, job: Job) -> tuple[Source, Form]:
    if job.format == "csv":
        rows = CsvRows(lines, job.rules)
        return rows, CsvForm(rows.columns.header)
    return (JsonLines if job.format == "jsonl" else JsonArray)(lines), JsonForm()


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from None
    with file:
        yield file


def _state_path(job: Job) -> Path | None:
    """Beside the file; that of a dry run is another one's."""
    kind = "dry-run" if job.dry_run else "import"
    return job.path.with_name(f"{job.path.name}.{kind}-state.json") if job.path else None


def _of(job: Job) -> dict[str, Any]:
    """What makes an import the same when it is resumed."""
    given = {"format": job.format, "rejects": str(job.rejects)} | job.of
    return given | (fingerprint(job.path) if job.path else {})
