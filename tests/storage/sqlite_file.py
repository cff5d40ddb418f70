"""What the tests of the SQLite database do to it, beside what a store does."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from twc_customer_server.storage.sqlite import Sqlite

SECONDS = 10


def set_pragma(database: Sqlite, pragma: str) -> None:
    """Sets a pragma of the connection that writes."""
    database.write(lambda: database.rows(f"PRAGMA {pragma}", {}))


def connection_of(database: Sqlite) -> sqlite3.Connection:
    """The connection of the thread that asks."""
    connection: sqlite3.Connection = database.connection()
    return connection


def together(database: Sqlite, calls: Sequence[Callable[[], object]]) -> list[Future[object]]:
    """Has calls that write form one group: they gather, in order, while another write lasts."""
    gate, held = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        gate.wait(SECONDS)

    waiting = database._writer._queue  # noqa: SLF001 - nothing else tells that a call waits
    end = time.monotonic() + SECONDS
    with ThreadPoolExecutor(len(calls) + 1) as threads:
        threads.submit(database.write, hold)
        assert held.wait(SECONDS)
        outcomes = []
        for call in calls:
            outcomes.append(threads.submit(call))
            while waiting.qsize() < len(outcomes) and time.monotonic() < end:
                time.sleep(0.001)
        gate.set()
        wait(outcomes, SECONDS)
    return outcomes


def count_elsewhere(path: Path) -> int:
    """The number of live customers that another process reads in the file."""
    script = (
        "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1]);"
        "print(*connection.execute('SELECT count(*) FROM customer WHERE deleted_at IS NULL'))"
    )
    command = [sys.executable, "-c", script, str(path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(printed.strip("(,)\n"))
