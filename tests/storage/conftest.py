"""The backends that every test of this folder must pass on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.storage.customers import CustomerStore
from server.storage.database import Database

_BACKENDS: dict[str, Callable[[Path], Database]] = {
    "sqlite": lambda folder: Database(folder / "customers.db"),
}


@pytest.fixture(scope="session", params=_BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database that the tests share; each keeps to its own tenant."""
    database = _BACKENDS[request.param](tmp_path_factory.mktemp("storage"))
    database.prepare()
    yield database
    database.shut_down()


@pytest.fixture(scope="session")
def store(database: Database) -> CustomerStore:
    """A store on the shared database."""
    return CustomerStore(database)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database of one test is."""
    return tmp_path / "customers.db"


@pytest.fixture
def own(path: Path) -> Iterator[Database]:
    """A database for one test alone."""
    database = Database(path)
    database.prepare()
    yield database
    database.shut_down()


@pytest.fixture
def keeper(own: Database) -> CustomerStore:
    """A store on the test's own database."""
    return CustomerStore(own)
