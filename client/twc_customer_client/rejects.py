"""The rejects file: what was not stored, and why, to be corrected and imported again."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from twc_customer_client import cells
from twc_customer_client.columns import REJECT_COLUMNS
from twc_customer_client.json_records import REJECT, TEXT
from twc_customer_client.problems import Problem, Reason
from twc_customer_client.records import Record


class Form(Protocol):
    """How rejects are written."""

    def head(self) -> str:
        """What stands before the first of them."""

    def row(self, record: Record, reasons: Sequence[Reason]) -> str:
        """A rejected record."""


class CsvForm:
    """Rows under the header they came with, after columns that say what is wrong."""

    def __init__(self, header: Sequence[str]) -> None:
        # Those of an earlier rejects file are renewed.
        self._dropped = [place for place, name in enumerate(header) if name in REJECT_COLUMNS]
        self._header = header

    def head(self) -> str:
        """The header."""
        return _csv_line([*REJECT_COLUMNS, *self._kept(self._header)])

    def row(self, record: Record, reasons: Sequence[Reason]) -> str:
        """The row as it was."""
        told = [
            str(record.line),
            *("; ".join(part) for part in zip(*[_told(it) for it in reasons], strict=True)),
        ]
        row = [cells.guard(text) if text else "" for text in told]
        return _csv_line([*row, *self._kept(record.original)])

    def _kept(self, row: Sequence[str]) -> list[str]:
        return [
            cells.guard_again(cell) for place, cell in enumerate(row) if place not in self._dropped
        ]


class JsonForm:
    """Objects with a member that says what is wrong."""

    def head(self) -> str:
        """Nothing."""
        return ""

    def row(self, record: Record, reasons: Sequence[Reason]) -> str:
        """The object as it was, on one line; what was no object stands in the added member."""
        told: dict[str, Any] = {
            "line": record.line,
            "reasons": [reason._asdict() for reason in reasons],
        }
        original = record.original
        if not isinstance(original, dict):
            told[TEXT] = original if isinstance(original, str) else json.dumps(original)
            original = {}
        return json.dumps({REJECT: told, **original}) + "\n"


class RejectsFile:
    """A file that comes into being with the first reject, and can be cut back."""

    def __init__(self, path: Path, form: Form, size: int | None) -> None:
        """Goes on after `size` bytes; None begins anew. Raises Problem."""
        self.path = path
        self._form = form
        self._file: io.BufferedWriter | None = None
        self.size = size or 0
        if size is None:
            refuse_used(path)
        try:
            if path.exists():
                os.truncate(path, self.size)
        except OSError as error:
            raise Problem(f"{path} cannot be written: {error.strerror}") from None

    def add(self, record: Record, reasons: Sequence[Reason]) -> None:
        """Writes a reject. Raises Problem."""
        text = ("" if self.size else self._form.head()) + self._form.row(record, reasons)
        encoded = text.encode(errors="surrogatepass")
        try:
            if self._file is None:
                self._file = self.path.open("ab")
            self._file.write(encoded)
        except OSError as error:
            raise Problem(f"{self.path} cannot be written: {error.strerror}") from None
        self.size += len(encoded)

    def sync(self) -> None:
        """Brings what was written to the disk."""
        if self._file:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Brings what was written to the disk, and ends."""
        if self._file:
            self.sync()
            self._file.close()


def refuse_used(path: Path) -> None:
    """Raises Problem if a rejects file is there with something in it."""
    if path.exists() and path.stat().st_size:
        raise Problem(
            f"{path} is there already, with the rejects of another import: "
            "move it away, or name another file with --rejects"
        )


def _told(reason: Reason) -> tuple[str, str, str]:
    said = f"{reason.field}: {reason.reason}" if reason.field else reason.reason
    return reason.field, reason.value, said


def _csv_line(row: Sequence[str]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(row)
    return line.getvalue()
