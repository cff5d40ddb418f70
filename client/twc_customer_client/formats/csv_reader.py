"""Reads customers from CSV: finds the delimiter, divides lines into rows, and skips blank ones."""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain

from twc_customer_client.command_errors import InputFileError
from twc_customer_client.formats.columns import ColumnOptions, Columns, column_name
from twc_customer_client.formats.records import MAX_RECORD_BYTES, LineReader, Record

# In the order of preference between those that divide a header alike.
_DELIMITERS = (",", ";", "\t", "|")

# The line before the header by which Excel is told the delimiter.
_DELIMITER_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)

_END_IN_QUOTE = "unexpected end of data"
_BARE_CARRIAGE_RETURN = "new-line character"

csv.field_size_limit(MAX_RECORD_BYTES)


class CsvReader:
    """Reads a record from each row that is not blank."""

    def __init__(
        self, lines: LineReader, options: ColumnOptions, delimiter: str | None = None
    ) -> None:
        """Reads the header, which shows a delimiter that is not given. Raises InputFileError."""
        self._lines = lines
        # The lines of the row that is being read, the number of the first of
        # them, and the offset before it.
        self._row_lines: list[str] = []
        self._row_line = 0
        self._row_start = 0
        source = self._row_source()
        first = self._first_line(source)
        if match := _DELIMITER_LINE.fullmatch(first):
            delimiter, first = delimiter or match[1], self._first_line(source)
        if first.lstrip().startswith(("{", "[")):
            raise InputFileError("", "the file is JSON, not CSV: use --format json or jsonl")
        self.delimiter = delimiter or _find_delimiter(first, options)
        rows = chain([first], source) if first else source
        self._rows = csv.reader(rows, delimiter=self.delimiter, strict=True)
        header: list[str] | None = []
        while header is not None and not any(map(str.strip, header)):
            header = self._next_row()
        if header is None:
            raise InputFileError("", "the file is empty: a CSV file begins with a header")
        self.columns = Columns(header, options)

    def records(self) -> Iterator[Record]:
        """Reads row by row. Raises InputFileError."""
        while (row := self._next_row()) is not None:
            if not self.columns.is_blank(row):
                value, reasons = self.columns.read(row)
                yield Record(self._row_line, self._row_line, self._lines.end, row, value, reasons)

    def _first_line(self, source: Iterator[str]) -> str:
        """Returns the next line that is not blank; empty at the end."""
        for line in source:
            if line.strip():
                return line
            self._row_lines.clear()
        return ""

    def _next_row(self) -> list[str] | None:
        try:
            row = next(self._rows, None)
        except csv.Error as error:
            raise self._to_file_error(error) from None
        self._row_lines.clear()
        self._row_start = self._lines.end
        return row

    def _row_source(self) -> Iterator[str]:
        """Yields the lines, and keeps those of the row."""
        for line in self._lines:
            if not self._row_lines:
                self._row_line = self._lines.number
            self._row_lines.append(line)
            if self._lines.end - self._row_start > MAX_RECORD_BYTES:
                limit = f"{MAX_RECORD_BYTES >> 20} MiB"
                problem = (
                    f"is in a row of more than {limit}: is the quote that opens here left open?"
                )
                raise InputFileError(self._quote_location(), problem)
            yield line

    def _to_file_error(self, error: csv.Error) -> InputFileError:
        """Describes an error where it can be corrected: where the last quote opens."""
        problem = str(error)
        if problem == _END_IN_QUOTE:
            problem = "the quote that opens here is not closed"
        elif problem.startswith(_BARE_CARRIAGE_RETURN):
            advice = "end lines with LF or CRLF, and quote cells with line breaks"
            return InputFileError(self._lines.location, f"has a CR without LF: {advice}")
        elif len(self._row_lines) > 1:
            problem = f"{problem} in {self._lines.location}, where the quote that opens here ends"
        return InputFileError(self._quote_location(), f"is not CSV: {problem}")

    def _quote_location(self) -> str:
        """Returns the line of the row in which its last quoted cell begins."""
        number = self._row_line + _last_quote(self._row_lines, self.delimiter)
        return f"line {number:,}"


def _find_delimiter(line: str, options: ColumnOptions) -> str:
    """Returns the delimiter by which the most columns of a header are known, else are there."""

    def columns(delimiter: str) -> tuple[int, int]:
        cells: list[str] = []
        with suppress(csv.Error):  # The reader of the rows reports it.
            cells = next(csv.reader([line], delimiter=delimiter), [])
        names = [column_name(cell) for cell in cells]
        return sum(map(options.knows, names)), len(names)

    return max(_DELIMITERS, key=columns)


def _last_quote(lines: Sequence[str], delimiter: str) -> int:
    """Returns the index of the line in which the last quoted cell begins."""
    opened = 0
    is_quoted = False
    before = delimiter
    for index, line in enumerate(lines):
        for character in line:
            if character == '"':
                if not is_quoted and before in (delimiter, "\n"):
                    opened = index
                is_quoted = not is_quoted
            before = character
    return opened
