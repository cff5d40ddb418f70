"""A real server that the tests share, and clients of both kinds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.library.kinds import KINDS, MakeClient, make_client
from tests.support.in_process import InProcessServer
from tests.support.servers import Server
from tests.support.tokens import token_for
from twc_customer_client import CustomerClient


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A server."""
    with Server(data_dir=tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(params=KINDS)
def connect(request: pytest.FixtureRequest, tenant: str) -> Iterator[MakeClient]:
    """Makes clients of each kind for the test's tenant, and closes them."""
    made: list[CustomerClient] = []

    def make(target: str, **options: Any) -> CustomerClient:
        caller = {"tenant": tenant, "token": token_for(tenant)}
        made.append(make_client(request.param, target, **caller | options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def customers(connect: MakeClient, server: InProcessServer) -> CustomerClient:
    """A client of each kind, of the real server."""
    return connect(server.address)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Where a token may be."""
    return tmp_path / "token"
