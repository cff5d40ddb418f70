"""A PostgreSQL database of each test's own, reached by a proxy, and what is opened on it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from server.storage.customers import CustomerStore
from server.storage.postgres import Postgres
from tests.api.server_process import ServerProcess
from tests.postgres import Server
from tests.reliability.proxy import Proxy
from tests.reliability.service import Ask, Service

Open = Callable[..., Postgres]
Serve = Callable[..., Service]
Start = Callable[..., ServerProcess]


@pytest.fixture
def url(postgres: Server) -> str:
    """The URL of an empty database, past the proxy."""
    return postgres.database()


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    """The way to the database that the test's service goes."""
    with Proxy(url) as proxy:
        yield proxy


@pytest.fixture
def ask(url: str) -> Iterator[Ask]:
    """Runs statements past the proxy, as another session, and returns the rows of an answer."""
    with psycopg.connect(url, autocommit=True) as connection:

        def answer(statement: str) -> list[tuple[Any, ...]]:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

        yield answer


@pytest.fixture
def opened(proxy: Proxy) -> Iterator[Open]:
    """Opens the database by way of the proxy."""
    made: list[Postgres] = []

    def open_one(pool_size: int = 4, seconds: float = 4) -> Postgres:
        made.append(Postgres(proxy.url(), pool_size, seconds, wait_seconds=0))
        made[-1].prepare()
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
    started: list[Service] = []

    def serve_one(**settings: Any) -> Service:
        started.append(Service(tmp_path, database_url=proxy.url(), **settings))
        return started[-1]

    yield serve_one
    for service in started:
        service.stop()


@pytest.fixture
def start(proxy: Proxy, tmp_path: Path) -> Iterator[Start]:
    """Starts a server as a process of its own, and does not wait until it serves."""
    started: list[ServerProcess] = []

    def start_one(**environment: str) -> ServerProcess:
        database = {"data_dir": tmp_path, "database_url": proxy.url()}
        started.append(ServerProcess(database, file_blocks=0, **environment))
        return started[-1]

    yield start_one
    for server in started:
        server.end()
