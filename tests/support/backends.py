"""The databases that the suites run on: what to set so that a service keeps its data there."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.postgres import Server
from twc_customer_server.storage.database import Database

# Opens a database, the same each time.
Opener = Callable[[], Database]


def only(name: str) -> pytest.MarkDecorator:
    """Has tests run on one kind of database alone."""
    return pytest.mark.parametrize("backend", [name], indirect=True)


# For tests of what comes before the database: on which of them they run says nothing.
any_backend = only("sqlite")

NAMES = ["sqlite", "postgresql"]
each_backend = pytest.mark.parametrize("backend", NAMES, indirect=True)


class Backend(ABC):
    """A kind of database."""

    @abstractmethod
    def settings(self, folder: Path) -> dict[str, Any]:
        """Settings of a service with an empty database; its files, if it has any, in a folder."""

    @abstractmethod
    def held(self, settings: dict[str, Any]) -> AbstractContextManager[None]:
        """Keeps everyone from writing to the database of settings, as another program may."""


class SqliteBackend(Backend):
    """A file in the folder."""

    def settings(self, folder: Path) -> dict[str, Any]:
        """The folder says it all."""
        return {"data_dir": folder}

    @contextmanager
    def held(self, settings: dict[str, Any]) -> Iterator[None]:
        """Begins to write, and does not end it."""
        path = settings["data_dir"] / "customers.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield


class PostgresBackend(Backend):
    """A database of the tests' server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def settings(self, folder: Path) -> dict[str, Any]:
        """The URL of a database that is made here."""
        return {"data_dir": folder, "database_url": self._server.database()}

    @contextmanager
    def held(self, settings: dict[str, Any]) -> Iterator[None]:
        """Locks the table, but for reads."""
        with psycopg.connect(settings["database_url"]) as other:
            other.execute("LOCK TABLE customer IN EXCLUSIVE MODE")
            yield


def named(name: str, request: pytest.FixtureRequest) -> Backend:
    """Returns the kind of database with a name."""
    if name == "sqlite":
        return SqliteBackend()
    return PostgresBackend(request.getfixturevalue("postgres"))
