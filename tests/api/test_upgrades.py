"""Upgrades while calls are under way: two releases serve one database."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support import builders, forks, next_release
from tests.support.client import SECONDS, Client
from tests.support.concurrency import in_background
from tests.support.server_process import Start, wait_until
from tests.support.tokens import trust
from twc_customer_server.databases import open_database
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import shut_down_after
from twc_customer_server.storage.migrate import MIGRATIONS, known_migrations

NOW = int(known_migrations()[-1].partition("_")[0])

# The next release adds a column, the one after that drops what is not needed any more.
EXPAND = f"{NOW + 1:04}_note_since_{NOW:04}"
CONTRACT = f"{NOW + 2:04}_no_note_since_{NOW + 1:04}"
SCRIPTS = {
    EXPAND: """
from peewee import TextField
from twc_customer_server.storage import online

atomic = False


def up(migrator, db):
    online.add_columns(migrator, db, "customer", note=TextField(null=True))
    online.change_each_range(
        db,
        "customer",
        ("tenant", "id"),
        lambda rows, bounds: db.execute_sql("UPDATE customer SET note = id WHERE " + rows, bounds),
        rows=20,
    )
    online.create_index(db, "customer_note", "customer (tenant, note, id)")
""",
    CONTRACT: """
from twc_customer_server.storage import online

atomic = False


def up(migrator, db):
    online.drop_indexes(db, "customer_note")
""",
}

# Between two rounds of a client, so that the calls leave the machine to what they go on during.
_PAUSE_SECONDS = 0.1


@pytest.fixture
def releases(tmp_path: Path) -> dict[str, Path]:
    """The migrations of the next release and of the one after it, by the last one's name."""
    folders = {}
    for at, name in enumerate(SCRIPTS):
        folders[name] = tmp_path / name
        shutil.copytree(MIGRATIONS, folders[name])
        for script in [*SCRIPTS][: at + 1]:
            folders[name].joinpath(f"{script}.py").write_text(SCRIPTS[script])
    return folders


def _options(folder: Path) -> dict[str, Any]:
    """How a server of a later release is started."""
    return {"program": next_release.__name__, next_release.MIGRATIONS: str(folder)}


def _migrate(database: dict[str, Any], folder: Path) -> str:
    settings = Settings(**database, **trust()).environment()
    variables = os.environ | settings | {next_release.MIGRATIONS: str(folder)}
    ended = forks.run(["-m", next_release.__name__, "migrate"], variables)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@contextmanager
def _calling(*clients: Client) -> Iterator[Callable[[], int]]:
    """Has clients call all the time, and none of their calls fail; yields the number of rounds."""
    stopped = threading.Event()
    rounds: list[str] = []

    def call(client: Client) -> None:
        while not stopped.wait(_PAUSE_SECONDS):
            created = client.create(builders.customer())
            client.update(Customer(id=created.id, last_name="King"))
            client.upload([builders.customer(), builders.customer()])
            assert client.get(created.id).last_name == "King"
            client.list_page(pb.ListCustomersRequest())
            client.changes()
            client.delete(created.id)
            rounds.append(created.id)

    working = in_background([partial(call, client) for client in clients])
    try:
        yield lambda: len(rounds)
    finally:
        stopped.set()
        for work in working:
            work.result(SECONDS)


def _refusal(start: Start, **options: Any) -> str:
    """What a server says that refuses to start."""
    server = start(wait=False, **options)
    assert server.process.wait(SECONDS) == 1
    return server.log()


def test_two_releases(
    own_database: dict[str, Any], start: Start, releases: dict[str, Path]
) -> None:
    """A release serves the schema of the next one, before, during and after its migration."""
    old = start()
    for _ in range(20):
        old.client("acme").upload([builders.customer() for _ in range(10)])
    assert f"{EXPAND} missing" in _refusal(start, **_options(releases[EXPAND]))

    with _calling(old.client("acme"), old.client("other")) as rounds:
        assert _migrate(own_database, releases[EXPAND]) == f"migrated: {EXPAND}\n"
        new, restarted = start(**_options(releases[EXPAND])), start()
        before = rounds()
        with _calling(new.client("acme"), restarted.client("acme")) as later_rounds:
            wait_until(lambda: rounds() > before and later_rounds() > 1)
            created = new.client("acme").create(builders.customer())
            assert old.client("acme").get(created.id) == created
            assert restarted.client("acme").get(created.id) == created


def test_two_releases_later(
    own_database: dict[str, Any], start: Start, releases: dict[str, Path]
) -> None:
    """What a release drops, the one before it does not need, and the one before that refuses."""
    settings = Settings(**own_database, **trust())
    with shut_down_after(open_database(settings)) as database:
        database.prepare()
    _migrate(own_database, releases[EXPAND])
    next_one = start(**_options(releases[EXPAND]))
    with _calling(next_one.client("acme")) as rounds:
        _migrate(own_database, releases[CONTRACT])
        restarted = start(**_options(releases[EXPAND]))
        wait_until(lambda: rounds() > 1)
    assert restarted.client("acme").list_page(pb.ListCustomersRequest()).customers
    assert f"does not know {CONTRACT}" in _refusal(start)
