"""Imports a file: reads records, sends them in batches and records the results."""

import sys
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client.command_errors import CommandError, Interrupted, command_error
from twc_customer_client.errors import CustomerError
from twc_customer_client.files import lock, unreadable
from twc_customer_client.formats.columns import ColumnOptions, Columns
from twc_customer_client.formats.csv_reader import CsvReader
from twc_customer_client.formats.json_reader import JsonArrayReader, JsonLinesReader
from twc_customer_client.formats.records import LineReader, RecordReader
from twc_customer_client.importing.batches import Batch, BatchOptions, collect_batches
from twc_customer_client.importing.checkpoint import Counts, fingerprint
from twc_customer_client.importing.rejects import CsvRejects, JsonRejects, RejectsFormat
from twc_customer_client.importing.results import ImportResults, OutputPaths, open_results
from twc_customer_client.progress import show_progress
from twc_customer_client.sync.client import CustomerClient
from twc_customer_client.waiting import Waiting


class ImportJob(NamedTuple):
    """A file to import, standard input if `path` is None, and the options of the command.

    Without a `delimiter` the header of a CSV file shows it. `identity` are
    options that must be the same for an interrupted import to be resumed.
    """

    waiting: Waiting
    path: Path | None
    format: str
    encoding: str
    delimiter: str | None
    columns: ColumnOptions
    on_conflict: pb.ImportCustomersRequest.OnConflict
    rejects: Path
    results: Path | None
    identity: dict[str, Any]
    dry_run: bool
    restart: bool


class ImportSummary(NamedTuple):
    """The outcome of an import; `error` is the reason why it is incomplete, if it is.

    `columns` are those of a CSV file.
    """

    counts: Counts
    last_record: int
    rejects: Path | None
    seconds: float
    error: CommandError | None
    columns: Columns | None


def import_file(client: CustomerClient, job: ImportJob) -> ImportSummary:
    """Imports a file, and resumes an interrupted import of it. Raises CommandError."""
    start = time.monotonic()
    with _open_input(job.path) as file:
        reader, rejects_format = _open_reader(LineReader(file, job.encoding), job)
        results = open_results(
            OutputPaths(job.path, _state_path(job), job.rejects, job.results),
            rejects_format,
            _identity(job),
            restart=job.restart,
        )
        error = _send(client, reader, results, job)
        try:
            results.close(complete=error is None)
        except CommandError as unsaved:
            error = error or unsaved
    rejects = job.rejects if results.counts.rejected else None
    seconds = time.monotonic() - start
    columns = reader.columns if isinstance(reader, CsvReader) else None
    return ImportSummary(results.counts, results.last_record, rejects, seconds, error, columns)


def _send(
    client: CustomerClient, reader: RecordReader, results: ImportResults, job: ImportJob
) -> CommandError | None:
    """Sends the records without an outcome; returns the error that ended it before the last."""
    resumed_after, resumed_total = results.last_record, results.counts.total
    records = (record for record in reader.records() if record.number > resumed_after)
    options = BatchOptions(job.dry_run, job.on_conflict, job.columns.ignore_unknown)
    batches = collect_batches(records, options)
    # Of another encoding than UTF-8, the bytes that are read are not those of the file.
    size = job.path.stat().st_size if job.path and job.encoding == "utf-8" else None
    action = "checking" if job.dry_run else "importing"
    try:
        with (
            show_progress(action, size, job.waiting) as update,
            closing(_send_batches(client, batches)) as responses,
        ):
            for batch, response in responses:
                results.record(batch, response)
                update(results.counts.total - resumed_total, batch.records[-1].end)
    except CommandError as error:
        return error
    except CustomerError as error:
        return command_error(error, job.waiting.server)
    except KeyboardInterrupt:
        return Interrupted()
    return None


def _send_batches(
    client: CustomerClient, batches: Iterable[Batch]
) -> Generator[tuple[Batch, pb.ImportCustomersResponse | None]]:
    """Yields each batch with its response, in order; None for one with nothing to send."""
    sent: deque[Batch] = deque()

    def requests() -> Iterator[pb.ImportCustomersRequest]:
        for batch in batches:
            sent.append(batch)
            yield batch.request

    with client.import_batches(requests()) as responses:
        for response in responses:
            batch = sent.popleft()
            yield batch, response if batch.request.items else None


def _open_reader(lines: LineReader, job: ImportJob) -> tuple[RecordReader, RejectsFormat]:
    if job.format == "csv":
        reader = CsvReader(lines, job.columns, job.delimiter)
        return reader, CsvRejects(reader.columns, reader.delimiter)
    if job.format == "jsonl":
        return JsonLinesReader(lines), JsonRejects()
    return JsonArrayReader(lines), JsonRejects()


@contextmanager
def _open_input(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from None
    with file:
        # The file itself, since the others that an import has are replaced, or may be moved.
        if not lock(file, path):
            raise CommandError(
                f"{path} is being imported by another process",
                "wait until that has ended, or stop it and run this command again to go on",
            )
        yield file


def _state_path(job: ImportJob) -> Path | None:
    """Returns the path beside the file; a dry run has one of its own."""
    kind = "dry-run" if job.dry_run else "import"
    return job.path.with_name(f"{job.path.name}.{kind}-state.json") if job.path else None


def _identity(job: ImportJob) -> dict[str, Any]:
    identity = {"format": job.format, "rejects": str(job.rejects), "results": str(job.results)}
    identity |= job.identity
    return identity | (fingerprint(job.path) if job.path else {})
