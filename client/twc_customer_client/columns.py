"""The columns of a CSV file as places in a customer's JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from twc_customer_client import cells, paths
from twc_customer_client.json_guard import loads
from twc_customer_client.mappings import NamedColumns
from twc_customer_client.paths import Path
from twc_customer_client.problems import Reason, Refused

# What a rejects file adds to each row.
REJECT_COLUMNS = ("reject_line", "reject_field", "reject_value", "reject_reason")

_YES = {"true", "yes", "1"}
_NO = {"false", "no", "0"}


class Rules(NamedTuple):
    """How columns are mapped: those the user named, those of a ready mapping, and the rest."""

    given: Mapping[str, str]
    ready: NamedColumns
    ignore_unknown: bool


class _Column(NamedTuple):
    place: int
    path: Path
    kind: str


class Columns:
    """Reads rows under one header."""

    def __init__(self, header: Sequence[str], rules: Rules) -> None:
        """Maps each column. Raises Refused if one is not known, or is there twice."""
        names = [cells.unguard(name).strip() for name in header]
        self._quotes_digits = rules.ready.quotes_digits
        self._columns = list(_mapped(names, rules))
        self.header = header
        self.width = len(names)

    def read(self, row: Sequence[str]) -> tuple[dict[str, Any], tuple[Reason, ...]]:
        """A row as the JSON of a customer, without what its empty cells would say."""
        tree: dict[Any, Any] = {}
        reasons = []
        for column in self._columns:
            if cell := row[column.place]:
                text = self._text(cell)
                try:
                    _put(tree, column.path, _value(text, column.kind))
                except ValueError as error:
                    reasons.append(Reason(paths.text_of(column.path), text, str(error)))
        return _listed(tree), tuple(reasons)

    def _text(self, cell: str) -> str:
        if self._quotes_digits and cell[0] == "'" and cell[1:2].isdigit():
            return cell[1:]
        return cells.unguard(cell)


def _mapped(names: Sequence[str], rules: Rules) -> Iterator[_Column]:
    _refuse_any("has two columns", [name for name, found in Counter(names).items() if found > 1])
    _refuse_any("has no column", [name for name in rules.given if name not in names])
    unknown, taken = [], Counter[Path]()
    for place, name in enumerate(names):
        if name in REJECT_COLUMNS:
            continue
        column = _column(place, rules.given.get(name) or rules.ready.paths.get(name.lower(), name))
        if column is None:
            unknown.append(name)
        else:
            taken[column.path] += 1
            yield column
    _refuse_any(
        "has two columns for", [paths.text_of(it) for it, found in taken.items() if found > 1]
    )
    if not rules.ignore_unknown:
        hint = " (give them fields by --map 'Column=field', or use --ignore-unknown)"
        _refuse_any("has columns that are no field of a customer:", unknown, hint)


def _column(place: int, text: str) -> _Column | None:
    try:
        path = paths.spelled(paths.CUSTOMER, paths.parse(text))
        return _Column(place, path, kind_of(path))
    except ValueError:
        return None


def kind_of(path: Path) -> str:
    """How a cell says what is at a path: text, bool, or json. Raises ValueError if none can."""
    field = paths.field_at(paths.CUSTOMER, path)
    if paths.is_whole(field, path) or _is_message(field):
        return "json"
    return "bool" if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else "text"


def _is_message(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.full_name != Timestamp.DESCRIPTOR.full_name


def _value(text: str, kind: str) -> Any:
    if kind == "bool":
        if text.strip().lower() in _YES:
            return True
        if text.strip().lower() in _NO:
            return False
        raise ValueError("must be true or false, yes or no, 1 or 0")
    if kind == "json":
        try:
            return loads(text)
        except ValueError:
            raise ValueError("must be JSON") from None
    return text


def _put(tree: dict[Any, Any], path: Path, value: Any) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
        if not isinstance(tree, dict):
            raise ValueError("is within what another column gives as a whole")  # noqa: TRY004
    tree[path[-1]] = value


def _listed(tree: Any) -> Any:
    """Makes lists of what has places for keys; places that are empty are closed up."""
    if not isinstance(tree, dict):
        return tree
    if tree and all(isinstance(key, int) for key in tree):
        return [_listed(tree[place]) for place in sorted(tree)]
    return {key: _listed(value) for key, value in tree.items()}


def _refuse_any(what: str, names: Sequence[str], hint: str = "") -> None:
    if names:
        listed = ", ".join(json.dumps(name, ensure_ascii=False) for name in names)
        raise Refused("the header", f"{what} {listed}{hint}")
