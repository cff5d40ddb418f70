"""Formats the rejects file: rejected records with their reasons, to be corrected and imported."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Protocol

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


def _reason_cells(reason: RejectReason) -> tuple[str, str, str]:
    text = f"{reason.field}: {reason.reason}" if reason.field else reason.reason
    return reason.field, reason.value, text
