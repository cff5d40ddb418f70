"""Customers in JSON: a line each, or the items of one array."""

from collections.abc import Iterator
from typing import Any

import ijson

from twc_customer_client.json_guard import JsonGuard, loads
from twc_customer_client.lines import MAX_BYTES, Lines
from twc_customer_client.problems import Reason, Refused
from twc_customer_client.records import Record

# What a rejects file adds to a customer, and where it keeps what was no JSON.
REJECT = "_reject"
TEXT = "text"

_PIECE_BYTES = 16 * 1024


class JsonLines:
    """A customer in each line that is not blank."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def records(self) -> Iterator[Record]:
        """Reads line by line; a line that is no JSON is a record with the reason why."""
        for line in self._lines:
            if line.strip():
                yield self._record(line)

    def _record(self, line: str) -> Record:
        place = (self._lines.number, self._lines.number, self._lines.end)
        return Record(*place, *_read(line.rstrip("\r\n")))


class JsonArray:
    """A customer in each item of one array."""

    def __init__(self, lines: Lines) -> None:
        """Looks for the beginning of the array. Raises Refused if there is none."""
        self._lines = lines
        self._guard = JsonGuard()
        self._item_began = 0
        self._is_new_line = True
        self._first = self._beginning()

    def records(self) -> Iterator[Record]:
        """Reads item by item. Raises Refused where the array can be read no further."""
        number = 0
        items = ijson.items(self, "item", use_float=True, map_type=_Members, buf_size=_PIECE_BYTES)
        try:
            for number, item in enumerate(items, 1):
                self._item_began = self._lines.end
                yield self._record(number, item)
        except (ijson.JSONError, ValueError) as error:
            # Among the latter are the guard's, and that of a number of many digits.
            raise Refused(
                f"{self._lines.place} (byte {self._lines.end:,})",
                f"is not JSON: {_words(error)}. No item after the {number:,}. can be read",
            ) from None

    def read(self, size: int) -> bytes:
        """The next line, or a part of it: what ijson reads by. Raises Refused."""
        if size == 0:
            return b""
        piece = self._first or self._piece()
        self._first = b""
        if self._lines.end - self._item_began > MAX_BYTES:
            raise Refused(self._lines.place, f"has an item of over {MAX_BYTES >> 20} MiB")
        self._guard.check(piece)
        return piece

    def _piece(self) -> bytes:
        piece = self._lines.raw(_PIECE_BYTES)
        self._lines.number += bool(piece) and self._is_new_line
        self._is_new_line = piece.endswith(b"\n")
        return piece

    def _record(self, number: int, item: Any) -> Record:
        place = (number, self._lines.number, self._lines.end)
        if twice := _twice(item):
            return Record(*place, item, None, (Reason(twice, "", "is there twice"),))
        return Record(*place, *_uncommented(item))

    def _beginning(self) -> bytes:
        piece = b"\n"
        while piece and not piece.strip():
            piece = self._piece()
        if not piece.lstrip().startswith(b"["):
            hint = "; customers a line each are --format jsonl" if piece.strip() else ""
            raise Refused("", f"the file does not begin with [, which begins a JSON array{hint}")
        return piece


class _Members(dict[str, Any]):
    """An object as ijson builds it, which remembers a member that came twice."""

    twice = ""

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self:
            self.twice = name
        super().__setitem__(name, value)


def _twice(item: Any) -> str:
    """The name of a member that an object has twice, somewhere in an item."""
    if isinstance(item, _Members) and item.twice:
        return item.twice
    inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return next((name for each in inner if (name := _twice(each))), "")


def _read(text: str) -> tuple[Any, Any, tuple[Reason, ...]]:
    """What a text says as JSON: the original, the customer in it, and why there is none."""
    try:
        item = loads(text)
    except ValueError as error:
        return text, None, (_no_json(error),)
    return _uncommented(item)


def _uncommented(item: Any) -> tuple[Any, Any, tuple[Reason, ...]]:
    """An item without what a rejects file added, as `_read` says it."""
    if not isinstance(item, dict) or REJECT not in item:
        return item, item, ()
    comment = item[REJECT]
    rest = {name: value for name, value in item.items() if name != REJECT}
    if not rest and isinstance(comment, dict) and isinstance(comment.get(TEXT), str):
        # It was no JSON: the text may be by now.
        return _read(comment[TEXT])
    return rest, rest, ()


def _no_json(error: ValueError) -> Reason:
    return Reason("", "", f"cannot be read as JSON: {error}")


def _words(error: Exception) -> str:
    """What ijson says, without the piece of the file that it quotes."""
    return str(error).removeprefix("b'").partition("\n")[0].partition("\\n")[0].rstrip(".")
