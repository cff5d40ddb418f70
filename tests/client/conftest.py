"""A real server that the tests share, and the command line for each test's tenant."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.command_line import CommandLine
from tests.support.tokens import trust
from twc_customer_server.app import App
from twc_customer_server.settings import Settings


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server."""
    app = App(Settings(data_dir=tmp_path_factory.mktemp("server"), **trust()), ["127.0.0.1:0"])
    app.start()
    yield f"127.0.0.1:{app.ports[0]}"
    app.stop()


@pytest.fixture
def cli(address: str, tenant: str, tmp_path: Path) -> CommandLine:
    """The command line of the test's tenant."""
    return CommandLine(address, tenant, tmp_path)


@pytest.fixture
def other(address: str, tenant: str, tmp_path: Path) -> CommandLine:
    """The command line of another tenant."""
    return CommandLine(address, f"{tenant}-other", tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _heed_interruptions() -> Iterator[None]:
    """Commands are started as from a terminal; a job in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
