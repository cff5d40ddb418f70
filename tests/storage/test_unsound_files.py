"""A file that is no sound database of the service is refused in a line, and is not changed."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.storage.sqlite_file import count_elsewhere, count_served, killed, opened, run
from tests.support.stores import insert
from twc_customer_server.storage.database import CannotServeError, shut_down_after
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.store import CustomerStore
from twc_customer_server.storage.wal import checkpoint, is_copy, log_of

RESTORE = "python -m twc_customer_server restore FILE"


def stored(path: Path, customers: int = 20) -> Path:
    """Stores customers of acme in a database, which is then closed."""
    with opened(path) as store:
        for _ in range(customers):
            insert(store, "acme")
    return path


def refusal(path: Path) -> str:
    """Why a server does not open a database."""
    with shut_down_after(Sqlite(path)) as database:
        with pytest.raises(CannotServeError) as refused:
            database.prepare()
        return str(refused.value)


def _overwrite(path: Path, data: bytes, at: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def _half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE invoices (id)")


def _other_history(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE customer (id)")


UNSOUND: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("hello, world\n" * 2000), "is not a SQLite database"),
    "short text": (lambda path: path.write_text("hello"), "is not a SQLite database"),
    "encrypted": (lambda path: _overwrite(path, os.urandom(100)), "is not a SQLite database"),
    "zeros": (lambda path: path.write_bytes(bytes(8192)), "is not a SQLite database"),
    "half": (_half, "is damaged (database disk image is malformed)"),
    "part of a page": (lambda path: os.truncate(path, 3000), "is damaged"),
    "part of the header": (lambda path: os.truncate(path, 50), "is"),
    "tables overwritten": (lambda path: _overwrite(path, bytes(2000), 100), "is damaged"),
    "folder": (_folder, "is not a file: move it away"),
    "another program's": (_foreign, "is the database of another program, with the table invoices"),
    "with a table of that name": (_other_history, "is the database of another program"),
}


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


@pytest.mark.parametrize(("spoil", "said"), UNSOUND.values(), ids=UNSOUND)
def test_unsound_file(path: Path, spoil: Callable[[Path], object], said: str) -> None:
    """What is no database of the service is refused by its path, with what to do, and kept."""
    spoil(stored(path))
    before = _content(path)
    refused = refusal(path)

    assert refused.startswith(f"{path} {said}")
    assert RESTORE in refused or "another DATA_DIR" in refused
    assert "\n" not in refused
    assert _content(path) == before


@pytest.mark.parametrize("command", ["serve", "migrate", "copy", "backup"])
@pytest.mark.parametrize("spoil", [_half, _folder])
def test_commands(command: str, spoil: Callable[[Path], object], path: Path) -> None:
    """Every command refuses such a file in one line, and ends with status 1."""
    spoil(stored(path))
    arguments = {"serve": ["127.0.0.1:0"], "backup": [str(path.with_name("backup.db"))]}
    url = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"} if command == "copy" else {}
    ended = run(path, command, *arguments.get(command, []), **url)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{path} ")
    assert ended.stderr.count("\n") == 1
    assert not path.with_name("backup.db").exists()


# Prints why a user without rights cannot open a database.
OPEN_WITHOUT_RIGHTS = """
import os, pathlib, sys
from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.storage.sqlite import Sqlite

os.setgid(65534)
os.setuid(65534)
try:
    Sqlite(pathlib.Path(sys.argv[1])).prepare()
except CannotServeError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without rights")
@pytest.mark.parametrize("target", ["customers.db", "."], ids=["file", "folder"])
def test_rights(target: str) -> None:
    """A file, or a folder, in which its user may not write is refused with what is needed."""
    # That of the test can be reached by its own user only.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        path = stored(Path(folder) / "customers.db")
        modes = {".": 0o777, "customers.db": 0o666, "customers.db.lock": 0o666}
        for name, mode in (modes | {target: 0o755}).items():
            (path.parent / name).chmod(mode)
        ended = subprocess.run(
            [sys.executable, "-c", OPEN_WITHOUT_RIGHTS, str(path)],
            check=True,
            capture_output=True,
            text=True,
        )

    assert ended.stdout.startswith(str(path.parent))
    assert "this user must be able to read and write" in ended.stdout


@pytest.mark.parametrize("is_there", [True, False], ids=["empty", "missing"])
def test_log_without_database(path: Path, is_there: bool) -> None:  # noqa: FBT001
    """A log whose database is gone is refused, where SQLite would delete it."""
    killed(path, 3)
    path.unlink()
    if is_there:
        path.touch()
    log = log_of(path).read_bytes()
    refused = refusal(path)

    assert refused.startswith(f"{path} is {'empty' if is_there else 'missing'}, while {path}-wal")
    assert log_of(path).read_bytes() == log


def test_empty_file(path: Path) -> None:
    """An empty file without a log is a database that is yet to be created."""
    path.touch()
    assert count_served(path) == 0


def test_cut_file_with_log(path: Path) -> None:
    """A file that was cut short is damaged, though its log has the first pages."""
    stored(path, 200)
    killed(path, 2)
    _half(path)
    refused = refusal(path)

    assert refused.startswith(f"{path} is damaged")
    assert RESTORE in refused


def test_killed_process(path: Path) -> None:
    """What a killed process has committed is in the log, and is served."""
    for number in range(1, 4):
        killed(path, 5)
        assert log_of(path).stat().st_size > 0
        assert count_elsewhere(path) == 5 * number
    assert count_served(path) == 15


def test_killed_checkpoint(path: Path, tmp_path: Path) -> None:
    """A file that a checkpoint has begun to let grow is served with its log, which has the rest."""
    with shut_down_after(Sqlite(path)) as database:
        database.prepare()
        store = CustomerStore(database)
        for _ in range(200):
            insert(store, "acme")
        before = path.stat().st_size
        checkpoint(database.connection(), more_follows=False)
        crash = _crashed(path, tmp_path)
    assert crash.stat().st_size > before
    os.truncate(crash, before + 100)
    assert count_served(crash) == 200


def test_killed_migration_of_empty_database(path: Path, tmp_path: Path) -> None:
    """A new database is served if the process was killed before its first checkpoint was done."""
    with (
        shut_down_after(Sqlite(path)) as database,
        closing(sqlite3.connect(path, isolation_level=None)) as reader,
    ):
        with database.opening():
            pass
        # It keeps checkpoints from the file.
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM sqlite_master").fetchall() == [(0,)]
        database.migrate()
        crash = _crashed(path, tmp_path)
    assert count_served(crash) == 0


def test_file_that_cannot_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at the file that fails, as for want of descriptors, does not end the writing."""
    looks = []

    def refuse(*_: object, **__: object) -> None:
        looks.append(1)
        raise sqlite3.OperationalError("unable to open database file")

    with opened(path) as store:
        monkeypatch.setattr("twc_customer_server.storage.wal._LOOK_SECONDS", 0)
        with monkeypatch.context() as failing:
            failing.setattr("twc_customer_server.storage.wal.open_to_read", refuse)
            for _ in range(3):
                insert(store, "acme")
    assert looks
    assert count_served(path) == 3


def test_torn_log(path: Path, tmp_path: Path) -> None:
    """A log of which not even the first frame was written whole holds nothing."""
    stored(path, 20)
    with shut_down_after(Sqlite(path)) as database:
        database.prepare()
        crash = _crashed(path, tmp_path)
    header_and_frame_header = 32 + 24
    os.truncate(log_of(crash), header_and_frame_header)
    assert count_served(crash) == 20


def _backup(path: Path, copy: Path) -> None:
    assert run(path, "backup", str(copy)).returncode == 0


def _with_sqlite(path: Path, copy: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _vacuum(path: Path, copy: Path) -> None:
    with closing(sqlite3.connect(path)) as source:
        source.execute(f"VACUUM INTO '{copy}'")


def _crashed(path: Path, folder: Path) -> Path:
    """A database in use as it would be if its process was killed now."""
    crash = folder / "crash"
    crash.mkdir()
    for name in (path.name, f"{path.name}-wal"):
        shutil.copy(folder / name, crash)
    return crash / path.name


LIVE_COPIES = {"backup": _backup, "of SQLite": _with_sqlite, "VACUUM INTO": _vacuum}


@pytest.mark.parametrize("copy_to", LIVE_COPIES.values(), ids=LIVE_COPIES)
def test_copy_over_database_in_use(
    path: Path, tmp_path: Path, copy_to: Callable[[Path, Path], None]
) -> None:
    """A backup of a database in use that is copied over it, beside its log, is refused."""
    copy = tmp_path / "copy.db"
    with shut_down_after(Sqlite(path)) as database:
        database.prepare()
        store = CustomerStore(database)
        for _ in range(10):
            insert(store, "acme")
        copy_to(path, copy)
        insert(store, "acme")
        crash = _crashed(path, tmp_path)
    assert served_copy(crash) == 11
    shutil.copy(copy, crash)

    assert_log_refused(crash)
    log_of(crash).unlink()
    assert count_served(crash) == 10


@pytest.mark.parametrize("is_written", [False, True], ids=["nothing later", "writes later"])
def test_checkpoint_by_other_program(
    path: Path,
    tmp_path: Path,
    is_written: bool,  # noqa: FBT001
) -> None:
    """A log that another program has copied into the file is not taken for another's."""
    customers = 1
    with shut_down_after(Sqlite(path)) as database:
        database.prepare()
        store = CustomerStore(database)
        insert(store, "acme")
        with closing(sqlite3.connect(path)) as other:
            [state] = other.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        assert state[0] == 0
        assert is_copy(path)
        # Fewer than fill a log.
        while is_written and is_copy(path) and customers < 100:
            # Of the first page, as when the file grows: it has the mark of the log before.
            database.write(lambda: database.rows("PRAGMA application_id = 1", {}))
            insert(store, "acme")
            customers += 1
            time.sleep(0.05)
        assert is_copy(path) != is_written
        crash = _crashed(path, tmp_path)
    assert count_served(crash) == customers


def served_copy(path: Path) -> int:
    """The number of customers of a database with its log, both copied before they are opened."""
    folder = path.parent / "opened"
    shutil.copytree(path.parent, folder)
    return count_served(folder / path.name)


def assert_log_refused(path: Path) -> None:
    """The log beside a file is said to be of another, and both stay as they are."""
    before = path.read_bytes(), log_of(path).read_bytes()
    refused = refusal(path)
    assert refused.startswith(f"{path}-wal was not written for {path}")
    assert f"move {path.name}-wal and {path.name}-shm away" in refused
    assert RESTORE in refused
    assert (path.read_bytes(), log_of(path).read_bytes()) == before


def test_copy_of_closed_database(path: Path, tmp_path: Path) -> None:
    """A copy of the file while no process used it is not taken for the file of a later log."""
    copy = shutil.copy(stored(path, 10), tmp_path / "copy.db")
    killed(path, 5)
    shutil.copy(copy, path)
    assert_log_refused(path)


def test_renamed_copy(path: Path, tmp_path: Path) -> None:
    """A copy that takes the place of the file, with its times, is refused all the same."""
    copy = shutil.copy2(stored(path, 10), tmp_path / "copy.db")
    killed(path, 5)
    Path(copy).replace(path)
    assert_log_refused(path)


def test_copy_of_older_version(path: Path, tmp_path: Path) -> None:
    """A file of a version that left no marks is refused beside a marked log."""
    copy = tmp_path / "copy.db"
    shutil.copy(stored(path, 10), copy)
    with closing(sqlite3.connect(copy)) as older:
        older.execute("PRAGMA user_version = 0")
    killed(path, 5)
    shutil.copy(copy, path)
    assert_log_refused(path)


def test_log_of_other_database(path: Path, tmp_path: Path) -> None:
    """The log of another database of the service is refused."""
    other = tmp_path / "other"
    other.mkdir()
    killed(other / path.name, 5)
    stored(path, 5)
    shutil.copy(log_of(other / path.name), log_of(path))
    assert_log_refused(path)


def test_log_of_other_program(path: Path, tmp_path: Path) -> None:
    """The log of another program's database is refused."""
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE invoices (id)")
        stored(path, 5)
        shutil.copy(f"{other}-wal", log_of(path))
    assert_log_refused(path)


def test_unmarked_database(path: Path) -> None:
    """A database whose killed process was of a version that left no marks is served, and marked."""
    stored(path, 10)
    script = (
        "import os, sqlite3, sys; connection = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "connection.execute('PRAGMA user_version = 0');"
        "connection.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall();"
        'connection.execute("DELETE FROM customer WHERE id = (SELECT min(id) FROM customer)");'
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert count_served(path) == 9
    killed(path, 1)
    assert count_served(path) == 10
