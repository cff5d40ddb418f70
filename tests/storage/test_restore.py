"""A restore puts a backup in the place of a database that nobody uses, whole or not at all."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.storage.sqlite_file import (
    backed_up,
    connection_of,
    count_elsewhere,
    count_served,
    killed,
    opened,
    run,
    spoil_page,
)
from tests.support import forks
from tests.support.next_release import MIGRATIONS
from tests.support.server_process import starting, wait_until
from tests.support.stores import insert, stamped
from tests.support.tokens import trust
from twc_customer_server.admin.backup import back_up, restore
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage import migrate, sqlite_file, wal
from twc_customer_server.storage.changes import ChangeStore
from twc_customer_server.storage.database import CannotServeError, shut_down_after
from twc_customer_server.storage.migrate import known_migrations
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.store import CustomerStore
from twc_customer_server.storage.wal import log_of

# Opens a database, says so, and keeps it open until it is killed.
READER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1])
other.execute("SELECT count(*) FROM customer").fetchall()
print(flush=True)
input()
"""


@contextmanager
def _served(path: Path) -> Iterator[None]:
    with starting({"data_dir": path.parent}) as start:
        start()
        yield


@contextmanager
def _opened_by_another(path: Path) -> Iterator[None]:
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            READER,
            str(path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield
        process.kill()


@pytest.mark.parametrize("used", [_served, _opened_by_another], ids=["server", "other program"])
def test_restore_in_use(path: Path, backup: Path, used: Callable[..., Any]) -> None:
    """Nothing is restored while any process has the database open, and all is when none has."""
    with shut_down_after(Sqlite(path)) as database:
        database.prepare()
        insert(CustomerStore(database), "acme")
        back_up(database, backup)
        insert(CustomerStore(database), "acme")
    with used(path):
        refused = run(path, "restore", str(backup))
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"{path} is in use: stop the service")
        assert refused.stderr.count("\n") == 1
        assert count_elsewhere(path) == 2
    again = run(path, "restore", str(backup))
    assert again.returncode == 0
    assert again.stdout.startswith(f"restored {path} from {backup}, verified: customer: 1 rows")
    assert again.stdout.endswith("now start the service\n")
    assert count_served(path) == 1


def test_restore_after_crash(path: Path, backup: Path) -> None:
    """The log of a killed process is kept with the old database, and does not meet the new one."""
    killed(path, 3)
    backed_up(path, backup)
    killed(path, 4)
    kept = restore(path, backup).kept

    assert not log_of(path).exists()
    assert count_served(path) == 3
    assert kept
    assert log_of(kept).exists()
    assert count_served(kept) == 7


def test_restore_without_database(path: Path, backup: Path) -> None:
    """A backup is restored into an empty folder, and over what is no database."""
    killed(path, 3)
    backed_up(path, backup)
    folder = path.parent / "new"
    folder.mkdir()
    new = folder / path.name
    assert restore(new, backup).kept is None
    assert count_served(new) == 3
    new.write_text("no database")
    kept = restore(new, backup).kept
    assert kept
    assert kept.read_text() == "no database"
    assert count_served(new) == 3


def _text(backup: Path) -> None:
    backup.write_text("no backup")


def _cut(backup: Path) -> None:
    os.truncate(backup, 8192)


def _foreign(backup: Path) -> None:
    backup.unlink()
    with closing(sqlite3.connect(backup)) as other:
        other.execute("CREATE TABLE invoices (id)")


def _empty(backup: Path) -> None:
    backup.write_bytes(b"")


def _newer(backup: Path) -> None:
    with closing(sqlite3.connect(backup)) as newer:
        newer.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_next', '2030')")
        newer.commit()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (Path.unlink, "there is no backup"),
        (_text, "is not a SQLite database"),
        (_cut, "is damaged"),
        (spoil_page, "is damaged"),
        (_foreign, "is the database of another program, with the table invoices"),
        (_empty, "is an empty database"),
        (_newer, "is newer than this server, which does not know 9999_next"),
    ],
)
def test_unfit_backup(path: Path, backup: Path, spoil: Callable[[Path], object], said: str) -> None:
    """What is no sound backup, or a newer one, is refused, and the database stays as it is."""
    with opened(path) as store:
        store.insert_each("acme", [stamped() for _ in range(500)])
    backed_up(path, backup)
    spoil(backup)
    before = path.read_bytes()
    with pytest.raises(CannotServeError, match=said) as refused:
        restore(path, backup)
    assert str(backup) in str(refused.value)
    assert path.read_bytes() == before
    assert not [file for file in path.parent.iterdir() if "partial" in file.name]


def test_older_backup(path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older backup is restored, and the command says to migrate it before the service starts."""
    folder = path.parent / "first"
    folder.mkdir()
    for name in known_migrations()[:2]:
        shutil.copy(migrate.MIGRATIONS / f"{name}.py", folder)
    with monkeypatch.context() as older:
        older.setattr(migrate, "MIGRATIONS", folder)
        with shut_down_after(Sqlite(path)) as database:
            database.prepare()
            back_up(database, backup)
    said = run(path, "restore", str(backup)).stdout

    assert f"it is older than this server ({', '.join(known_migrations()[2:])} missing)" in said
    assert "run make migrate" in said
    assert run(path, "migrate").returncode == 0
    assert count_served(path) == 0


# Restores a backup, and dies instead of a change of files with a number.
DYING = """
import itertools, os, pathlib, sys
from twc_customer_server.admin.backup import restore

path, backup, number = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
steps = itertools.count(1)

def dying(act):
    def step(*arguments, **options):
        if next(steps) == number:
            os._exit(9)
        act(*arguments, **options)
    return step

os.rename, os.replace, os.unlink = map(dying, (os.rename, os.replace, os.unlink))
restore(path, backup)
"""


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database of 7 customers and the log of a killed process, and its backup."""
    folder = tmp_path_factory.mktemp("crashed")
    killed(folder / "customers.db", 3)
    backed_up(folder / "customers.db", folder / "backup.db")
    killed(folder / "customers.db", 4)
    return folder


@pytest.mark.parametrize("step", range(1, 9))
def test_restore_cut_short(tmp_path: Path, crashed: Path, step: int) -> None:
    """A restore that dies leaves the old database as it was, or is completed by the next start."""
    folder = shutil.copytree(crashed, tmp_path / "own")
    path, backup = folder / "customers.db", folder / "backup.db"
    died = forks.run(["-c", DYING, str(path), str(backup), str(step)], os.environ)
    is_begun = sqlite_file.restored_file(path).exists()
    is_done = died.returncode == 0 or (path.exists() and not log_of(path).exists())

    assert count_served(path) == (3 if is_begun or is_done else 7)
    assert not sqlite_file.restored_file(path).exists()
    if is_begun or is_done:
        [kept] = path.parent.glob("*.replaced-*Z")
        assert count_served(kept) == 7


@pytest.mark.parametrize("command", ["access", "backup"])
def test_command_after_restore_cut_short(path: Path, backup: Path, command: str) -> None:
    """A restore that died before the new file had its name is completed by any command."""
    with opened(path) as store:
        customer = insert(store, "acme")
    path.rename(sqlite_file.restored_file(path))
    arguments = {"access": ["acme", "--id", customer.id], "backup": [str(backup)]}
    done = run(path, command, *arguments[command])

    assert (done.returncode, done.stderr.count("there is no database")) == (0, 0)
    assert count_served(path) == 1


@pytest.mark.parametrize("way", ["command", "by hand", "by hand, and backed up"])
def test_cursors_after_restore(path: Path, backup: Path, way: str) -> None:
    """What counts changes begins anew in a restored database, since changes may be undone."""
    with shut_down_after(Sqlite(path)) as database:
        database.prepare()
        insert(CustomerStore(database), "acme")
        before = ChangeStore(database).settle("acme")
        back_up(database, backup)
    if way == "command":
        restore(path, backup)
    else:
        shutil.copy(backup, path)
    if way.endswith("backed up"):
        backed_up(path, path.with_name("another.db"))
    epochs = []
    for _ in range(2):
        with shut_down_after(Sqlite(path)) as database:
            database.prepare()
            epochs.append(ChangeStore(database).settle("acme").epoch)

    assert epochs[0] != before.epoch
    assert epochs[0] == epochs[1]


def test_cursors_after_restart(path: Path) -> None:
    """A database that was closed, killed, backed up or migrated goes on counting changes."""
    epochs = set()
    for end in (None, "killed", "backed up", "migrated"):
        with shut_down_after(Sqlite(path)) as database:
            database.prepare()
            insert(CustomerStore(database), "acme")
            epochs.add(ChangeStore(database).settle("acme").epoch)
        if end in ("killed", "backed up"):
            killed(path, 1)
        if end == "backed up":
            backed_up(path, path.with_name("backup.db"))
        if end == "migrated":
            run(path, "migrate")
    assert len(epochs) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "127.0.0.1:0"], "is older than this server"),
        (["access", "acme", "--ref", "A-1"], "is older than this server"),
        (["migrate"], "interrupted"),
    ],
)
@pytest.mark.parametrize("is_killed", [True, False], ids=["killed before", "closed before"])
def test_cursors_after_failure(
    path: Path, arguments: list[str], said: str, *, is_killed: bool
) -> None:
    """A database goes on counting changes after commands that were refused or interrupted."""
    folder = shutil.copytree(migrate.MIGRATIONS, path.with_name("migrations"))
    interrupted = "atomic = False\ndef up(migrator, db):\n    raise KeyboardInterrupt"
    folder.joinpath("9999_next.py").write_text(interrupted)
    epochs = []
    for has_failed in (False, True):
        if has_failed:
            ended = run(
                path, *arguments, program="tests.support.next_release", **{MIGRATIONS: str(folder)}
            )
            assert (ended.returncode, said in ended.stderr) == (1, True)
        with shut_down_after(Sqlite(path)) as database:
            database.prepare()
            insert(CustomerStore(database), "acme")
            epochs.append(ChangeStore(database).settle("acme").epoch)
        if is_killed:
            killed(path, 1)
    assert epochs[0] == epochs[1]


def test_log_of_closed_database(path: Path, backup: Path) -> None:
    """A database that was closed after any command is one file, which may be copied by hand."""
    for command in (["migrate"], ["backup", str(backup)], ["access", "acme", "--ref", "A-1"]):
        assert run(path, *command).returncode == 0
        assert not log_of(path).exists()


def test_interrupted_backup(path: Path, backup: Path) -> None:
    """A backup that is told to end leaves no part of a copy behind."""
    with opened(path) as store:
        store.insert_each("acme", [stamped(tax_exemptions=["x" * 1000] * 100) for _ in range(300)])
    settings = Settings(data_dir=path.parent, **trust())
    with subprocess.Popen(
        [sys.executable, "-m", "twc_customer_server", "backup", str(backup)],
        env=os.environ | settings.environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: any(backup.parent.iterdir()))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    left = [file.name for file in backup.parent.iterdir()]

    # It may have been faster.
    assert (process.returncode, left) in [(1, []), (0, [backup.name])]
    assert "Traceback" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root restores for another user")
def test_owner_after_restore(path: Path, backup: Path) -> None:
    """What root restores into another user's folder is that user's, to the last file."""
    with shut_down_after(Sqlite(path)) as database:
        database.prepare()
        back_up(database, backup)
    folder = path.parent / "restored"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    restore(folder / "customers.db", backup)
    backed_up(folder / "customers.db", path.with_name("again.db"))
    assert {file.name: file.stat().st_uid for file in folder.iterdir()} == {
        "customers.db": 12345,
        "customers.db.lock": 12345,
    }


@pytest.mark.parametrize("ended", [False, True], ids=["one process", "after another has ended"])
def test_killed_after_checkpoint_beside_a_reader(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ended: bool
) -> None:
    """What a reader kept a checkpoint from copying is served after a kill, by the same cursors."""
    with shut_down_after(Sqlite(path)) as database, closing(sqlite3.connect(path)) as reader:
        database.prepare()
        store = CustomerStore(database)
        insert(store, "acme")
        monkeypatch.setattr(wal, "_LOOK_SECONDS", 3600)
        if ended:
            with opened(path):
                pass
        insert(store, "acme")
        before = ChangeStore(database).settle("acme")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM customer").fetchone()
        insert(store, "acme")
        with database.opening():
            wal.checkpoint(connection_of(database))
        shutil.copytree(path.parent, tmp_path / "killed", ignore=lambda *_: ["killed"])
    killed_file = tmp_path / "killed" / path.name
    assert count_served(killed_file) == 3
    with shut_down_after(Sqlite(killed_file)) as database:
        database.prepare()
        assert ChangeStore(database).settle("acme").epoch == before.epoch
