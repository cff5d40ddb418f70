"""The whole service, started once: a server and Envoy on ports of their own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from tests.gateway.stacks import StackFactory, http_headers, running
from tests.support import backends
from tests.support.backends import Backend
from tests.support.http_client import http_client
from tests.support.uncovered import without_coverage
from twc_customer_gateway.supervisor.stack import Stack

__all__ = ["without_coverage"]


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """SQLite, unless a test asks for each kind of database: other suites run on both."""
    return backends.named(getattr(request, "param", "sqlite"), request)


@pytest.fixture
def start_stack(own_database: dict[str, Any]) -> StackFactory:
    """Starts a service on the test's own database, with settings of its own, for a `with` block."""
    return lambda **settings: running(own_database, **settings)


@pytest.fixture(scope="session")
def stack(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service that most tests share, each with a tenant of its own."""
    database = backend.settings(tmp_path_factory.mktemp("data"))
    shops = [f"https://shop-{number}.customers.example" for number in range(100)]
    with running(database, cors_origins=[*shops, "https://shop.example"]) as stack:
        yield stack


@pytest.fixture(scope="session")
def origin(stack: Stack) -> str:
    """The URL that all paths of the gateway begin with."""
    return f"http://{stack.settings.bind}:{stack.settings.gateway_port}"


@pytest.fixture
def http(origin: str, tenant: str) -> Iterator[httpx.Client]:
    """A REST client of one tenant; paths are relative to `/api/v2`."""
    with http_client(base_url=f"{origin}/api/v2", headers=http_headers(tenant)) as client:
        yield client


@pytest.fixture
def native(stack: Stack) -> Iterator[grpc.Channel]:
    """A native gRPC channel through the gateway."""
    address = f"{stack.settings.bind}:{stack.settings.gateway_port}"
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture
def buf(tenant: str) -> Callable[..., str]:
    """Runs `buf curl` on a URL with a request, as the tenant, and returns what it prints."""

    def run(url: str, request: str) -> str:
        program = str(Path(sys.executable).with_name("buf"))
        options = ["--protocol", "grpc", "--http2-prior-knowledge"]
        headers = [f"-H{name}: {value}" for name, value in http_headers(tenant).items()]
        command = [program, "curl", *options, *headers, "-d", request, url]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return run
