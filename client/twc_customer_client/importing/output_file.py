"""A file that an import writes, and continues from its checkpoint."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

from twc_customer_client.command_errors import CommandError
from twc_customer_client.files import unwritable

_READ_BYTES = 1 << 20


class Written(NamedTuple):
    """How many bytes an import has written to a file, and a digest of them."""

    size: int = 0
    digest: str = ""


class OutputFile:
    """Appends to a file, which it creates with the first text."""

    def __init__(self, path: Path, written: Written | None, refusal: str) -> None:
        """Continues the import's own file after what was `written`; None starts a new one.

        One that was moved away is started anew. Raises CommandError with the reason `refusal`
        if the file is another import's, or if it was changed meanwhile, or cannot be written.
        """
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None
        if written is None and path.exists() and path.stat().st_size:
            raise CommandError(f"{path} {refusal}")
        try:
            if path.exists():
                self._continue(written or Written())
        except OSError as error:
            raise unwritable(path, error) from None

    @property
    def written(self) -> Written:
        """Returns how much the file has, and the digest of that."""
        return Written(self.size, self._digest.hexdigest() if self.size else "")

    def _continue(self, written: Written) -> None:
        """Removes what follows on what was written. Raises CommandError if that was changed."""
        with self.path.open("rb") as file:
            while part := file.read(min(_READ_BYTES, written.size - self.size)):
                self._digest.update(part)
                self.size += len(part)
        if self.written != written:
            raise CommandError(
                f"{self.path} was changed since the import was interrupted: move it away to keep "
                "it, and repeat the command, which begins a new file"
            )
        os.truncate(self.path, self.size)

    def add(self, text: str) -> None:
        """Writes a text. Raises CommandError."""
        encoded = text.encode(errors="surrogatepass")
        try:
            if self._file is None:
                self._file = self.path.open("ab")
            self._file.write(encoded)
        except OSError as error:
            raise unwritable(self.path, error) from None
        self._digest.update(encoded)
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
