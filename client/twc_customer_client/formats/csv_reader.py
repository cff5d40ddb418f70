"""Reads customers from CSV: maps columns to fields, and rows to JSON."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from twc_customer_client.errors import InputFileError
from twc_customer_client.formats.csv_cells import unescape
from twc_customer_client.formats.field_paths import (
    CUSTOMER,
    Path,
    canonical_path,
    format_path,
    is_collection,
    is_timestamp,
    parse_path,
    resolve_field,
)
from twc_customer_client.formats.json_reader import parse_json
from twc_customer_client.formats.mappings import ColumnMapping
from twc_customer_client.formats.records import (
    MAX_RECORD_BYTES,
    LineReader,
    Record,
    RejectReason,
)

# The columns that a rejects file adds, which an import of it ignores.
REJECT_COLUMNS = ("reject_line", "reject_field", "reject_value", "reject_reason")

_TRUE = {"true", "yes", "1"}
_FALSE = {"false", "no", "0"}

csv.field_size_limit(MAX_RECORD_BYTES)


class ColumnOptions(NamedTuple):
    """Field paths by column names: the user's, those of another system, or the names themselves."""

    overrides: Mapping[str, str]
    mapping: ColumnMapping
    ignore_unknown: bool


class CsvReader:
    """Reads a record from each row that is not blank."""

    def __init__(self, lines: LineReader, options: ColumnOptions) -> None:
        """Reads the header. Raises InputFileError."""
        self._lines = lines
        self._row_start = 0
        self._row_line = 0
        self._rows = csv.reader(self._bounded_lines(), strict=True)
        header = self._next_row()
        if header is None:
            raise InputFileError("", "the file is empty: a CSV file begins with a header")
        self.columns = Columns(header, options)

    def records(self) -> Iterator[Record]:
        """Reads row by row. Raises InputFileError."""
        while (row := self._next_row()) is not None:
            value, reasons = self.columns.read(row)
            yield Record(self._row_line, self._row_line, self._lines.end, row, value, reasons)

    def _next_row(self) -> list[str] | None:
        row: list[str] | None = []
        while row == []:
            self._row_start, self._row_line = self._lines.end, self._lines.number + 1
            try:
                row = next(self._rows, None)
            except csv.Error as error:
                raise InputFileError(self._lines.location, f"is not CSV: {error}") from None
        return row

    def _bounded_lines(self) -> Iterator[str]:
        for line in self._lines:
            if self._lines.end - self._row_start > MAX_RECORD_BYTES:
                raise InputFileError(
                    self._lines.location,
                    f"is in a row of more than {MAX_RECORD_BYTES >> 20} MiB: is a quote left open?",
                )
            yield line


class Columns:
    """Converts the rows under a header to JSON."""

    def __init__(self, header: Sequence[str], options: ColumnOptions) -> None:
        """Maps each column. Raises InputFileError if one is unknown or appears twice."""
        names = [unescape(name).strip() for name in header]
        self._quotes_digits = options.mapping.quotes_digits
        self._columns = list(_map_columns(names, options))
        self.header = header

    def read(self, row: Sequence[str]) -> tuple[dict[str, Any] | None, tuple[RejectReason, ...]]:
        """Returns a row as a customer's JSON without its empty cells, and why it is rejected."""
        if len(row) != len(self.header):
            reason = f"has {len(row)} cells, but the header has {len(self.header)}"
            return None, (RejectReason("", "", reason),)
        tree: dict[Any, Any] = {}
        reasons = []
        for column in self._columns:
            if cell := row[column.position]:
                text = self._text_of(cell)
                try:
                    _insert(tree, column.path, _parse_value(text, column.kind))
                except ValueError as error:
                    reasons.append(RejectReason(format_path(column.path), text, str(error)))
        return _with_lists(tree), tuple(reasons)

    def _text_of(self, cell: str) -> str:
        if self._quotes_digits and cell[0] == "'" and cell[1:2].isdigit():
            return cell[1:]
        return unescape(cell)


def kind_of(path: Path) -> str:
    """Returns how a cell writes the value at a path: text, bool or json. Raises ValueError."""
    field = resolve_field(CUSTOMER, path)
    is_message = field.message_type is not None and not is_timestamp(field)
    if is_message or is_collection(field, path):
        return "json"
    return "bool" if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else "text"


class _Column(NamedTuple):
    position: int
    path: Path
    kind: str


def _map_columns(names: Sequence[str], options: ColumnOptions) -> Iterator[_Column]:
    _refuse_any("has two columns", _repeated(names))
    _refuse_any("has no column", [name for name in options.overrides if name not in names])
    unknown, paths = [], []
    for position, name in enumerate(names):
        if name in REJECT_COLUMNS:
            continue
        path = options.overrides.get(name) or options.mapping.paths.get(name.lower(), name)
        column = _map_column(position, path)
        if column is None:
            unknown.append(name)
        else:
            paths.append(format_path(column.path))
            yield column
    _refuse_any("has two columns for", _repeated(paths))
    if not options.ignore_unknown:
        hint = " (map them with --map 'Column=field', or skip them with --ignore-unknown)"
        _refuse_any("has columns that are not fields of a customer:", unknown, hint)


def _map_column(position: int, text: str) -> _Column | None:
    """Returns the column for a field path; None if there is no such field."""
    try:
        path = canonical_path(CUSTOMER, parse_path(text))
        return _Column(position, path, kind_of(path))
    except ValueError:
        return None


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _refuse_any(problem: str, names: Sequence[str], hint: str = "") -> None:
    if names:
        listed = ", ".join(json.dumps(name, ensure_ascii=False) for name in names)
        raise InputFileError("the header", f"{problem} {listed}{hint}")


def _parse_value(text: str, kind: str) -> Any:
    if kind == "bool":
        if text.strip().lower() in _TRUE:
            return True
        if text.strip().lower() in _FALSE:
            return False
        raise ValueError("must be true or false, yes or no, 1 or 0")
    if kind == "json":
        try:
            return parse_json(text)
        except ValueError:
            raise ValueError("must be JSON") from None
    return text


def _insert(tree: dict[Any, Any], path: Path, value: Any) -> None:
    """Inserts a value into dicts by field names, map keys and indexes of lists."""
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
        if not isinstance(tree, dict):
            raise ValueError("is part of a value that another column sets as a whole")  # noqa: TRY004
    tree[path[-1]] = value


def _with_lists(tree: Any) -> Any:
    """Returns a tree with lists in place of dicts by indexes, without the gaps between those."""
    if not isinstance(tree, dict):
        return tree
    if tree and all(isinstance(key, int) for key in tree):
        return [_with_lists(tree[index]) for index in sorted(tree)]
    return {key: _with_lists(value) for key, value in tree.items()}
