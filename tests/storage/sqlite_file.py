"""What the tests of the SQLite database do to it, beside what a store does."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from tests.support import forks
from tests.support.stores import stamped
from tests.support.tokens import trust
from twc_customer_server.admin.backup import back_up
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import shut_down_after
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.store import CustomerStore

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
            while sum(map(len, [*waiting.values()])) < len(outcomes) and time.monotonic() < end:
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


def killed(path: Path, customers: int) -> None:
    """Has a process store customers of acme in a database, and die before it closes that."""
    script = (
        "import os, pathlib, sys; from twc.customer.v2.customer_pb2 import Customer;"
        "from twc_customer_server.storage.sqlite import Sqlite;"
        "from twc_customer_server.storage.store import CustomerStore;"
        "database = Sqlite(pathlib.Path(sys.argv[1])); database.prepare();"
        "store = CustomerStore(database);"
        "[store.insert('acme', Customer.FromString(bytes.fromhex(it))) for it in sys.argv[2:]];"
        "os._exit(0)"
    )
    given = [stamped().SerializeToString().hex() for _ in range(customers)]
    assert forks.run(["-c", script, str(path), *given], os.environ).returncode == 0


def backed_up(path: Path, backup: Path) -> None:
    """Backs a database up, and closes it. Raises what `back_up` raises."""
    with shut_down_after(Sqlite(path)) as database:
        back_up(database, backup)


@contextmanager
def opened(path: Path) -> Iterator[CustomerStore]:
    """A store on a database, as a server opens it."""
    with shut_down_after(Sqlite(path)) as database:
        database.prepare()
        yield CustomerStore(database)


def count_served(path: Path) -> int:
    """The number of live customers in a database that a server opens."""
    with opened(path):
        return count_elsewhere(path)


def run(
    path: Path, *arguments: str, program: str = "twc_customer_server", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command of the server, or of another program like it, on a database."""
    settings = Settings(data_dir=path.parent, **trust())
    variables = os.environ | settings.environment() | environment
    return forks.run(["-m", program, *arguments], variables)


def spoil_page(path: Path) -> None:
    """Overwrites a page in the middle of a file, where no check at the start comes upon it."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(os.urandom(4096))
