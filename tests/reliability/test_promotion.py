"""A primary that is lost under load, and a standby that takes its place."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.reliability.calls import fails
from tests.support import builders
from tests.support.client import SECONDS, Client
from tests.support.concurrency import in_background
from tests.support.server_process import Start, starting, wait_until
from tests.support.standby import Pair, pair

WRITERS = 4

# Writes before and after the standby takes over.
WRITES = 40


@pytest.fixture
def servers() -> Iterator[Pair]:
    """A primary with a standby that confirms its commits."""
    with pair() as servers:
        yield servers


@pytest.fixture
def start(servers: Pair, tmp_path: Path) -> Iterator[Start]:
    """Starts servers that know both."""
    with starting({"data_dir": tmp_path, "database_url": servers.database()}) as start:
        yield start


def test_failover_under_load(servers: Pair, start: Start) -> None:
    """No acknowledged write is lost; errors are the service's own, and end by themselves."""
    server = start()
    stopped = threading.Event()
    created: list[tuple[str, str]] = []

    def write(client: Client, tenant: str) -> None:
        def create() -> None:
            created.append((tenant, client.create(builders.customer()).id))

        while not stopped.is_set():
            # It asserts that an error is the service's own.
            if fails(create):
                stopped.wait(0.05)

    tenants = [f"tenant-{number}" for number in range(WRITERS)]
    writing = in_background([partial(write, server.client(it), it) for it in tenants])
    try:
        wait_until(lambda: len(created) > WRITES)
        servers.fail_over()
        before = len(created)
        wait_until(lambda: len(created) > before + WRITES)
    finally:
        stopped.set()
        for each in writing:
            each.result(SECONDS)

    for tenant, customer_id in created:
        assert server.client(tenant).get(customer_id).id == customer_id
    assert {tenant for tenant, _ in created[before:]} == set(tenants)
