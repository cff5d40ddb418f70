"""The errors of SQLite: what operators and callers are told instead, and what damage leads to."""

import errno
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee

from twc_customer_server.errors import DatabaseDamaged, Unavailable
from twc_customer_server.storage.database import CannotServeError

RESTORE = "restore a backup with: python -m twc_customer_server restore FILE"

# What the driver raises, and Peewee instead of it.
ERRORS = (sqlite3.Error, peewee.PeeweeException)

_log = logging.getLogger(__name__)


class ErrorsInUse:
    """Turns the errors of a database in use into those of the service, and remembers damage."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Nothing is written any more then: a restore would undo it.
        self.is_damaged = False

    def translate(self, error: Exception, message: str) -> Exception:
        """Returns the error that callers get, or the same if it says nothing about the database.

        Unavailable gets the message.
        """
        if is_damage(error):
            if not self.is_damaged:
                self.is_damaged = True
                _log.critical(
                    "%s is damaged (%s); it is not written to any more: stop the service and %s",
                    self._path,
                    error,
                    RESTORE,
                )
            return DatabaseDamaged()
        if isinstance(error, (peewee.OperationalError, sqlite3.OperationalError)):
            return Unavailable(message)
        return error


def is_damage(error: Exception) -> bool:
    """Tells whether an error says that the file is damaged."""
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raises CannotServeError, with what to do, instead of errors of a database that is opened."""
    try:
        yield
    except ERRORS as error:
        raise CannotServeError(_explanation(path, _first(error))) from error
    except OSError as error:
        file = error.filename or path
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise CannotServeError(_no_room(file, error.strerror)) from error
        raise CannotServeError(
            f"{file} cannot be opened ({error.strerror}): {rights(path)}"
        ) from error


def _first(error: Exception) -> BaseException:
    """Returns the error of SQLite from which another one follows, or the same if there is none.

    On a full disk SQLite rolls back by itself, so that the rollback that is tried then fails.
    """
    found: BaseException | None = error
    while found and _code(found) in {0, sqlite3.SQLITE_ERROR}:
        found = found.__context__
    return found or error


def _no_room(file: object, said: object) -> str:
    return f"{file} cannot be written ({said}): make room on its disk"


def _explanation(path: Path, error: BaseException) -> str:
    match _code(error):
        case sqlite3.SQLITE_NOTADB:
            return f"{path} is not a SQLite database, or is encrypted: {RESTORE}"
        case sqlite3.SQLITE_CORRUPT:
            return f"{path} is damaged ({error}): {RESTORE}"
        case sqlite3.SQLITE_BUSY:
            return f"{path} is locked by another process ({error}): end that, then try again"
        case sqlite3.SQLITE_FULL:
            return _no_room(path, error)
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return f"{path} cannot be opened ({error}): {rights(path)}"
        case code:
            reason = ": its disk is full, or fails" if code == sqlite3.SQLITE_IOERR else ""
            return f"{path} cannot be used ({error}){reason}"


def rights(path: Path) -> str:
    """Returns what a user must be able to do with a database, for a message."""
    return f"this user must be able to read and write {path.parent} and the files in it"


def _code(error: BaseException) -> int:
    """Returns SQLite's primary result code of an error, or 0."""
    # Peewee's errors have the driver's.
    code: int = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0)
    return code & 0xFF
