"""Records the results of an import: counts, rejects and checkpoint."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client.importing.batches import Batch, count_outcomes
from twc_customer_client.importing.checkpoint import Checkpoint, Counts, StateFile
from twc_customer_client.importing.rejects import RejectsFile, RejectsFormat, RejectsPath

# An import that is killed repeats at most this time's work, and its open batches.
_SAVE_SECONDS = 1.0


class ImportResults:
    """The results of an import so far, which one of the same identity continues."""

    def __init__(
        self, state_file: StateFile | None, rejects: RejectsFile, checkpoint: Checkpoint
    ) -> None:
        """Saves the checkpoint; without a state file the import cannot be resumed."""
        self._state_file = state_file
        self._rejects = rejects
        self._checkpoint = checkpoint
        self._saved_at = 0.0
        self._save()

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
        for record, reasons in count_outcomes(batch, response, counts):
            self._rejects.add(record, reasons)
        self._checkpoint = Checkpoint(
            self._checkpoint.identity, batch.records[-1].number, self._rejects.size, counts
        )
        if time.monotonic() - self._saved_at >= _SAVE_SECONDS:
            self._save()

    def close(self, *, complete: bool) -> None:
        """Closes the files, and removes the checkpoint if there is nothing to resume.

        Raises CommandError.
        """
        is_over = complete or not self.last_record
        if not is_over:
            self._save()
        self._rejects.close()
        if is_over and self._state_file:
            self._state_file.remove()

    def _save(self) -> None:
        # The rejects first: a checkpoint must not count bytes that are not on disk.
        self._rejects.sync()
        if self._state_file:
            self._state_file.save(self._checkpoint)
        self._saved_at = time.monotonic()


def open_results(
    state_path: Path | None,
    rejects_path: RejectsPath,
    rejects_format: RejectsFormat,
    identity: dict[str, Any],
    *,
    restart: bool,
) -> ImportResults:
    """Opens the results of a new or an interrupted import.

    Raises CommandError if the files are those of an import of another identity.
    """
    state_file = StateFile(state_path) if state_path else None
    checkpoint, size = None, None
    if state_file and restart:
        size = 0 if state_file.owns_rejects(rejects_path.path) else None
        state_file.remove()
    elif state_file and (checkpoint := state_file.load(identity)):
        size = checkpoint.rejects_size
    rejects = RejectsFile(rejects_path, rejects_format, size)
    return ImportResults(state_file, rejects, checkpoint or Checkpoint(identity))
