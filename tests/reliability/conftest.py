"""A PostgreSQL database, as new to each test, reached by a proxy, and what is opened on it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.reliability.calls import Open, SeededServer, Serve
from tests.reliability.proxy import Proxy
from tests.reliability.sessions import Ask, alter, asker, processes
from tests.support.client import SECONDS
from tests.support.postgres import Server
from tests.support.server_process import Start, starting, wait_until
from twc_customer_server.errors import Unavailable
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.store import CustomerStore


@pytest.fixture(scope="package")
def shared_url(postgres: Server) -> str:
    """The URL of a database that is ready to be served."""
    url = postgres.database()
    database = Postgres(url, pool_size=1, seconds=SECONDS, wait_seconds=0)
    database.prepare()
    database.shut_down()
    return url


@pytest.fixture
def url(shared_url: str) -> str:
    """The URL of a database as good as new, past the proxy: without customers and sessions."""
    with psycopg.connect(shared_url, autocommit=True) as connection:
        ask = asker(connection)
        for process in processes(ask):
            ask(f"SELECT pg_terminate_backend({process}, 10000)")
        alter(ask, "RESET ALL")
        ask("DELETE FROM customer")
        ask("DELETE FROM outcome")
    return shared_url


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    """The way to the database that the test's service goes."""
    with Proxy(url) as proxy:
        yield proxy


@pytest.fixture
def ask(url: str) -> Iterator[Ask]:
    """Runs statements past the proxy, as another session, and returns the rows of an answer."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield asker(connection)


def _answers(database: Postgres) -> bool:
    try:
        return bool(database.rows("SELECT 1", {}))
    except Unavailable:
        return False


@pytest.fixture
def opened(proxy: Proxy) -> Iterator[Open]:
    """Opens the database by way of the proxy."""
    made: list[Postgres] = []

    def open_one(pool_size: int = 4, seconds: float = 4) -> Postgres:
        made.append(Postgres(proxy.url(), pool_size, seconds, wait_seconds=SECONDS))
        made[-1].prepare()
        # With a short time for statements, a busy machine may take too long to connect.
        wait_until(lambda: _answers(made[-1]))
        return made[-1]

    yield open_one
    for database in made:
        database.shut_down()


@pytest.fixture
def store(opened: Open) -> CustomerStore:
    """A store on the database."""
    return CustomerStore(opened())


@pytest.fixture
def serve(proxy: Proxy, tmp_path: Path) -> Iterator[Serve]:
    """Serves the database in this process."""
    with ExitStack() as started:

        def serve_one(**settings: Any) -> SeededServer:
            database = {"data_dir": tmp_path, "database_url": proxy.url()}
            # The tests call as one tenant, which is to have as many threads and streams as they
            # ask for.
            own = {"threads": settings.pop("threads", 8) + 2, "tenant_streams": 100}
            return started.enter_context(SeededServer(**database, **own | settings))

        yield serve_one


@pytest.fixture
def start(proxy: Proxy, tmp_path: Path) -> Iterator[Start]:
    """Starts a server as a process of its own, and waits until it serves unless told not to."""
    with starting({"data_dir": tmp_path, "database_url": proxy.url()}) as start:
        yield start
