"""The databases that the tests of this folder run on: each backend, or SQLite for its own tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.backends import Backend, Opener
from tests.support.tokens import trust
from twc_customer_server.databases import open_database
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.store import CustomerStore


def _opener(chosen: dict[str, Any]) -> Opener:
    settings = Settings(**chosen, **trust())
    return lambda: open_database(settings)


@pytest.fixture(scope="session")
def database(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database that the tests share; each keeps to its own tenant."""
    settings = backend.settings(tmp_path_factory.mktemp("storage"))
    backend.distribute(settings)
    database = _opener(settings)()
    database.prepare()
    yield database
    database.shut_down()


@pytest.fixture(scope="session")
def store(database: Database) -> CustomerStore:
    """A store on the shared database."""
    return CustomerStore(database)


@pytest.fixture
def opener(backend: Backend, tmp_path: Path) -> Opener:
    """Opens a database for one test alone, the same each time, which is empty at first."""
    return _opener(backend.settings(tmp_path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the SQLite database of one test is."""
    return tmp_path / "customers.db"


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Where the backup of one test is, in a folder of its own."""
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "backup.db"


@pytest.fixture
def own(path: Path) -> Iterator[Sqlite]:
    """A SQLite database for one test alone."""
    database = Sqlite(path)
    database.prepare()
    yield database
    database.shut_down()


@pytest.fixture
def keeper(own: Sqlite) -> CustomerStore:
    """A store on the test's own SQLite database."""
    return CustomerStore(own)
