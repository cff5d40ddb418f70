"""A real server that the tests share, each as a tenant of its own."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.support.backends import Backend
from tests.support.client import Client
from tests.support.server_process import Start, starting
from tests.support.tokens import trust
from twc_customer_server.app import App
from twc_customer_server.settings import Settings


@pytest.fixture(scope="session")
def app(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A server on a port of its own. One tenant, `german`, has a default region."""
    database = backend.settings(tmp_path_factory.mktemp("api"))
    settings = Settings(**database, threads=16, default_regions={"german": "DE"}, **trust())
    app = App(settings, ["127.0.0.1:0"])
    app.start()
    yield app
    app.stop()


@pytest.fixture(scope="session")
def channel(app: App) -> Iterator[grpc.Channel]:
    """A channel to the shared server."""
    with grpc.insecure_channel(f"127.0.0.1:{app.ports[0]}") as channel:
        yield channel


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
