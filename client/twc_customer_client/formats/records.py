"""The lines of an input file, and the records that readers make of them."""

import codecs
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, cast

from twc_customer_client.command_errors import InputFileError
from twc_customer_client.formats.encodings import as_utf8, guess_encoding

if TYPE_CHECKING:
    import io

# The longest line, CSV row or JSON item: the largest customer in JSON takes less.
MAX_RECORD_BYTES = 4 * 1024 * 1024


class RejectReason(NamedTuple):
    """Why a record is rejected: a field's JSON path, or `""`, its value, and the broken rule."""

    field: str
    value: str
    reason: str


class Record(NamedTuple):
    """A CSV row or a JSON item.

    `number` increases from record to record, `line` is where the record ends or
    begins in the file, and `end` is its last byte's offset. `original` goes to
    the rejects file; `value` is the customer as JSON, unless there are `reasons`.
    """

    number: int
    line: int
    end: int
    original: Any
    value: Any
    reasons: tuple[RejectReason, ...] = ()


class RecordReader(Protocol):
    """Reads the records of a file."""

    def records(self) -> Iterator[Record]:
        """Reads the file to its end. Raises InputFileError."""


class LineReader:
    """Reads the lines of a file, with or without a byte order mark.

    `number` is the last line's number, and `end` the offset of its end in bytes
    of UTF-8.
    """

    def __init__(self, file: BinaryIO, encoding: str = "utf-8") -> None:
        """`encoding` is a canonical name. Raises InputFileError if the file shows another one."""
        self._encoding = encoding
        self._file = as_utf8(cast("io.BufferedReader", file), encoding)
        self.number = 0
        self.end = 0
        if self._file.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
            self.end = len(self._file.read(len(codecs.BOM_UTF8)))

    def read_bytes(self, limit: int = MAX_RECORD_BYTES) -> bytes:
        """Returns the next line, or the first `limit` bytes of it; empty at the end."""
        chunk = self._file.readline(limit)
        self.end += len(chunk)
        return chunk

    def __iter__(self) -> Iterator[str]:
        """Reads line by line. Raises InputFileError."""
        while line := self.read_bytes():
            self.number += 1
            if len(line) == MAX_RECORD_BYTES and not line.endswith(b"\n"):
                raise InputFileError(self.location, f"is longer than {MAX_RECORD_BYTES >> 20} MiB")
            yield self._decode(line)

    @property
    def location(self) -> str:
        """The last line, for error messages."""
        return f"line {self.number:,}"

    def _decode(self, line: bytes) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            raise InputFileError(self.location, self._problem(line, error.start)) from None

    def _problem(self, line: bytes, place: int) -> str:
        """Tells where a line is not text, and what it seems to be in."""
        if self._encoding != "utf-8":
            return f"is not in {self._encoding}: name the file's own encoding with --encoding"
        guess = guess_encoding(line)
        advice = f"it looks like {guess}: use --encoding {guess}" if guess else "use --encoding"
        found = f"is not UTF-8: byte {place + 1:,} of the line is 0x{line[place]:02x}"
        return f"{found}; {advice}, or save the file as UTF-8"
