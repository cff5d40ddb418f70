"""What an import keeps of what became of its customers: counts, rejects, and its place."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client.batches import Batch, account
from twc_customer_client.rejects import Form, RejectsFile
from twc_customer_client.state import Counts, State, StateFile

# What is done again after a break, at most, beside the batches on their way.
_SAVE_SECONDS = 1.0


class Ledger:
    """The account of an import, which goes on where the same import was broken off."""

    def __init__(self, state_file: StateFile | None, rejects: RejectsFile, state: State) -> None:
        """Without a file for the state the import cannot be resumed."""
        self.rejects = rejects
        self._state_file = state_file
        self._state = state
        self._saved = time.monotonic()
        self.save()

    @property
    def counts(self) -> Counts:
        """What became of all customers so far."""
        return self._state.counts

    @property
    def done(self) -> int:
        """The number of the last record that needs nothing more."""
        return self._state.done

    def answered(self, batch: Batch, answer: pb.ImportCustomersResponse | None) -> None:
        """Notes what became of a batch. Raises Problem."""
        counts = replace(self._state.counts)
        for record, reasons in account(batch, answer, counts):
            self.rejects.add(record, reasons)
        self._state = State(self._state.of, batch.records[-1].number, self.rejects.size, counts)
        if time.monotonic() - self._saved >= _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Brings all that was noted to the disk: the rejects first. Raises Problem."""
        self.rejects.sync()
        if self._state_file:
            self._state_file.save(self._state)
        self._saved = time.monotonic()

    def close(self, *, complete: bool) -> None:
        """Ends the account, which a complete import needs no more. Raises Problem."""
        # One that never began has nothing to go on with either.
        over = complete or not self.done
        if not over:
            self.save()
        self.rejects.close()
        if over and self._state_file:
            self._state_file.remove()


def open_ledger(
    state_path: Path | None, rejects_path: Path, form: Form, of: dict[str, Any], *, restart: bool
) -> Ledger:
    """The ledger of an import, new or broken off. Raises Problem if it is another one's."""
    state_file = StateFile(state_path) if state_path else None
    state, size = None, None
    if state_file and restart:
        size = 0 if state_file.has_rejects(str(rejects_path)) else None
        state_file.remove()
    elif state_file and (state := state_file.load(of)):
        size = state.rejects
    return Ledger(state_file, RejectsFile(rejects_path, form, size), state or State(of))
