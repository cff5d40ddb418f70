"""The rejects file: rejected records with their reasons, to be corrected and imported again."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from twc_customer_client.errors import CommandError
from twc_customer_client.formats.columns import REJECT_COLUMNS, Columns
from twc_customer_client.formats.csv_cells import protect, quote
from twc_customer_client.formats.json_reader import REJECT_MEMBER, REJECT_TEXT
from twc_customer_client.formats.records import Record, RejectReason


class RejectsFormat(Protocol):
    """Formats a rejects file."""

    def header(self) -> str:
        """Returns the text before the first record."""

    def row(self, record: Record, reasons: Sequence[RejectReason]) -> str:
        """Returns a rejected record as text."""


class CsvRejects:
    """Formats rejects as rows under their own header, behind the columns of the reasons."""

    def __init__(self, columns: Columns, delimiter: str) -> None:
        self._columns = columns
        self._delimiter = delimiter

    def header(self) -> str:
        """Returns the header."""
        return self._line([*REJECT_COLUMNS, *self._own_cells(self._columns.header)])

    def row(self, record: Record, reasons: Sequence[RejectReason]) -> str:
        """Returns the row as it was, behind its line and reasons."""
        columns = zip(*[_reason_cells(reason) for reason in reasons], strict=True)
        added = [str(record.line), *(quote("; ".join(texts)) for texts in columns)]
        return self._line([*added, *self._own_cells(record.original)])

    def _own_cells(self, row: Sequence[str]) -> list[str]:
        """Returns the cells of a row, without those that an import before has added."""
        return [
            protect(self._columns.text_of(cell)) if cell else ""
            for place, cell in enumerate(row)
            if place not in self._columns.added
        ]

    def _line(self, row: Sequence[str]) -> str:
        line = io.StringIO(newline="")
        csv.writer(line, delimiter=self._delimiter).writerow(row)
        return line.getvalue()


class JsonRejects:
    """Formats rejects as JSON Lines: objects with a member for the reasons."""

    def header(self) -> str:
        """Returns an empty text."""
        return ""

    def row(self, record: Record, reasons: Sequence[RejectReason]) -> str:
        """Returns the object on a line; what is not an object goes into the added member."""
        reject: dict[str, Any] = {
            "line": record.line,
            "reasons": [reason._asdict() for reason in reasons],
        }
        original = record.original
        if not isinstance(original, dict):
            is_text = isinstance(original, str)
            reject[REJECT_TEXT] = original if is_text else json.dumps(original)
            original = {}
        return json.dumps({REJECT_MEMBER: reject, **original}) + "\n"


class RejectsPath(NamedTuple):
    """The path of a rejects file, and that of the file whose rejects it takes, if it is a file."""

    path: Path
    source: Path | None

    def describe(self) -> str:
        """Tells of which import an existing rejects file is, as far as its name does."""
        if self.source is None or self.path.parent != self.source.parent:
            return "an earlier import"
        is_named_alike = self.path.name.startswith(f"{self.source.stem}.")
        return f"an earlier import of {self.source.name}" if is_named_alike else "an earlier import"


class RejectsFile:
    """Appends rejects to a file, which it creates with the first one."""

    def __init__(
        self, location: RejectsPath, rejects_format: RejectsFormat, size: int | None
    ) -> None:
        """Continues the import's own file after `size` bytes; None starts a new one.

        Raises CommandError if the file is another import's, or cannot be written.
        """
        self.path = path = location.path
        self._format = rejects_format
        self._file: io.BufferedWriter | None = None
        self.size = size or 0
        if size is None and path.exists() and path.stat().st_size:
            raise CommandError(
                f"{path} has the rejects of {location.describe()}: correct it and import it; "
                "to import all again, move it away, or name another file with --rejects"
            )
        try:
            if path.exists():
                os.truncate(path, self.size)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}") from None

    def add(self, record: Record, reasons: Sequence[RejectReason]) -> None:
        """Writes a reject. Raises CommandError."""
        text = ("" if self.size else self._format.header()) + self._format.row(record, reasons)
        encoded = text.encode(errors="surrogatepass")
        try:
            if self._file is None:
                self._file = self.path.open("ab")
            self._file.write(encoded)
        except OSError as error:
            raise CommandError(f"{self.path} cannot be written: {error.strerror}") from None
        self.size += len(encoded)

    def sync(self) -> None:
        """Flushes the file to disk."""
        if self._file:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flushes the file to disk and closes it."""
        if self._file:
            self.sync()
            self._file.close()


def _reason_cells(reason: RejectReason) -> tuple[str, str, str]:
    text = f"{reason.field}: {reason.reason}" if reason.field else reason.reason
    return reason.field, reason.value, text
