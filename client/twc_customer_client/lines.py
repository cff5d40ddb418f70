"""The bytes of a file as lines of text, of bounded length, and how far they have come."""

import codecs
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from twc_customer_client.problems import Refused

if TYPE_CHECKING:
    import io

# What a customer of the largest size may take in JSON, with room to spare.
MAX_BYTES = 4 * 1024 * 1024

_FOREIGN = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class Lines:
    """Lines of a file in UTF-8, with or without a byte order mark.

    `number` is that of the line that was read last, and `end` the number of
    bytes up to its end.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Looks at the first bytes. Raises Refused if they say another encoding."""
        self._file = cast("io.BufferedReader", file)
        self.number = 0
        self.end = 0
        first = self._file.peek(4)
        for mark, name in _FOREIGN.items():
            if first.startswith(mark):
                raise Refused("", f"the file is in {name}: save it as UTF-8")
        if first.startswith(codecs.BOM_UTF8):
            self.end = len(self._file.read(len(codecs.BOM_UTF8)))

    def raw(self, most: int = MAX_BYTES) -> bytes:
        """The next line as bytes, or as many as `most` of it; empty at the end."""
        # A line that goes on counts once.
        piece = self._file.readline(most)
        self.end += len(piece)
        return piece

    def __iter__(self) -> Iterator[str]:
        """Reads line by line. Raises Refused."""
        while piece := self.raw():
            self.number += 1
            if len(piece) == MAX_BYTES and not piece.endswith(b"\n"):
                raise Refused(self.place, f"is longer than {MAX_BYTES >> 20} MiB")
            yield self._decoded(piece)

    @property
    def place(self) -> str:
        """The line that was read last, in words."""
        return f"line {self.number:,}"

    def _decoded(self, piece: bytes) -> str:
        try:
            return piece.decode()
        except UnicodeDecodeError as error:
            byte = piece[error.start]
            raise Refused(
                self.place,
                f"is not UTF-8 (byte 0x{byte:02x}, the {error.start + 1:,}. of the line)",
            ) from None
