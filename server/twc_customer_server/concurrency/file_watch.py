"""Tells when files have changed, as often as somebody looks."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# Of each file the time of its last change, its number and its size; None if it is not there.
Look = list[list[int] | None]


class FileWatch:
    """Files whose contents somebody has read.

    A look is a call of the system for each, so that it works with whatever replaces files:
    programs that write them anew, rename others to them, or change links to their folder.
    """

    def __init__(self, files: Sequence[Path], as_read: Look | None = None) -> None:
        """`as_read` is the look at them before they were read, if that was not just now."""
        self._files = files
        self._last = look_at(files)
        self._read = self._last if as_read is None else as_read

    def has_changed(self) -> bool:
        """Tells, once, whether the files are others than before, and the same at two looks.

        Of a certificate and its key, one is written after the other.
        """
        look = look_at(self._files)
        is_settled, self._last = look == self._last, look
        if not is_settled or look == self._read:
            return False
        self._read = look
        return True


def look_at(files: Sequence[Path]) -> Look:
    """Returns what tells files from what they are later."""
    return [_state(file) for file in files]


def _state(file: Path) -> list[int] | None:
    with suppress(OSError):
        status = file.stat()
        return [status.st_mtime_ns, status.st_ino, status.st_size]
    return None
