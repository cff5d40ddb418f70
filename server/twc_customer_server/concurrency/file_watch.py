"""Tells when files have changed, as often as somebody looks."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# A change that could not be used is told again after this time.
RETRY_SECONDS = 10

# Of each file the times of the last change to what it has and to who may read it, its number and
# its size; None if it is not there.
Look = list[list[int] | None]


class FileWatch:
    """Files whose contents somebody uses.

    A look is a call of the system for each, so that it works with whatever replaces files:
    programs that write them anew, rename others to them, or change links to their folder.
    """

    def __init__(self, files: Sequence[Path], as_read: Look | None = None) -> None:
        """`as_read` is the look at them before they were read, if that was not just now."""
        self._files = files
        self._last = look_at(files)
        self._used = self._told = self._last if as_read is None else as_read
        self._told_at = 0.0
        # Whether what was told last was told before, too.
        self.is_told_again = False

    def has_changed(self) -> bool:
        """Tells whether the files are others than those used, and the same at two looks.

        Of a certificate and its key, one is written after the other. A change is told once, and
        again each RETRY_SECONDS until `note_used`.
        """
        look = look_at(self._files)
        is_settled, self._last = look == self._last, look
        if not is_settled or look == self._used:
            return False
        now, is_told = time.monotonic(), look == self._told
        if is_told and now < self._told_at + RETRY_SECONDS:
            return False
        self._told, self._told_at, self.is_told_again = look, now, is_told
        return True

    def note_used(self) -> None:
        """Notes that somebody uses what the files had when their change was told."""
        self._used = self._told


def look_at(files: Sequence[Path]) -> Look:
    """Returns what tells files from what they are later."""
    return [_state(file) for file in files]


def _state(file: Path) -> list[int] | None:
    with suppress(OSError):
        status = file.stat()
        return [status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size]
    return None
