"""What the short runs of the proofs share: a service on each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.databases import NAMES, OwnDatabase, opened
from tests.soak.place import Place
from tests.support.uncovered import without_coverage

__all__ = ["without_coverage"]


@pytest.fixture(scope="module", params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a database, whose kind is its name."""
    return tmp_path_factory.mktemp("soak") / str(request.param)


@pytest.fixture(scope="module")
def database(folder: Path) -> Iterator[OwnDatabase]:
    """A database that may be killed."""
    folder.mkdir()
    with opened(folder.name, folder) as database:
        yield database


@pytest.fixture(scope="module")
def place(database: OwnDatabase, folder: Path) -> Iterator[Place]:
    """A service that may be killed."""
    with Place(database, folder) as place:
        yield place
