"""The folder of a service that runs: its configuration, with private keys, which ends with it."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twc_customer_server.concurrency.folder_lock import locked

_PREFIX = "twc-"

# Is in a folder, until all else is removed, of which the service that made it has the lock
# until it ends.
_MARKER = "of-supervisor"


@contextmanager
def run_folder() -> Iterator[Path]:
    """Makes a folder for a `with` block, and removes those of services that were killed."""
    _remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        # Locked, so that neither another start removes it nor systemd-tmpfiles, for its age.
        with locked(folder):
            (folder / _MARKER).touch(mode=0o600)
            yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Removes a folder that `run_folder` has made, or what of it can be removed."""
    with suppress(OSError), _opened(folder) as descriptor:
        _remove(folder, descriptor)


def _remove_abandoned(parent: Path) -> None:
    """Removes the folders of this user's services that ended without doing so."""
    for folder in parent.glob(f"{_PREFIX}*"):
        # It is another user's, or nobody's any more.
        with suppress(OSError), _opened(folder) as descriptor:
            if _is_abandoned(descriptor):
                _remove(folder, descriptor)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Opens a folder, but no link to one, for a `with` block. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_abandoned(descriptor: int) -> bool:
    """Tells whether a folder was made by a service of this user that has ended; locks it then."""
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) != stat.S_IRWXU:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        marker = os.stat(_MARKER, dir_fd=descriptor, follow_symlinks=False)
    except (BlockingIOError, FileNotFoundError):
        return False
    return stat.S_ISREG(marker.st_mode) and marker.st_uid == os.geteuid()


def _remove(folder: Path, descriptor: int) -> None:
    # The marker last: who finds a part of the folder can go on.
    for name in sorted(os.listdir(descriptor), key=lambda name: name == _MARKER):
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(name, dir_fd=descriptor)
        else:
            os.unlink(name, dir_fd=descriptor)
    folder.rmdir()
