"""The lines of an input file, and the records that readers make of them."""

import codecs
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, cast

from twc_customer_client.errors import InputFileError

if TYPE_CHECKING:
    import io

# The longest line, CSV row or JSON item: the largest customer in JSON takes less.
MAX_RECORD_BYTES = 4 * 1024 * 1024

_UNSUPPORTED_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


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
    """Reads the lines of a UTF-8 file, with or without a byte order mark.

    `number` is the last line's number, and `end` the offset of its end in bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Checks the byte order mark. Raises InputFileError if it is another encoding's."""
        self._file = cast("io.BufferedReader", file)
        self.number = 0
        self.end = 0
        start = self._file.peek(4)
        for mark, name in _UNSUPPORTED_ENCODINGS.items():
            if start.startswith(mark):
                raise InputFileError("", f"the file is in {name}: save it as UTF-8")
        if start.startswith(codecs.BOM_UTF8):
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
            raise InputFileError(
                self.location,
                f"is not UTF-8: byte {error.start + 1:,} of the line is 0x{line[error.start]:02x}",
            ) from None
