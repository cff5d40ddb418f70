"""A file that an import writes, and continues from its checkpoint."""

import os
from pathlib import Path
from typing import BinaryIO

from twc_customer_client.command_errors import CommandError
from twc_customer_client.files import unwritable


class OutputFile:
    """Appends to a file, which it creates with the first text."""

    def __init__(self, path: Path, size: int | None, refusal: str) -> None:
        """Continues the import's own file after `size` bytes; None starts a new one.

        Raises CommandError with the reason `refusal` if the file is another import's, or if it
        cannot be written.
        """
        self.path = path
        self.size = size or 0
        self._file: BinaryIO | None = None
        if size is None and path.exists() and path.stat().st_size:
            raise CommandError(f"{path} {refusal}")
        try:
            if path.exists():
                os.truncate(path, self.size)
        except OSError as error:
            raise unwritable(path, error) from None

    def add(self, text: str) -> None:
        """Writes a text. Raises CommandError."""
        encoded = text.encode(errors="surrogatepass")
        try:
            if self._file is None:
                self._file = self.path.open("ab")
            self._file.write(encoded)
        except OSError as error:
            raise unwritable(self.path, error) from None
        self.size += len(encoded)

    def sync(self) -> None:
        """Flushes the file to disk."""
        if self._file:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flushes the file to disk and closes it."""
        if self._file:
            self.sync()
            self._file.close()
