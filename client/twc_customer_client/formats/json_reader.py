"""Reads customers from JSON Lines, or from one JSON array, strictly and in bounded memory."""

import json
import re
from collections.abc import Iterator
from typing import Any

import ijson

from twc_customer_client.command_errors import InputFileError
from twc_customer_client.formats.records import (
    MAX_RECORD_BYTES,
    LineReader,
    Record,
    RejectReason,
)

# The member that a rejects file adds to a customer, and in that the text of a
# record that was not a JSON object.
REJECT_MEMBER = "_reject"
REJECT_TEXT = "text"

_CHUNK_BYTES = 16 * 1024

# Far deeper than any customer; ijson's memory grows with the square of the depth.
_MAX_DEPTH = 200

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING_BRACKETS = frozenset(b"[{")


class JsonLinesReader:
    """Reads a record from each line that is not blank."""

    def __init__(self, lines: LineReader) -> None:
        self._lines = lines

    def records(self) -> Iterator[Record]:
        """Reads line by line; a line that is not JSON is a rejected record."""
        for line in self._lines:
            if line.strip():
                place = (self._lines.number, self._lines.number, self._lines.end)
                yield Record(*place, *_parse_item(line.rstrip("\r\n")))


class JsonArrayReader:
    """Reads a record from each item of one array."""

    def __init__(self, lines: LineReader) -> None:
        """Finds the start of the array. Raises InputFileError if there is none."""
        self._lines = lines
        self._checker = JsonChecker()
        self._item_start = 0
        self._is_new_line = True
        self._first_chunk = self._find_array()

    def records(self) -> Iterator[Record]:
        """Reads item by item. Raises InputFileError where the array is not JSON."""
        number = 0
        items = ijson.items(self, "item", use_float=True, map_type=_Members, buf_size=_CHUNK_BYTES)
        try:
            for number, item in enumerate(items, 1):
                self._item_start = self._lines.end
                yield self._record(number, item)
        except (ijson.JSONError, ValueError) as error:
            # ValueError comes from the checker, and of numbers with too many digits.
            unread = f"no item after item {number:,}" if number else "no item"
            raise InputFileError(
                f"{self._lines.location} (byte {self._lines.end:,})",
                f"is not JSON: {_first_sentence(error)}; {unread} can be read",
            ) from None

    def read(self, size: int) -> bytes:
        """Returns the next line or part of it, as ijson reads a file. Raises InputFileError."""
        if size == 0:
            return b""
        chunk = self._first_chunk or self._next_chunk()
        self._first_chunk = b""
        if self._lines.end - self._item_start > MAX_RECORD_BYTES:
            raise InputFileError(
                self._lines.location, f"is in an item of more than {MAX_RECORD_BYTES >> 20} MiB"
            )
        self._checker.check(chunk)
        return chunk

    def _next_chunk(self) -> bytes:
        chunk = self._lines.read_bytes(_CHUNK_BYTES)
        self._lines.number += bool(chunk) and self._is_new_line
        self._is_new_line = chunk.endswith(b"\n")
        return chunk

    def _record(self, number: int, item: Any) -> Record:
        place = (number, self._lines.number, self._lines.end)
        if name := _repeated_member(item):
            return Record(*place, item, None, (RejectReason(name, "", "appears twice"),))
        return Record(*place, *_without_reject_member(item))

    def _find_array(self) -> bytes:
        chunk = b"\n"
        while chunk and not chunk.strip():
            chunk = self._next_chunk()
        if not chunk.lstrip().startswith(b"["):
            hint = "; for one customer per line use --format jsonl, for CSV --format csv"
            problem = f"the file is not a JSON array: it must begin with [{hint}"
            raise InputFileError("", problem if chunk.strip() else problem.removesuffix(hint))
        return chunk


class JsonChecker:
    """Checks JSON, in chunks, for what ijson does not survive or silently changes."""

    def __init__(self) -> None:
        self._depth = 0
        # The beginning of a string that continues in the next chunk.
        self._open_string = b""

    def check(self, chunk: bytes) -> None:
        """Raises ValueError if the JSON is nested too deeply or has a lone surrogate."""
        text = self._open_string + chunk
        if self._open_string and b'"' not in chunk:
            self._open_string = text
            return
        if rb"\u" in text:
            _check_strings(text)
        bare = _STRING.sub(b"", text)
        start = bare.find(b'"')
        self._open_string = bare[start:] if start >= 0 else b""
        outside = bare[:start] if start >= 0 else bare
        for bracket in outside.translate(None, _ALL_BUT_BRACKETS):
            self._depth += 1 if bracket in _OPENING_BRACKETS else -1
            if self._depth > _MAX_DEPTH:
                raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")


def parse_json(text: str) -> Any:
    """Parses JSON by RFC 8259, without repeated members or deep nesting. Raises ValueError."""
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        JsonChecker().check(text.encode(errors="surrogatepass"))
    return json.loads(text, object_pairs_hook=_unique_members, parse_constant=_refuse_constant)


class _Members(dict[str, Any]):
    """An object that ijson builds, which remembers a repeated member."""

    repeated = ""

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self:
            self.repeated = name
        super().__setitem__(name, value)


def _repeated_member(item: Any) -> str:
    """Returns the name of a member that an object within an item has twice, or `""`."""
    if isinstance(item, _Members) and item.repeated:
        return item.repeated
    inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return next((name for each in inner if (name := _repeated_member(each))), "")


def _parse_item(text: str) -> tuple[Any, Any, tuple[RejectReason, ...]]:
    """Returns a record's original, value and reasons."""
    try:
        item = parse_json(text)
    except ValueError as error:
        return text, None, (RejectReason("", "", f"cannot be read as JSON: {error}"),)
    return _without_reject_member(item)


def _without_reject_member(item: Any) -> tuple[Any, Any, tuple[RejectReason, ...]]:
    """Returns a record's original, value and reasons, without what a rejects file added."""
    if not isinstance(item, dict) or REJECT_MEMBER not in item:
        return item, item, ()
    reject = item[REJECT_MEMBER]
    rest = {name: value for name, value in item.items() if name != REJECT_MEMBER}
    if not rest and isinstance(reject, dict) and isinstance(reject.get(REJECT_TEXT), str):
        # The record was not a JSON object; its text may have been corrected.
        return _parse_item(reject[REJECT_TEXT])
    return rest, rest, ()


def _check_strings(text: bytes) -> None:
    """Raises ValueError if an escape is a lone surrogate, which ijson replaces by a `?`."""
    for string in _STRING.findall(text):
        if rb"\u" in string:
            try:
                json.loads(string).encode()
            except UnicodeEncodeError:
                raise ValueError("it has half of a surrogate pair") from None
            except ValueError:
                continue  # ijson reports it


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has a member twice")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _first_sentence(error: Exception) -> str:
    """Returns ijson's message without the part of the file that it quotes."""
    return str(error).removeprefix("b'").partition("\n")[0].partition("\\n")[0].rstrip(".")
