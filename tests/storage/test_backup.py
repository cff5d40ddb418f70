"""A backup has what the database had at one moment; a restore puts all of it back, or nothing."""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.storage.sqlite_file import backed_up, count_elsewhere, opened, run, spoil_page
from tests.support import forks
from tests.support.builders import customer
from tests.support.server_process import starting, wait_until
from tests.support.stores import FULL, find, insert, stamped
from tests.support.tokens import trust
from twc_customer_server.admin import snapshot
from twc_customer_server.admin.backup import back_up, restore
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import CannotServeError, shut_down_after
from twc_customer_server.storage.migrate import known_migrations
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.store import CustomerStore

# Between two writes of a server, which leave the processor to the backup beside them.
PAUSE_SECONDS = 0.005


def test_backup_and_restore(path: Path, backup: Path) -> None:
    """A restored database has every customer of the backup, found by its keys, and none since."""
    with shut_down_after(Sqlite(path)) as database:
        database.prepare()
        store = CustomerStore(database)
        kept = insert(store, "acme", **FULL)
        gone = insert(store, "acme")
        store.delete("acme", Key.id(gone.id), 1_700_000_000_000)
        contents = back_up(database, backup)
        later = insert(store, "acme")
    result = restore(path, backup)

    assert contents.rows["customer"] == 2
    assert contents.migrations == known_migrations()
    assert (result.contents, result.missing) == (contents, [])
    with opened(path) as store:
        assert store.get("acme", Key.ref("A-1")) == kept.SerializeToString()
        assert [it.id for it in find(store, "acme", {"last_name": "lovelace"})] == [kept.id]
        assert store.get("acme", Key.id(later.id)) is None
    assert result.kept
    with opened(result.kept) as store:
        assert store.get("acme", Key.id(later.id)) == later.SerializeToString()


def test_mode_of_files(path: Path, own: Sqlite, keeper: CustomerStore, backup: Path) -> None:
    """A backup is one file, which only its user may read, and so is what is restored from it."""
    insert(keeper, "acme")
    back_up(own, backup)
    own.shut_down()
    backup.chmod(0o644)
    mode = stat.S_IMODE(path.stat().st_mode)
    restore(path, backup)

    assert [file.name for file in backup.parent.iterdir()] == [backup.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert mode & 0o600


def test_backup_of_busy_database(
    own: Sqlite, keeper: CustomerStore, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup is of the moment at which it began, and done once, however much is written."""
    keeper.insert_each("acme", [stamped(tax_exemptions=["x" * 1000] * 50) for _ in range(200)])
    [[pages]] = own.rows("PRAGMA page_count", {})
    copied: list[int] = []

    @contextmanager
    def written_to(_title: str, _total: int | None) -> Iterator[Callable[[int], None]]:
        def advance(done: int) -> None:
            insert(keeper, "acme")
            copied.append(done)

        yield advance

    monkeypatch.setattr(snapshot, "progress", written_to)
    monkeypatch.setattr(snapshot, "_BATCH_PAGES", 100)
    contents = back_up(own, backup)

    assert contents.rows["customer"] == 200
    assert len(copied) > pages // 100
    assert sum(copied) == pages
    assert count_elsewhere(backup) == 200


def _all_have(made: list[list[str]], least: int) -> bool:
    return all(len(ids) > least for ids in made)


def test_backup_while_servers_write(path: Path, backup: Path) -> None:
    """A backup beside two servers that write is whole, and each server goes on writing."""
    with starting({"data_dir": path.parent}) as start:
        clients = [start().client("acme") for _ in range(2)]
        stopped = threading.Event()
        made: list[list[str]] = [[], []]

        def create(number: int) -> None:
            while not stopped.wait(PAUSE_SECONDS):
                made[number].append(clients[number].create(customer()).id)

        threads = [threading.Thread(target=create, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        backups = []
        try:
            for number in range(3):
                wait_until(partial(_all_have, made, 20 * number))
                before = [len(ids) for ids in made]
                backups.append((before, run(path, "backup", f"{backup}-{number}")))
        finally:
            stopped.set()
            for thread in threads:
                thread.join()
    assert [ended.returncode for _, ended in backups] == [0] * 3
    for number, (before, _) in enumerate(backups):
        with opened(Path(f"{backup}-{number}")) as store:
            for ids, already in zip(made, before, strict=True):
                found = [store.get("acme", Key.id(it)) is not None for it in ids]
                # All that was answered before, and nothing after a customer that is missing.
                assert found == sorted(found, reverse=True)
                assert sum(found) >= already


def test_backup_command(path: Path, keeper: CustomerStore, backup: Path) -> None:
    """The command prints what the backup has, and overwrites a file only with --force."""
    insert(keeper, "acme")
    made = run(path, "backup", str(backup))
    insert(keeper, "acme")
    first = backup.read_bytes()
    refused = run(path, "backup", str(backup))
    kept = backup.read_bytes()
    forced = run(path, "backup", str(backup), "--force")

    assert made.returncode == 0
    assert made.stdout.startswith(f"backed up to {backup}, verified: customer: 1 rows")
    assert "copying pages of customers.db: " in made.stderr
    assert (refused.returncode, kept) == (1, first)
    assert refused.stderr == f"{backup} exists: name another file, or overwrite it with --force\n"
    assert (forced.returncode, count_elsewhere(backup)) == (0, 2)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("nowhere/backup.db", "there is no folder {folder}/nowhere: make it first"),
        (".", "is a folder: name a file in it"),
        ("customers.db", "belongs to the database itself"),
        ("customers.db-wal", "belongs to the database itself"),
        ("../{name}/customers.db", "belongs to the database itself"),
        ("old.db", "old.db-wal is the log of another database"),
    ],
)
def test_place_of_backup(
    path: Path, own: Sqlite, keeper: CustomerStore, file: str, said: str
) -> None:
    """A backup goes neither over the database itself nor beside what would spoil it."""
    insert(keeper, "acme")
    path.with_name("old.db-wal").touch()
    name = path.parent.name
    with pytest.raises(CannotServeError) as refused:
        back_up(own, path.parent / file.format(name=name), force=True)
    assert said.format(folder=path.parent) in str(refused.value)
    assert count_elsewhere(path) == 1


def test_backup_of_nothing(path: Path, backup: Path) -> None:
    """Where there is no database none is made, and so no backup."""
    refused = run(path, "backup", str(backup))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"there is no database {path} to back up: set DATA_DIR")
    assert not path.exists()


def test_backup_of_damaged_database(path: Path, backup: Path) -> None:
    """A database with a damaged page is not backed up, and no part of a copy is left."""
    with opened(path) as store:
        store.insert_each("acme", [stamped() for _ in range(500)])
    spoil_page(path)
    with pytest.raises(CannotServeError, match=r"is damaged \(.*\): use an older backup"):
        backed_up(path, backup)
    assert list(backup.parent.iterdir()) == []


# Runs a command, and dies with its copy beside the place where that would be moved.
DYING = """
import os, sys
from twc_customer_server.__main__ import main
from twc_customer_server.admin import snapshot

snapshot._verify = lambda *_: os._exit(9)
main()
"""


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_killed_command(path: Path, tmp_path: Path, command: str) -> None:
    """What a command that was killed has left is removed by the next one for that place."""
    with opened(path) as store:
        insert(store, "acme")
    backups = tmp_path / "backups"
    backups.mkdir()
    backup = backups / "backup.db"
    other = backups / ".backup.db.old.12345678.partial"
    other.touch()
    if command == "restore":
        backed_up(path, backup)
    folder = path.parent if command == "restore" else backups
    before = {*folder.iterdir()}
    settings = Settings(data_dir=path.parent, **trust())
    died = forks.run(["-c", DYING, command, str(backup)], os.environ | settings.environment())
    left = {*folder.iterdir()} - before
    # As the versions before this one have left them.
    for name in ("", "-journal", "-shm"):
        (
            folder / f".{(path if command == 'restore' else backup).name}.abcdefgh.partial{name}"
        ).touch()
    again = run(path, command, str(backup))

    assert (died.returncode, again.returncode) == (9, 0)
    assert left
    assert not [file for file in folder.iterdir() if "partial" in file.name and file != other]
    assert other.exists()
    assert count_elsewhere(backup) == count_elsewhere(path) == 1


def test_backups_at_once(path: Path, keeper: CustomerStore, backup: Path) -> None:
    """A backup does not remove what another one for the same place writes."""
    insert(keeper, "acme")
    with (
        snapshot.snapshot(path) as source,
        snapshot.verified_copy(source, backup) as first,
        snapshot.verified_copy(source, backup) as second,
    ):
        assert [count_elsewhere(copy.file) for copy in (first, second)] == [1, 1]
    assert list(backup.parent.iterdir()) == []


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_commands_for_postgresql(path: Path, backup: Path, command: str) -> None:
    """With PostgreSQL the commands name those of that."""
    ended = run(path, command, str(backup), DATABASE_URL="postgresql://ada@db.example/customers")
    assert ended.returncode == 1
    assert ended.stderr.startswith("DATABASE_URL is set: use pg_dump and pg_restore")
