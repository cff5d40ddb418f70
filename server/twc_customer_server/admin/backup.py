"""Backs up a SQLite database in use into a file, and restores it from one."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from twc_customer_server.admin.snapshot import Contents, snapshot, verified_copy
from twc_customer_server.storage import sqlite_file
from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.storage.migrate import beyond, known_migrations
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.wal import log_of

# The ends of the names of the files that belong to a database.
_BESIDE = ("", "-wal", "-shm", "-journal", ".lock", ".restored")


class Restored(NamedTuple):
    """Names what was restored, the migrations that it lacks, and where the former one is kept."""

    contents: Contents
    missing: list[str]
    kept: Path | None


def back_up(database: Sqlite, file: Path, *, force: bool = False) -> Contents:
    """Copies a database, which may be in use, as of this moment into a file, and verifies that.

    Raises CannotServeError, also if the file exists, unless `force` is given.
    """
    sqlite_file.require_database(database.path, "to back up")
    _require_place(database.path, file, force=force)
    with ExitStack() as held:
        with database.opening():
            source = held.enter_context(snapshot(database.path))
        copy = held.enter_context(verified_copy(source, file))
        # It may have come meanwhile.
        _require_place(database.path, file, force=force)
        copy.file.replace(file)
        sqlite_file.sync_folder(file.parent)
    return copy.contents


def restore(path: Path, file: Path) -> Restored:
    """Puts a verified copy of a backup in the place of a database, which is kept beside it.

    Raises CannotServeError, also if a process has the database open.
    """
    if not file.is_file():
        raise CannotServeError(f"there is no backup {file}")
    if path.exists() and path.samefile(file):
        raise CannotServeError(f"{file} is the database itself: name a backup")
    with sqlite_file.unused(path):
        sqlite_file.require_sound(file)
        with (
            snapshot(file, is_immutable=not log_of(file).exists()) as source,
            verified_copy(source, path) as copy,
        ):
            missing = _missing_migrations(file, copy.contents)
            if os.geteuid() == 0:
                # The service may run as another user.
                owner = path.parent.stat()
                os.chown(copy.file, owner.st_uid, owner.st_gid)
            copy.file.replace(sqlite_file.restored_file(path))
            sqlite_file.sync_folder(path.parent)
        kept = sqlite_file.complete_restore(path)
    return Restored(copy.contents, missing, kept)


def _require_place(path: Path, file: Path, *, force: bool) -> None:
    """Raises CannotServeError if a backup of a database cannot be made in a file."""
    if not file.parent.is_dir():
        raise CannotServeError(f"there is no folder {file.parent}: make it first")
    if file.is_dir():
        raise CannotServeError(f"{file} is a folder: name a file in it")
    if file.resolve() in {path.resolve().with_name(path.name + end) for end in _BESIDE}:
        raise CannotServeError(f"{file} belongs to the database itself: name another file")
    if log_of(file).exists():
        raise CannotServeError(
            f"{log_of(file)} is the log of another database: name another file, or move it away"
        )
    if file.exists() and not force:
        raise CannotServeError(f"{file} exists: name another file, or overwrite it with --force")


def _missing_migrations(file: Path, contents: Contents) -> list[str]:
    """Returns the migrations that a backup lacks. Raises CannotServeError if it is newer."""
    if unknown := beyond(contents.migrations):
        raise CannotServeError(
            f"{file} is newer than this server, which does not know {', '.join(unknown)}: "
            "restore it with the version that made it, or a newer one"
        )
    return [name for name in known_migrations() if name not in contents.migrations]
