"""Takes a database back to an older schema, and measures the migrations since.

Servers may serve it meanwhile: the columns that migrations have added stay, since the servers
write them, but lose their values, as if they had just been added, which takes no time.
"""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psycopg

from bench.errors import BenchError
from bench.processes import environment, tail
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.storage.migrate import HISTORY, known_migrations

# The first migration that is undone. Servers cannot do without what the ones before it made.
_FIRST = "0005"

# What the migrations since then have made.
_INDEXES = (
    *("customer_first_name_fold", "customer_last_name_fold", "customer_status"),
    *("customer_alternate_ref", "customer_change_sequence"),
    *("customer_deleted_at", "outcome_customer_id"),
)
_CLEAR = "UPDATE customer SET first_name_fold = NULL, last_name_fold = NULL, status = NULL"
_FORGET = f"DELETE FROM {HISTORY} WHERE name >= '{_FIRST}'"  # noqa: S608 - constants alone

# Rows in one commit to SQLite, whose log has each of them until then.
_BATCH_ROWS = 10_000

# Between two writes meanwhile: they are to measure the migrations, not to fill the database.
_PAUSE_SECONDS = 0.02


class Migrated(NamedTuple):
    """The seconds that migrations took, and the longest write meanwhile."""

    seconds: float
    longest_write: float


def measure_migrations(
    settings: GatewaySettings,
    log: Path,
    write: Callable[[], object],
    on_progress: Callable[[float], object],
) -> Migrated:
    """Makes the migrations that `downgrade` has undone, and writes again and again meanwhile.

    Raises BenchError if one of them was not made.
    """
    command = [sys.executable, "-m", "twc_customer_server", "migrate"]
    longest = 0.0
    with ThreadPoolExecutor(1) as pool, log.open("a") as errors:
        started = time.perf_counter()
        migration = pool.submit(
            subprocess.run,
            command,
            env=environment(settings),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
        )
        while not wait([migration], _PAUSE_SECONDS).done:
            began = time.perf_counter()
            write()
            longest = max(longest, time.perf_counter() - began)
            on_progress(time.perf_counter() - started)
        seconds = time.perf_counter() - started
    ended = migration.result()
    if ended.returncode or not all(name in ended.stdout for name in undone_migrations()):
        raise BenchError(f"not all migrations were made: {ended.stdout}{tail(log)}")
    return Migrated(seconds, longest)


def undone_migrations() -> list[str]:
    """Returns the names of the migrations that `downgrade` undoes."""
    return [name for name in known_migrations() if name >= _FIRST]


def downgrade(settings: GatewaySettings) -> None:
    """Undoes the newest migrations of a database."""
    if settings.database_url:
        _downgrade_postgres(settings.database_url)
    else:
        _downgrade_sqlite(settings.database_file)


def _downgrade_postgres(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for name in _INDEXES:
            connection.execute(f"DROP INDEX {name}".encode())
        connection.execute(_CLEAR.encode())
        connection.execute(_FORGET.encode())
        # Reuses the space of the rows as they were.
        connection.execute("VACUUM customer")


def _downgrade_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        for name in _INDEXES:
            connection.execute(f"DROP INDEX {name}")
        [last] = connection.execute("SELECT max(rowid) FROM customer").fetchone()
        for first in range(0, last + 1, _BATCH_ROWS):
            bounds = (first, first + _BATCH_ROWS)
            connection.execute(f"{_CLEAR} WHERE rowid >= ? AND rowid < ?", bounds)
        connection.execute(_FORGET)
