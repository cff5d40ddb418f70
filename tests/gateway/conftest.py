"""The whole service, started once: a server and Envoy on ports of their own."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from tests.support.backends import Backend
from tests.support.tokens import token_for, trust
from twc_customer_gateway import config
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_gateway.supervisor.stack import Stack

StackFactory = Callable[..., AbstractContextManager[Stack]]


def as_tenant(name: str) -> dict[str, str]:
    """The headers of a request for a tenant."""
    return {"authorization": f"Bearer {token_for(name)}", "x-twc-tenant": name}


@contextmanager
def running(database: dict[str, Any], **settings: Any) -> Iterator[Stack]:
    """A service on a database, with other settings as given."""
    chosen = GatewaySettings(**database, gateway_port=0, grpc_port=0, **trust() | settings)
    with tempfile.TemporaryDirectory(prefix="twc-") as name:
        folder = Path(name)
        config.write_all(chosen, folder)
        with Stack(folder, chosen.environment()) as stack:
            yield stack


@pytest.fixture
def start_stack(own_database: dict[str, Any]) -> StackFactory:
    """Starts a service on the test's own database, with settings of its own, for a `with` block."""
    return lambda **settings: running(own_database, **settings)


@pytest.fixture(scope="session")
def stack(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service that most tests share, each with a tenant of its own."""
    database = backend.settings(tmp_path_factory.mktemp("data"))
    with running(database, cors_origins=["https://shop.example"]) as stack:
        yield stack


@pytest.fixture(scope="session")
def origin(stack: Stack) -> str:
    """The URL that all paths of the gateway begin with."""
    return f"http://{stack.settings.bind}:{stack.settings.gateway_port}"


@pytest.fixture
def http(origin: str, tenant: str) -> Iterator[httpx.Client]:
    """A REST client of one tenant; paths are relative to `/api/v2`."""
    with httpx.Client(base_url=f"{origin}/api/v2", headers=as_tenant(tenant)) as client:
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
        headers = [f"-H{name}: {value}" for name, value in as_tenant(tenant).items()]
        command = [program, "curl", *options, *headers, "-d", request, url]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return run
