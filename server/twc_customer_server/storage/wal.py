"""The write-ahead log (WAL) of a SQLite file: whose it is, and when it is time to shorten it.

SQLite applies the log that lies beside a database to whatever file is there: a backup that is
copied over a database would get pages of the one before. So the file and its log are marked, in
the header's `user_version`, of which the log has its own: a checkpoint gives the file a new mark,
and the log that begins after it the negative of that. A copy that SQLite makes of a database in
use has the log's mark, so that it is known as a copy. So has the file after a checkpoint by
another program, such as one that replicates it, until this service marks file and log anew.
"""

import os
import secrets
import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

# Frames after which a checkpoint is due; with fewer of them, pages that change often are
# written less often. While readers keep a log from being begun anew, it is tried at every step.
_DUE_FRAMES = 4000
_STEP_FRAMES = 1000

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_MAGIC = (0x377F0682, 0x377F0683)
_FIRST_PAGE = 1
_USER_VERSION = slice(60, 64)
_MAX_MARK = (1 << 31) - 1

# Time between two looks for checkpoints by other programs.
_LOOK_SECONDS = 1


def log_of(path: Path) -> Path:
    """Returns where SQLite has the log of a database."""
    return path.with_name(path.name + "-wal")


def checkpoint(connection: sqlite3.Connection, *, more_follows: bool = True) -> None:
    """Copies the log into the file, under a new mark; the caller keeps others from writing.

    After any failure, and without `more_follows`, the log still belongs to the file.
    """
    [(current,)] = connection.execute("PRAGMA user_version").fetchall()
    if current >= 0:
        # The log was begun after a process had ended, without a mark. It gets that of the file,
        # to which it belongs until all of it is copied, for which readers may have to end.
        connection.execute(f"PRAGMA user_version = {current}")
    mark = 1 + secrets.randbelow(_MAX_MARK)
    connection.execute(f"PRAGMA user_version = {mark}")
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    if more_follows:
        # The first frame of the log, so that each log has a mark.
        connection.execute(f"PRAGMA user_version = {-mark}")


def read_file(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Runs a query on a file, whatever its log has."""
    # SQLite opens and closes the file: another descriptor that is closed would end its locks.
    with closing(open_to_read(path, is_immutable=True)) as file:
        return file.execute(query).fetchall()


def open_to_read(path: Path, *, is_immutable: bool = False) -> sqlite3.Connection:
    """Opens a database with its log, which stays when this is the last connection to close.

    Of one that is said to be immutable, the file alone is read, and nothing is locked.
    """
    option = "immutable=1" if is_immutable else "mode=ro"
    uri = f"{path.absolute().as_uri()}?{option}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def mark_of(path: Path) -> int:
    """Returns the mark of a file; 0 if it has none yet."""
    with closing(open_to_read(path, is_immutable=True)) as file:
        # While a checkpoint writes it, the file is shorter than its first page says. That is
        # damage, unless SQLite is told that one may want to repair it.
        file.execute("PRAGMA writable_schema = ON")
        return int(file.execute("PRAGMA user_version").fetchall()[0][0])


def is_copy(path: Path) -> bool:
    """Tells whether a file is a copy, of a database in use or one that `mark_copy` has marked."""
    return mark_of(path) < 0


def mark_copy(connection: sqlite3.Connection) -> None:
    """Marks the file of a connection as a copy."""
    connection.execute("PRAGMA user_version = -1")


class Log(NamedTuple):
    """Tells what the log of a database holds."""

    path: Path
    page_bytes: int
    # Where it has the last version of each page, and the number of pages of the database.
    places: dict[int, int]
    page_count: int
    marks: set[int]

    @classmethod
    def read(cls, path: Path) -> "Log | None":
        """Reads the log of a database, or returns None if it holds nothing. Raises OSError."""
        try:
            log = log_of(path).open("rb")
        except FileNotFoundError:
            return None
        with log:
            header = log.read(_HEADER_BYTES)
            if len(header) < _HEADER_BYTES or _number(header, 0) not in _MAGIC:
                return None
            found = cls(path, _number(header, 8), {}, 0, set())
            if not _is_whole(header, log.read(_FRAME_HEADER_BYTES + found.page_bytes)):
                return None
            log.seek(_HEADER_BYTES)
            # Without a commit nothing counts.
            uncommitted: dict[int, int] = {}
            while len(frame := log.read(_FRAME_HEADER_BYTES)) == _FRAME_HEADER_BYTES:
                if frame[8:16] != header[16:24]:
                    break
                uncommitted[_number(frame, 0)] = log.tell()
                page = log.read(found.page_bytes)
                if _number(frame, 0) == _FIRST_PAGE:
                    found.marks.add(_mark(page))
                if page_count := _number(frame, 4):
                    found = found._replace(page_count=page_count)
                    found.places.update(uncommitted)
                    uncommitted.clear()
        return found if found.page_count else None

    def belongs_to(self, mark: int) -> bool:
        """Tells whether it is the log of a file with a mark.

        A log without the first page was begun between two marks of a database in use.
        """
        return not self.marks or (mark >= 0 and not self.marks.isdisjoint((mark, -mark)))

    def completes(self, file_bytes: int) -> bool:
        """Tells whether file and log together have every page of the database."""
        in_file = file_bytes // self.page_bytes
        return self.places.keys() >= {*range(in_file + 1, self.page_count + 1)}

    def is_in_file(self) -> bool:
        """Tells whether the file has all of the log, as after another program's checkpoint."""
        # It stays open: a descriptor of the file that is closed would end SQLite's locks.
        file = os.open(self.path, os.O_RDONLY)
        with log_of(self.path).open("rb") as log:
            return all(
                os.pread(file, self.page_bytes, (page - 1) * self.page_bytes)
                == os.pread(log.fileno(), self.page_bytes, place)
                for page, place in self.places.items()
                if page <= self.page_count
            )


class LogLength:
    """Tells when a checkpoint of an open database is due."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = log_of(path).open("rb")
        self._due_frames = _DUE_FRAMES
        self._next_look = 0.0

    def is_due(self) -> bool:
        """Tells whether the log is so long, or lacks a mark of its own, that it is time for one."""
        return self._is_long() or self._is_unmarked()

    def note_checkpoint(self) -> None:
        """Puts off the next checkpoint if readers still keep the log from being begun anew."""
        self._due_frames = _DUE_FRAMES
        while self._is_long():
            self._due_frames += _STEP_FRAMES

    def close(self) -> None:
        """Closes the log."""
        self._log.close()

    def _is_unmarked(self) -> bool:
        """Looks now and then whether others have changed the mark of the file or of the log.

        A program that made a checkpoint has given the file the mark of the log; the log that
        follows on a process's end has none.
        """
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK_SECONDS
        return is_copy(self._path) or self._begins_without_mark()

    def _begins_without_mark(self) -> bool:
        """Tells whether the first frame of the log is another one than `checkpoint` writes."""
        size = _HEADER_BYTES + _FRAME_HEADER_BYTES + _USER_VERSION.stop
        header = os.pread(self._log.fileno(), size, 0)
        frame = header[_HEADER_BYTES:]
        if len(header) < size or frame[8:16] != header[16:24]:
            return False
        return _number(frame, 0) != _FIRST_PAGE or _mark(frame[_FRAME_HEADER_BYTES:]) >= 0

    def _is_long(self) -> bool:
        header = os.pread(self._log.fileno(), _HEADER_BYTES, 0)
        if len(header) < _HEADER_BYTES:
            return False
        frame_bytes = _FRAME_HEADER_BYTES + _number(header, 8)
        place = _HEADER_BYTES + (self._due_frames - 1) * frame_bytes
        # Frames of former logs may follow, with other salts.
        return os.pread(self._log.fileno(), 8, place + 8) == header[16:24]


def _is_whole(header: bytes, frame: bytes) -> bool:
    """Tells whether all of the first frame of a log was written, by its checksum.

    See sqlite.org/fileformat2.html, section 4.2.
    """
    order = ">" if _number(header, 0) & 1 else "<"
    first, second = 0, 0
    for part in (header[:24], frame[:8], frame[_FRAME_HEADER_BYTES:]):
        if len(part) % 8:
            return False
        for one, two in struct.iter_unpack(f"{order}II", part):
            first = (first + one + second) & 0xFFFFFFFF
            second = (second + two + first) & 0xFFFFFFFF
    return frame[16:_FRAME_HEADER_BYTES] == struct.pack(">II", first, second)


def _mark(page: bytes) -> int:
    return int.from_bytes(page[_USER_VERSION], signed=True)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4])
