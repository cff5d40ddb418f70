"""Copies a SQLite database as of one moment into a new file, and verifies that file."""

import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from twc_customer_server.admin.progress import progress
from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.storage.migrate import HISTORY
from twc_customer_server.storage.sqlite_errors import explained
from twc_customer_server.storage.sqlite_file import TABLES, require_own_tables
from twc_customer_server.storage.wal import mark_copy, open_to_read

# Pages that are copied at a time.
_BATCH_PAGES = 1000

# The ends of the names of a copy while it is written: of its lock, and after that of itself.
_PARTIAL = ".partial"
_COPY = "-copy"

# SQLite's instructions between two looks at the clock.
_CHECK_INSTRUCTIONS = 100_000


class Contents(NamedTuple):
    """Lists the migrations of a database, and the number of rows of each table."""

    migrations: list[str]
    rows: dict[str, int]

    def __str__(self) -> str:
        return ", ".join(f"{table}: {rows:,} rows" for table, rows in self.rows.items())


class Snapshot(NamedTuple):
    """A database that is read as of one moment."""

    file: Path
    connection: sqlite3.Connection


class Copy(NamedTuple):
    """A verified copy of a database."""

    file: Path
    contents: Contents


@contextmanager
def snapshot(file: Path, *, is_immutable: bool = False) -> Iterator[Snapshot]:
    """Opens a database with its log to read it as of this moment; neither is changed.

    Nobody may write to one that is said to be immutable, which needs no file beside it. Raises
    CannotServeError, also instead of the driver's errors.
    """
    with explained(file), closing(open_to_read(file, is_immutable=is_immutable)) as connection:
        # Otherwise a copy would begin anew whenever another process has written.
        connection.execute("BEGIN")
        connection.execute(TABLES).fetchone()
        yield Snapshot(file, connection)


@contextmanager
def verified_copy(source: Snapshot, place: Path) -> Iterator[Copy]:
    """Copies a database into a new file beside a place, where the file may then be moved.

    It is on disk and has no log. What is not moved is removed, if this process is killed by the
    next copy for the place. Raises CannotServeError if the copy is not sound.
    """
    with _partial(place) as partial:
        contents = _contents(source.file, source.connection)
        with closing(sqlite3.connect(partial, isolation_level=None)) as target:
            _copy(source, target, place)
            _verify(source.file, target)
            if _contents(source.file, target) != contents:
                raise CannotServeError(f"the copy of {source.file} differs from it: try again")
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        yield Copy(partial, contents)


@contextmanager
def _partial(place: Path) -> Iterator[Path]:
    """Yields a new file beside a place; the lock of another one says that it is being written."""
    with explained(place):
        _remove_left(place)
        descriptor, lock = _new_lock(place)
    try:
        # Apart from what is locked: in a folder of the network that might keep SQLite from it.
        file = lock.with_name(lock.name + _COPY)
        with explained(place):
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield file
    finally:
        _remove(lock)
        os.close(descriptor)


def _new_lock(place: Path) -> tuple[int, Path]:
    while True:
        descriptor, name = tempfile.mkstemp(_PARTIAL, f".{place.name}.", place.parent)
        # A folder of the network may have no locks; nobody removes anything there.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Another process may have taken it for what was left, before it was locked.
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)


def _remove_left(place: Path) -> None:
    """Removes what killed processes have left beside a place."""
    start = f".{place.name}."
    for file in place.parent.iterdir():
        chosen = file.name.removeprefix(start).removesuffix(_PARTIAL)
        if file.name == start + chosen + _PARTIAL and "." not in chosen:
            # It is in use, gone meanwhile, or another user's.
            with suppress(OSError), open(file, "r+b", opener=_open_itself) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(file)


def _open_itself(name: str, how: int) -> int:
    # A link may lead to a database, whose locks would end when it is closed again.
    return os.open(name, how | os.O_NOFOLLOW)


def _remove(lock: Path) -> None:
    # Former versions had no file apart. The lock goes last, so that what it stands for is found.
    for name in (lock.name + _COPY, lock.name):
        for end in ("-journal", "-wal", "-shm", ""):
            lock.with_name(name + end).unlink(missing_ok=True)


def _contents(file: Path, database: sqlite3.Connection) -> Contents:
    tables = [name for (name,) in database.execute(TABLES)]
    if not tables:
        raise CannotServeError(f"{file} is an empty database")
    require_own_tables(file, tables)
    history = database.execute(f"SELECT name FROM {HISTORY} ORDER BY name")  # noqa: S608
    rows = {}
    for table in tables:
        if table != HISTORY:
            [[rows[table]]] = database.execute(f'SELECT count(*) FROM "{table}"')  # noqa: S608
    return Contents([name for (name,) in history], rows)


def _copy(source: Snapshot, target: sqlite3.Connection, place: Path) -> None:
    """Copies all pages. Raises CannotServeError if there is no room for them."""
    [[pages]] = source.connection.execute("PRAGMA page_count")
    left = pages
    try:
        with progress(f"copying pages of {source.file.name}", pages) as advance:

            def report(_status: int, remaining: int, _total: int) -> None:
                nonlocal left
                advance(left - remaining)
                left = remaining

            # Nobody relies on the file before it is whole.
            target.execute("PRAGMA synchronous = off")
            source.connection.backup(target, pages=_BATCH_PAGES, progress=report)
        target.execute("PRAGMA journal_mode = delete").fetchone()
        mark_copy(target)
    except sqlite3.OperationalError as error:
        raise CannotServeError(f"a copy cannot be written to {place.parent}: {error}") from error


def _verify(file: Path, copy: sqlite3.Connection) -> None:
    """Checks every page and index of the copy of a file."""
    with progress(f"checking the copy of {file.name}", None) as advance:
        copy.set_progress_handler(lambda: advance(0), _CHECK_INSTRUCTIONS)
        [[problem]] = copy.execute("PRAGMA integrity_check(1)")
        copy.set_progress_handler(None, 0)
    if problem != "ok":
        # The first line names the database, which is always the same.
        place = problem.splitlines()[-1]
        raise CannotServeError(f"{file} is damaged ({place}): use an older backup")
