"""The databases that the suites run on: what to set so that a service keeps its data there."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Server


def only(name: str) -> pytest.MarkDecorator:
    """Has tests run on one kind of database alone."""
    return pytest.mark.parametrize("backend", [name], indirect=True)


# For tests of what comes before the database: on which of them they run says nothing.
any_backend = only("sqlite")


class Backend(ABC):
    """A kind of database."""

    @abstractmethod
    def settings(self, folder: Path) -> dict[str, Any]:
        """Settings of a service with an empty database; its files, if it has any, in a folder."""


class SqliteBackend(Backend):
    """A file in the folder."""

    def settings(self, folder: Path) -> dict[str, Any]:
        """The folder says it all."""
        return {"data_dir": folder}


class PostgresBackend(Backend):
    """A database of the tests' server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def settings(self, folder: Path) -> dict[str, Any]:
        """The URL of a database that is made here."""
        return {"data_dir": folder, "database_url": self._server.database()}
