"""Files of commands: what is said of one that cannot be used, and how one is replaced."""

import io
import os
import stat
import sys
from pathlib import Path
from typing import IO, Any

from twc_customer_client.command_errors import CommandError

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, flock


def unreadable(
    path: Path | str, error: OSError | UnicodeDecodeError, next_step: str = ""
) -> CommandError:
    """Returns the error of a command that cannot read a file."""
    reason = (error.strerror if isinstance(error, OSError) else "") or "it is not text"
    return CommandError(
        f"{path} cannot be read: {reason}", next_step or "name a file that you may read"
    )


def unwritable(path: Path | str, error: OSError) -> CommandError:
    """Returns the error of a command that cannot write a file."""
    return CommandError(
        f"{path} cannot be written: {error.strerror}",
        "see to the folder, its permissions and its free space, or name another file",
    )


def is_regular(file: IO[Any]) -> bool:
    """Tells whether an open file is on a disk, and no device, pipe or terminal."""
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def lock(file: IO[Any], path: Path) -> bool:
    """Keeps an open file for this process until it is closed; returns whether it is the only one.

    It is so as well where the disk, as some of networks, has no locks for it.
    """
    if sys.platform == "win32" or not is_regular(file):
        return True
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    # The process that had the lock until now may have removed or replaced the file.
    return is_at(path, file)


def is_at(path: Path, file: IO[Any]) -> bool:
    """Tells whether a path names an open file, which may have been moved or removed meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False


def sync_to_disk(file: IO[Any]) -> None:
    """Flushes a file, to the disk if it is on one. Raises OSError."""
    file.flush()
    if is_regular(file):
        os.fsync(file.fileno())


def sync_output() -> None:
    """Flushes standard output, to the disk if it goes to a file. Raises OSError."""
    try:
        sync_to_disk(sys.stdout)
    except io.UnsupportedOperation:
        # Another program, which runs the command within itself, has replaced it.
        sys.stdout.flush()


def replace_durably(path: Path, text: str) -> None:
    """Replaces the content of a file, so that it has either even if power fails.

    Raises CommandError.
    """
    new = path.with_name(path.name + ".new")
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None
