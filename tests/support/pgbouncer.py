"""PgBouncer, in front of a database of the tests' PostgreSQL server."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.support.ports import held_port
from tests.support.postgres import own_folder
from tests.support.processes import die_with_parent
from tests.support.programs import program
from tests.support.server_process import wait_until

# Names the program, where another one is to be tested than that of PATH.
GIVEN = "TEST_PGBOUNCER"

HOST = "127.0.0.1"

# Sessions of the database that all clients share.
SESSIONS = 3

# The first version that keeps prepared statements apart, and DEALLOCATE ALL with them.
_PREPARES = (1, 22)

# A user that owns nothing: PgBouncer does not run as root.
_NOBODY = 65534

_SETTINGS = """
[databases]
* = {server}
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {sessions}
max_client_conn = 200
query_wait_timeout = 20
{more}
"""

# PgBouncer itself gives each client its own name of the application.
_STATE = """
    SELECT name || ' = ' || setting FROM pg_settings
        WHERE source = 'session' AND name <> 'application_name'
    UNION ALL SELECT 'prepared ' || name FROM pg_prepared_statements
        WHERE name NOT LIKE 'PGBOUNCER_%'
    UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable
    UNION ALL SELECT 'listens to ' || name FROM pg_listening_channels() AS name
    UNION ALL SELECT 'advisory lock' FROM pg_locks
        WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'temporary ' || relname FROM pg_class
        WHERE relnamespace = pg_my_temp_schema()
    ORDER BY 1
"""


class PgBouncer:
    """A pooler, and what it does to the sessions of the database of a URL."""

    def __init__(self, url: str, port: int, version: str) -> None:
        self.version = version
        numbers = tuple(int(number) for number in re.findall(r"\d+", version))
        self.prepares = numbers >= _PREPARES
        known = conninfo_to_dict(url)
        through = {"host": HOST, "port": port, "sslmode": "disable", "gssencmode": "disable"}
        parameters: dict[str, Any] = {
            "dbname": known["dbname"],
            "user": known.get("user"),
            **through,
        }
        self.url = "postgresql://?" + "&".join(
            f"{name}={value}" for name, value in parameters.items() if value
        )

    def sessions(self) -> list[list[str]]:
        """Returns what clients have left in each of the sessions, as other clients find it."""
        with ExitStack() as opened:
            # In transactions at the same time, so that each has a session of its own.
            clients = [
                opened.enter_context(psycopg.connect(self.url, prepare_threshold=None))
                for _ in range(SESSIONS)
            ]
            return [[state for (state,) in client.execute(_STATE)] for client in clients]


@contextmanager
def pooling(url: str, mode: str = "transaction") -> Iterator[PgBouncer]:
    """Yields a pooler with a mode that runs until the end of the `with` block."""
    found = program(os.environ.get(GIVEN, "pgbouncer"), "pgbouncer")
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    known = conninfo_to_dict(url)
    with psycopg.connect(url) as connection:
        server = {"host": connection.info.host, "port": connection.info.port}
        server |= {"user": connection.info.user}
    if password := known.get("password"):
        server["password"] = password
    # The server's user, who alone comes to its socket.
    host = Path(str(server["host"]))
    user = host.stat().st_uid if host.is_absolute() else _NOBODY
    with held_port() as port, ExitStack() as ended:
        pooler = PgBouncer(url, port, told.split()[1])
        settings = _SETTINGS.format(
            server=" ".join(f"{name}={value}" for name, value in server.items()),
            host=HOST,
            port=port,
            sessions=SESSIONS,
            mode=mode,
            # Older versions do not know the setting.
            more="max_prepared_statements = 200" if pooler.prepares else "",
        )
        process = _start([found, "--quiet"], settings, user)
        ended.callback(process.wait)
        ended.callback(process.kill)
        wait_until(lambda: _answers(pooler.url))
        yield pooler


def _start(command: list[str], settings: str, user: int) -> subprocess.Popen[bytes]:
    """Starts the program with settings, as another user if this one is root."""
    folder = own_folder()
    file = folder / "pgbouncer.ini"
    file.write_text(settings)
    is_root = os.geteuid() == 0
    if is_root:
        for path in (folder, file):
            os.chown(path, user, -1)
    with folder.joinpath("log").open("wb") as log:
        return subprocess.Popen(
            [*command, str(file)],
            stdout=log,
            stderr=log,
            user=user if is_root else None,
            preexec_fn=die_with_parent,
        )


def _answers(url: str) -> bool:
    with suppress(psycopg.OperationalError):
        psycopg.connect(url).close()
        return True
    return False
