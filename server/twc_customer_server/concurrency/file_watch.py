"""Tells when files have changed, as often as somebody looks."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# Of each file the time of its last change, its number and its size; None if it is not there.
_Look = list[tuple[int, int, int] | None]


class FileWatch:
    """Files whose contents somebody has read.

    A look is a call of the system for each, so that it works with whatever replaces files:
    programs that write them anew, rename others to them, or change links to their folder.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._read = self._last = self._look()

    def has_changed(self) -> bool:
        """Tells, once, whether the files are others than before, and the same at two looks.

        Of a certificate and its key, one is written after the other.
        """
        look = self._look()
        is_settled, self._last = look == self._last, look
        if not is_settled or look == self._read:
            return False
        self._read = look
        return True

    def _look(self) -> _Look:
        return [_state(file) for file in self._files]


def _state(file: Path) -> tuple[int, int, int] | None:
    with suppress(OSError):
        status = file.stat()
        return status.st_mtime_ns, status.st_ino, status.st_size
    return None
