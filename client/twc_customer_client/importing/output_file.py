"""A file that an import writes, and continues from its checkpoint."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from twc_customer_client.command_errors import CommandError
from twc_customer_client.files import is_at, is_regular, lock, sync_to_disk, unwritable

_READ_BYTES = 1 << 20


class Written(NamedTuple):
    """How many bytes an import has written to a file, and a digest of them."""

    size: int = 0
    digest: str = ""


class OutputFile:
    """Appends to a file, which no other process may do meanwhile."""

    def __init__(self, path: Path, written: Written | None, refusal: str) -> None:
        """Finds the import's own file after what was `written`; None starts a new one.

        One that was moved away is started anew. Raises CommandError with the reason `refusal`
        if the file is another import's, or if it was changed meanwhile, or cannot be written.
        """
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()
        self._is_new = not path.exists()
        try:
            # Unbuffered, so that nothing is left that a full disk did not take.
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise unwritable(path, error) from None
        try:
            self._find_end(written, refusal)
        except BaseException:
            self.close()
            raise

    @property
    def written(self) -> Written:
        """Returns how much the file has, and the digest of that."""
        return Written(self.size, self._digest.hexdigest() if self.size else "")

    def begin(self) -> None:
        """Removes what follows on what was written. Raises CommandError."""
        try:
            if is_regular(self._file):
                self._file.truncate(self.size)
        except OSError as error:
            raise unwritable(self.path, error) from None

    def add(self, text: str) -> None:
        """Writes a text. Raises CommandError."""
        encoded = text.encode(errors="surrogatepass")
        rest = memoryview(encoded)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise unwritable(self.path, error) from None
        self._digest.update(encoded)
        self.size += len(encoded)

    def sync(self) -> None:
        """Flushes the file to disk. Raises CommandError."""
        try:
            sync_to_disk(self._file)
        except OSError as error:
            raise unwritable(self.path, error) from None

    def discard(self) -> None:
        """Removes all that the import has written. Raises CommandError."""
        self.size, self._digest = 0, hashlib.sha256()
        self.begin()
        self.sync()

    def close(self) -> None:
        """Closes the file, and removes one that the import has made and written nothing to."""
        with self._file as file:
            is_empty = is_regular(file) and not os.fstat(file.fileno()).st_size
            if self._is_new and is_empty and is_at(self.path, file):
                self.path.unlink()

    def _find_end(self, written: Written | None, refusal: str) -> None:
        """Reads what was written. Raises CommandError if the file is not as it was left."""
        is_only = lock(self._file, self.path)
        # Not before: another process may have written until it left the file.
        size = os.fstat(self._file.fileno()).st_size
        if size and written is None:
            raise CommandError(f"{self.path} {refusal}")
        if not is_only:
            raise CommandError(
                f"{self.path} is being written by another process",
                "wait until that has ended, or name another file",
            )
        if written and written.size and size:
            self._continue(written)
        # An earlier run has left it before it wrote anything.
        self._is_new = self._is_new or (written is not None and not size)

    def _continue(self, written: Written) -> None:
        try:
            with self.path.open("rb") as file:
                while part := file.read(min(_READ_BYTES, written.size - self.size)):
                    self._digest.update(part)
                    self.size += len(part)
        except OSError as error:
            raise unwritable(self.path, error) from None
        if self.written != written:
            raise CommandError(
                f"{self.path} was changed since the import was interrupted: move it away to keep "
                "it, and repeat the command, which begins a new file"
            )
