"""A service for all clients, each of which is a tenant of its own."""

from collections.abc import Iterator
from functools import cache
from itertools import count
from typing import Any

import pytest

from tests.clients.foreign import Client, Observe
from tests.clients.values import ORIGIN, PATH_PREFIX, VALUES
from tests.gateway.stacks import http_headers, running
from twc_customer_gateway.supervisor.stack import Stack


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service, which pages of one origin may call, and which has the SDK's prefix."""
    settings = {"data_dir": tmp_path_factory.mktemp("clients")}
    with running(settings, cors_origins=[ORIGIN], path_prefix=PATH_PREFIX) as stack:
        yield stack


@pytest.fixture(scope="package")
def observe(service: Stack) -> Observe:
    """Runs clients on the service, each once."""
    tenants = count(1)

    @cache
    def run(client: Client) -> dict[str, Any]:
        address = f"{service.settings.bind}:{getattr(service.settings, client.port)}"
        headers = http_headers(f"client-{next(tenants)}")
        return client.run(address, headers=headers, values=VALUES)

    return run
