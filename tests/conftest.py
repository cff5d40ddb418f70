"""What every test may ask for."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.backends import Backend, PostgresBackend, SqliteBackend
from tests.support.postgres import Server, serving
from twc_customer_gateway.settings import GatewaySettings

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def _settings_of_tests() -> Iterator[None]:
    """Keeps what the shell sets for a service, be it its DATABASE_URL, from those of the tests."""
    with pytest.MonkeyPatch.context() as shell:
        for name in list(os.environ):
            if name.lower() in GatewaySettings.model_fields:
                shell.delenv(name)
        yield


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test uses, so that tests share a server or a database."""
    return f"tenant-{next(_numbers)}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The PostgreSQL server that the tests share, each with databases of its own."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each kind of database that the service runs on."""
    if request.param == "sqlite":
        return SqliteBackend()
    return PostgresBackend(request.getfixturevalue("postgres"))


@pytest.fixture
def own_database(backend: Backend, tmp_path: Path) -> dict[str, Any]:
    """Settings of services that share a database of the test's own, which is empty at first."""
    return backend.settings(tmp_path)
