"""A real server that the tests share, each as a tenant of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.backends import Backend
from tests.support.client import Client
from tests.support.in_process import InProcessServer
from tests.support.server_process import Start, starting
from tests.support.servers import Server, of_own_process

# Room for tests that make many calls at once as one tenant.
SHARED: dict[str, Any] = {"threads": 16, "tenant_streams": 8, "default_regions": {"german": "DE"}}


@pytest.fixture(scope="session")
def server(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """The server that tests share. One tenant, `german`, has a default region."""
    database = backend.settings(tmp_path_factory.mktemp("api"))
    backend.distribute(database)
    with Server(**database, **SHARED) as server:
        yield server


@pytest.fixture(scope="session")
def channel(server: InProcessServer) -> grpc.Channel:
    """A channel to the shared server."""
    return server.channel


@pytest.fixture
def client(channel: grpc.Channel, tenant: str) -> Client:
    """A client of the shared server for the test's tenant."""
    return Client(channel, tenant)


@pytest.fixture
def foreigner(channel: grpc.Channel, tenant: str) -> Client:
    """A client of the shared server for another tenant."""
    return Client(channel, f"{tenant}-foreign")


@pytest.fixture
def start(own_database: dict[str, Any]) -> Iterator[Start]:
    """Starts a server on the test's own database and waits until it serves."""
    with starting(own_database) as start:
        yield start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips, where the server is another process, the tests that change that of the tests."""
    for item in items:
        is_patched = "monkeypatch" in getattr(item, "fixturenames", ())
        if item.path.parent == Path(__file__).parent and is_patched:
            item.add_marker(of_own_process)
