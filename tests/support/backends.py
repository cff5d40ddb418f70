"""The databases that the suites run on: what to set so that a service keeps its data there."""

import os
import sqlite3
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.client import SECONDS
from tests.support.database_names import CITUS, NAMES
from tests.support.postgres import Server
from twc_customer_server.admin.distribute import distribute_tables
from twc_customer_server.storage.database import Database, shut_down_after
from twc_customer_server.storage.postgres import Postgres

_SHARDS = 4

# Opens a database, the same each time.
Opener = Callable[[], Database]


def only(name: str) -> pytest.MarkDecorator:
    """Has tests run on one kind of database alone."""
    return pytest.mark.parametrize("backend", [name], indirect=True)


# For tests of what comes before the database: on which of them they run says nothing.
any_backend = only("sqlite")

_EXTENSION = "SELECT count(*) FROM pg_extension WHERE extname = 'citus'"
each_backend = pytest.mark.parametrize("backend", NAMES, indirect=True)


class Backend(ABC):
    """A kind of database."""

    @abstractmethod
    def settings(self, folder: Path) -> dict[str, Any]:
        """Settings of a service with an empty database; its files, if it has any, in a folder."""

    def distribute(self, settings: dict[str, Any]) -> None:  # noqa: B027 - most have one machine
        """Spreads the database of settings over the machines that there are."""

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


class CitusBackend(PostgresBackend):
    """A schema of a cluster's database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def settings(self, folder: Path) -> dict[str, Any]:
        """The URL of a schema that is made here."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        path = f"options=-csearch_path%3D{name},public"
        url = f"{self._url}{'&' if '?' in self._url else '?'}{path}"
        return {"data_dir": folder, "database_url": url}

    def distribute(self, settings: dict[str, Any]) -> None:
        """Distributes the tables."""
        with shut_down_after(Postgres(settings["database_url"], 1, SECONDS, SECONDS)) as database:
            distribute_tables(database, _SHARDS)


def require_cluster() -> None:
    """Raises UsageError if the database of CITUS_URL lacks Citus."""
    with psycopg.connect(os.environ[CITUS]) as connection:
        [extensions] = connection.execute(_EXTENSION).fetchone() or [0]
    if not extensions:
        raise pytest.UsageError(
            f"{CITUS} names a database without the extension citus: run CREATE EXTENSION "
            "citus in it, on the coordinator of a cluster"
        )


def named(name: str, request: pytest.FixtureRequest) -> Backend:
    """Returns the kind of database with a name."""
    if name == "sqlite":
        return SqliteBackend()
    if name == "citus":
        return CitusBackend(os.environ[CITUS])
    return PostgresBackend(request.getfixturevalue("postgres"))
