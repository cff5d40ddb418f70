"""The SQLite file and what lies beside it: refused where it is not sound, replaced by a restore.

Nothing here relies on what the file holds, since it may be anything.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.storage.migrate import HISTORY
from twc_customer_server.storage.sqlite_errors import RESTORE, explained, rights
from twc_customer_server.storage.wal import Log, log_of, mark_of, read_file

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"

# Bytes of a database that SQLite locks: each process that has it open, in WAL mode, shares them.
_LOCKED_FROM = 0x40000002
_LOCKED_BYTES = 510


def require_rights(path: Path) -> None:
    """Raises CannotServeError if this user may not write a database, or its disk is read-only."""
    for needed in (path.parent, path):
        if needed.exists() and not os.access(needed, os.R_OK | os.W_OK):
            raise CannotServeError(f"{needed} cannot be read and written: {rights(path)}")


def require_sound(path: Path) -> None:
    """Raises CannotServeError if a file is no database of this service, or has another's log.

    It may be missing or empty. The caller keeps other processes from writing.
    """
    if path.exists() and not path.is_file():
        raise CannotServeError(f"{path} is not a file: move it away, or set another DATA_DIR")
    with explained(path):
        file_bytes = path.stat().st_size if path.exists() else 0
        log = Log.read(path)
        if log is None:
            if file_bytes:
                require_own_tables(path, [name for (name,) in read_file(path, TABLES)])
        elif not file_bytes:
            raise CannotServeError(
                f"{path} is {'empty' if path.exists() else 'missing'}, while {log_of(path)} has "
                f"changes of a database: put that back, or {RESTORE}"
            )
        elif not log.belongs_to(mark_of(path)) and not log.is_in_file():
            raise CannotServeError(
                f"{log_of(path)} was not written for {path}, over which another file was "
                f"probably copied: move {log_of(path).name} and {path.name}-shm away to serve "
                f"{path.name} as it is, or {RESTORE}"
            )
        elif not log.completes(file_bytes):
            raise CannotServeError(f"{path} is damaged (it was cut short): {RESTORE}")


def require_own_tables(path: Path, tables: Sequence[str]) -> None:
    """Raises CannotServeError if a database has tables, and they are of another program."""
    if tables and HISTORY not in tables:
        raise CannotServeError(
            f"{path} is the database of another program, with the table {tables[0]}: move it "
            "away, or set another DATA_DIR"
        )


def open_lock(path: Path) -> TextIO:
    """Opens the file beside a database whose lock gives the turn to write.

    If root makes it, it is that of the database's owner, as whom the service runs.
    """
    file, how = path.with_name(path.name + ".lock"), os.O_WRONLY | os.O_APPEND
    try:
        descriptor = os.open(file, how | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        # Root does not follow where another user leads.
        descriptor = os.open(file, how | os.O_NOFOLLOW)
    else:
        if os.geteuid() == 0:
            owner = (path if path.exists() else path.parent).stat()
            # A folder of the network may not have it.
            with suppress(OSError):
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return os.fdopen(descriptor, "a")


@contextmanager
def unused(path: Path) -> Iterator[None]:
    """Keeps every other process from a database. Raises CannotServeError if one has it open."""
    with ExitStack() as held:
        with explained(path):
            turn = held.enter_context(open_lock(path))
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists():
                    file = held.enter_context(path.open("r+b"))
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCKED_BYTES, _LOCKED_FROM)
            except BlockingIOError as error:
                raise CannotServeError(
                    f"{path} is in use: stop the service, and all else that has it open, then "
                    "try again"
                ) from error
        yield


def restored_file(path: Path) -> Path:
    """Returns where a complete file waits to become a database: see `complete_restore`."""
    return path.with_name(path.name + ".restored")


def require_database(path: Path, purpose: str) -> None:
    """Raises CannotServeError if there is no database, nor one that the next start completes."""
    if not path.exists() and not restored_file(path).exists():
        raise CannotServeError(f"there is no database {path} {purpose}: set DATA_DIR to its folder")


def complete_restore(path: Path) -> Path | None:
    """Puts a restored file, if there is one, in the place of a database, which is kept beside it.

    Returns where that is kept. Nobody else uses the database. If it is interrupted it is
    completed when run again, which every start does: so the new file never meets the old log.
    """
    restored = restored_file(path)
    if not restored.exists():
        return None
    time = datetime.fromtimestamp(restored.stat().st_mtime, UTC)
    kept = path.with_name(f"{path.name}.replaced-{time:%Y%m%dT%H%M%S.%fZ}")
    for suffix in ("", "-wal", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(f"{kept}{suffix}")
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    restored.rename(path)
    sync_folder(path.parent)
    return kept if kept.exists() else None


def sync_folder(folder: Path) -> None:
    """Has the names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
