"""Records the results of an import: counts, rejects, the result of each record, and checkpoint."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client.importing.batches import Batch, RecordResult, count_results
from twc_customer_client.importing.checkpoint import Checkpoint, Counts, StateFile
from twc_customer_client.importing.output_file import OutputFile, Written
from twc_customer_client.importing.rejects import RejectsFormat

# An import that is killed repeats at most this time's work, and its open batches.
_SAVE_SECONDS = 1.0

_RESULTS_HEADER = "line,result,id\n"


class OutputPaths(NamedTuple):
    """The paths of the files of an import of `source`, which is None for standard input."""

    source: Path | None
    state: Path | None
    rejects: Path
    results: Path | None

    def describe_rejects(self) -> str:
        """Tells of which import an existing rejects file is, as far as its name does."""
        if self.source is None or self.rejects.parent != self.source.parent:
            return "an earlier import"
        is_named_alike = self.rejects.name.startswith(f"{self.source.stem}.")
        return f"an earlier import of {self.source.name}" if is_named_alike else "an earlier import"


class OutputFiles(NamedTuple):
    """The open files of an import; without a state file it cannot be resumed."""

    state: StateFile | None
    rejects: OutputFile
    results: OutputFile | None

    @property
    def appended(self) -> list[OutputFile]:
        """The files that are appended to."""
        return [self.rejects, self.results] if self.results else [self.rejects]

    def close(self) -> None:
        """Closes the files that are appended to."""
        for file in self.appended:
            file.close()


class ImportResults:
    """The results of an import so far, which one of the same identity continues."""

    def __init__(
        self, files: OutputFiles, rejects_format: RejectsFormat, checkpoint: Checkpoint
    ) -> None:
        """Saves the checkpoint, which replaces an earlier one. Raises CommandError."""
        self._files = files
        self._format = rejects_format
        self._checkpoint = self._with_files(checkpoint)
        self._saved_at = 0.0
        self._save()
        # Not before: until then an earlier checkpoint counts what they have.
        for file in files.appended:
            file.begin()

    @property
    def counts(self) -> Counts:
        """The numbers of customers by outcome."""
        return self._checkpoint.counts

    @property
    def last_record(self) -> int:
        """The number of the last record that has an outcome."""
        return self._checkpoint.last_record

    def record(self, batch: Batch, response: pb.ImportCustomersResponse | None) -> None:
        """Records the outcomes of a batch. Raises CommandError."""
        counts = replace(self._checkpoint.counts)
        results = count_results(batch, response, counts)
        self._write(results)
        self._checkpoint = self._with_files(
            replace(self._checkpoint, last_record=batch.records[-1].number, counts=counts)
        )
        if time.monotonic() - self._saved_at >= _SAVE_SECONDS:
            self._save()

    def close(self, *, complete: bool) -> None:
        """Closes the files, and removes all traces of an import that there is nothing to resume of.

        Raises CommandError.
        """
        try:
            self._end(complete=complete)
        finally:
            self._files.close()

    def _end(self, *, complete: bool) -> None:
        if self.last_record and not complete:
            self._save()
            return
        for file in self._files.appended:
            if complete:
                file.sync()
            else:
                file.discard()
        if self._files.state:
            self._files.state.remove()

    def _with_files(self, checkpoint: Checkpoint) -> Checkpoint:
        """Returns a checkpoint that counts what the files have now."""
        rejects, results = self._files.rejects, self._files.results
        return replace(
            checkpoint,
            rejects=rejects.written,
            results=results.written if results else Written(),
        )

    def _write(self, results: Sequence[RecordResult]) -> None:
        """Writes what a batch adds to each file at once."""
        rejects = self._files.rejects
        rejected = [
            self._format.row(result.record, result.reasons) for result in results if result.reasons
        ]
        if rejected:
            header = "" if rejects.size else self._format.header()
            rejects.add(header + "".join(rejected))
        if self._files.results:
            lines = [f"{it.record.line},{it.result},{it.customer_id}\n" for it in results]
            header = "" if self._files.results.size else _RESULTS_HEADER
            self._files.results.add(header + "".join(lines))

    def _save(self) -> None:
        # The files first: a checkpoint must not count bytes that are not on disk.
        for file in self._files.appended:
            file.sync()
        if self._files.state:
            self._files.state.save(self._checkpoint)
        self._saved_at = time.monotonic()


def open_results(
    paths: OutputPaths, rejects_format: RejectsFormat, identity: dict[str, Any], *, restart: bool
) -> ImportResults:
    """Opens the results of a new or an interrupted import.

    Raises CommandError if the files are those of an import of another identity.
    """
    state_file = StateFile(paths.state) if paths.state else None
    checkpoint = None
    of_rejects = of_results = None
    if state_file and restart:
        of_rejects = Written() if state_file.owns("rejects", paths.rejects) else None
        of_results = Written() if state_file.owns("results", paths.results) else None
    elif state_file and (checkpoint := state_file.load(identity)):
        of_rejects, of_results = checkpoint.rejects, checkpoint.results
    rejects = OutputFile(
        paths.rejects,
        of_rejects,
        f"has the rejects of {paths.describe_rejects()}: correct it and import it; "
        "to import all again, move it away, or name another file with --rejects",
    )
    files = OutputFiles(state_file, rejects, None)
    try:
        if paths.results:
            refusal = "exists already: move it away, or name another file with --results"
            files = files._replace(results=OutputFile(paths.results, of_results, refusal))
        return ImportResults(files, rejects_format, checkpoint or Checkpoint(identity))
    except BaseException:
        files.close()
        raise
