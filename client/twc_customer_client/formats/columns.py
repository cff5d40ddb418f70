"""Maps the columns of a CSV file to fields, and converts its rows to JSON."""

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from twc_customer_client.command_errors import InputFileError
from twc_customer_client.formats.csv_cells import is_false, is_true, read_foreign, unprotect
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
from twc_customer_client.formats.mappings import MAPPINGS, ColumnMapping
from twc_customer_client.formats.records import RejectReason

# The columns that a rejects file adds, and the one that an export adds. An import
# ignores them; either tells it that this command wrote the cells.
REJECT_COLUMNS = ("reject_line", "reject_field", "reject_value", "reject_reason")
EXPORT_COLUMN = "twc_export"
_ADDED = (*REJECT_COLUMNS, EXPORT_COLUMN)

_YES = {"yes", "y", "1"}
_NO = {"no", "n", "0"}


class CellKind(Enum):
    """How a cell writes a value; enums and times are texts, lists, maps and objects JSON."""

    TEXT = auto()
    BOOL = auto()
    NUMBER = auto()
    JSON = auto()


_KINDS = {
    FieldDescriptor.CPPTYPE_STRING: CellKind.TEXT,
    FieldDescriptor.CPPTYPE_ENUM: CellKind.TEXT,
    FieldDescriptor.CPPTYPE_BOOL: CellKind.BOOL,
    FieldDescriptor.CPPTYPE_DOUBLE: CellKind.NUMBER,
}


class ColumnOptions(NamedTuple):
    """Field paths by column names: the user's, those of another system, or the names themselves."""

    overrides: Mapping[str, str]
    mapping: ColumnMapping
    ignore_unknown: bool

    def knows(self, name: str) -> bool:
        """Returns whether a column has a field, or need not have one."""
        is_read = name in self.overrides or _is_known_to(self.mapping, name)
        return is_read or name in _ADDED


class Columns:
    """Converts the rows under a header to JSON.

    `added` are the places of the columns that this command added to the file.
    `dropped` has the number of rows with a value in each column that is not
    read, and `systems` those whose export this seems to be, by another mapping.
    """

    def __init__(self, header: Sequence[str], options: ColumnOptions) -> None:
        """Maps each column. Raises InputFileError if one is unknown or appears twice."""
        self._is_own = EXPORT_COLUMN in header or {*REJECT_COLUMNS} <= {*header}
        self._quotes_digits = options.mapping.quotes_digits
        names = [self.text_of(column_name(cell)) for cell in header]
        self.header = header
        self.added = [place for place, name in enumerate(names) if name in _ADDED]
        self._nameless = [place for place, name in enumerate(names) if not name]
        self._columns = _map_columns(names, options)
        read = {*self.added, *self._nameless, *(column.position for column in self._columns)}
        self._unread = {place: name for place, name in enumerate(names) if place not in read}
        self.dropped = Counter(dict.fromkeys(self._unread.values(), 0))
        self.systems = _similar_systems(names, options.mapping)

    def is_blank(self, row: Sequence[str]) -> bool:
        """Returns whether a row has nothing but empty cells, beside those that were added."""
        own = [*row]
        for place in self.added:
            own[place : place + 1] = [""]
        return not "".join(own).strip()

    def read(self, row: Sequence[str]) -> tuple[dict[str, Any] | None, tuple[RejectReason, ...]]:
        """Returns a row as a customer's JSON without its empty cells, and why it is rejected."""
        width = len(self.header)
        if len(row) < width or any(row[width:]):
            reason = f"has {len(row)} cells, but the header has {width}"
            return None, (RejectReason("", "", reason),)
        tree: dict[Any, Any] = {}
        reasons = []
        for column in self._columns:
            if cell := row[column.position]:
                text = self.text_of(cell)
                try:
                    _insert(tree, column.path, parse_value(text, column.kind))
                except ValueError as error:
                    reasons.append(RejectReason(format_path(column.path), text, str(error)))
        for place in self._nameless:
            if row[place].strip():
                reason = f"has a value in column {place + 1}, which has no name in the header"
                reasons.append(RejectReason("", row[place], reason))
        for place, name in self._unread.items():
            self.dropped[name] += bool(row[place].strip())
        return _with_lists(tree), tuple(reasons)

    def text_of(self, cell: str) -> str:
        """Returns the text of a cell, without what protects it from spreadsheets."""
        if self._is_own:
            return unprotect(cell)
        if self._quotes_digits and cell[:1] == "'" and cell[1:2].isdigit():
            return cell[1:]
        return read_foreign(cell)


def column_name(cell: str) -> str:
    """Returns the name of a column, without byte order marks and other characters that nobody sees.

    Programs leave them within a file, or web pages in what is copied from them.
    """
    return "".join(c for c in cell if unicodedata.category(c) != "Cf").strip()


def kind_of(path: Path) -> CellKind:
    """Returns how a cell writes the value at a path. Raises ValueError if it ends at no field."""
    field = resolve_field(CUSTOMER, path)
    return CellKind.JSON if is_collection(field, path) else _kind_of_element(field)


def kind_of_field(field: FieldDescriptor) -> CellKind:
    """Returns how a cell writes the whole value of a field."""
    return CellKind.JSON if field.is_repeated else _kind_of_element(field)


def _kind_of_element(field: FieldDescriptor) -> CellKind:
    if field.message_type is not None:
        return CellKind.TEXT if is_timestamp(field) else CellKind.JSON
    return _KINDS[field.cpp_type]


class _Column(NamedTuple):
    position: int
    path: Path
    kind: CellKind


def _map_columns(names: Sequence[str], options: ColumnOptions) -> list[_Column]:
    """Returns the columns that are read, in their order. Raises InputFileError."""
    _refuse_any("has two columns", [name for name in _repeated(names) if name])
    _refuse_any("has no column", [name for name in options.overrides if name not in names])
    columns: dict[Path, _Column] = {}
    unknown, clashing = [], []
    # The user's own first: they replace a column that the mapping takes for the same field.
    for position, name in sorted(enumerate(names), key=lambda it: it[1] not in options.overrides):
        is_added = not name or name in _ADDED
        is_own = name in options.overrides
        if is_added or (name.lower() in options.mapping.dropped and not is_own):
            continue
        mapped = options.mapping.paths.get(name.lower())
        column = _map_column(position, options.overrides.get(name) or mapped or name)
        if column is None:
            unknown.append(name)
        elif column.path not in columns:
            columns[column.path] = column
        elif is_own or mapped is None:
            clashing.append(format_path(column.path))
    _refuse_any("has two columns for", clashing)
    if not options.ignore_unknown:
        _refuse_any(
            "has columns that are not fields of a customer:", unknown, _hint(names, options)
        )
    return sorted(columns.values(), key=lambda it: it.position)


def _hint(names: Sequence[str], options: ColumnOptions) -> str:
    """Tells what to do about unknown columns; names the system whose export this seems to be."""
    if systems := _similar_systems(names, options.mapping):
        looks = f"; it looks like an export of {' or '.join(systems)}: use --mapping {systems[0]}"
        return f"{looks}, --map 'Column=field', or --ignore-unknown"
    if len(names) == 1:
        return " (if another character divides its columns, name it with --delimiter)"
    return " (map them with --map 'Column=field', or skip them with --ignore-unknown)"


def _similar_systems(names: Sequence[str], mapping: ColumnMapping) -> list[str]:
    """Returns the systems that know most columns, if that is half of them and more than now."""
    names = [name for name in names if name and name not in _ADDED]
    known = {
        system: sum(_is_known_to(each, name) for name in names) for system, each in MAPPINGS.items()
    }
    most = max(known.values())
    now = sum(_is_known_to(mapping, name) for name in names)
    if most <= now or most * 2 < len(names):
        return []
    return [system for system, count in known.items() if count == most]


def _is_known_to(mapping: ColumnMapping, name: str) -> bool:
    """Returns whether a column is one of a system, or of the contract if that is the mapping."""
    return mapping.knows(name) or (not mapping.paths and _map_column(0, name) is not None)


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


def parse_value(text: str, kind: CellKind) -> Any:
    """Returns the value that a text of a kind writes. Raises ValueError with what it must be."""
    if kind is CellKind.BOOL:
        word = text.strip().lower()
        if word in _YES or is_true(word):
            return True
        if word in _NO or is_false(word):
            return False
        raise ValueError("must be true or false, yes or no, 1 or 0")
    if kind is CellKind.NUMBER:
        return _parse_number(text)
    if kind is CellKind.JSON:
        try:
            return parse_json(text)
        except ValueError:
            raise ValueError("must be JSON") from None
    return text


def _parse_number(text: str) -> float:
    """Parses a number as JSON writes it, since 1,234 is another one in another language."""
    with suppress(ValueError, OverflowError):
        value = parse_json(text)
        if type(value) in (int, float) and math.isfinite(float(value)):
            return float(value)
    raise ValueError("must be a number such as 12.5")


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
