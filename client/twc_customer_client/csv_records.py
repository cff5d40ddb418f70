"""Customers in CSV: a header, and a row for each."""

import csv
from collections.abc import Iterator, Sequence

from twc_customer_client.columns import Columns, Rules
from twc_customer_client.lines import MAX_BYTES, Lines
from twc_customer_client.problems import Reason, Refused
from twc_customer_client.records import Record

csv.field_size_limit(MAX_BYTES)


class CsvRows:
    """A customer in each row that is not blank."""

    def __init__(self, lines: Lines, rules: Rules) -> None:
        """Reads the header. Raises Refused."""
        self._lines = lines
        self._row_began = 0
        self._line = 0
        self._reader = csv.reader(self._bounded(), strict=True)
        header = self._next()
        if header is None:
            raise Refused("", "the file is empty: a CSV file begins with a header")
        self.columns = Columns(header, rules)

    def records(self) -> Iterator[Record]:
        """Reads row by row; a row that has not a cell for each column says so. Raises Refused."""
        while (row := self._next()) is not None:
            value, reasons = None, _ragged(row, self.columns.width)
            if not reasons:
                value, reasons = self.columns.read(row)
            yield Record(self._line, self._line, self._lines.end, row, value, reasons)

    def _next(self) -> list[str] | None:
        """The cells of the next row that has any."""
        row: list[str] | None = []
        while row == []:
            self._row_began, self._line = self._lines.end, self._lines.number + 1
            try:
                row = next(self._reader, None)
            except csv.Error as error:
                raise Refused(self._lines.place, f"is not CSV: {error}") from None
        return row

    def _bounded(self) -> Iterator[str]:
        for line in self._lines:
            if self._lines.end - self._row_began > MAX_BYTES:
                raise Refused(
                    self._lines.place,
                    f"belongs to a row of over {MAX_BYTES >> 20} MiB: is a quote left open?",
                )
            yield line


def _ragged(row: Sequence[str], columns: int) -> tuple[Reason, ...]:
    if len(row) == columns:
        return ()
    return (Reason("", "", f"has {len(row)} cells, where the header has {columns}"),)
