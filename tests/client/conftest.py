"""A real server that the tests share, and command lines that call it."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client.command_line import SECONDS, CommandLine
from tests.support.tokens import trust
from twc_customer_client import waiting
from twc_customer_server.app import App
from twc_customer_server.settings.model import Settings


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server."""
    app = App(Settings(data_dir=tmp_path_factory.mktemp("server"), **trust()), ["127.0.0.1:0"])
    app.start()
    yield f"127.0.0.1:{app.ports[0]}"
    app.stop()


@pytest.fixture
def make_cli(tmp_path: Path) -> Iterator[Callable[[str, str], CommandLine]]:
    """Makes command lines for a server's address and a tenant; ends what they leave running."""
    made: list[CommandLine] = []

    def make(address: str, tenant: str) -> CommandLine:
        made.append(CommandLine(address, tenant, tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def cli(make_cli: Callable[[str, str], CommandLine], address: str, tenant: str) -> CommandLine:
    """The command line of the test's tenant."""
    return make_cli(address, tenant)


@pytest.fixture
def other_cli(
    make_cli: Callable[[str, str], CommandLine], address: str, tenant: str
) -> CommandLine:
    """The command line of another tenant."""
    return make_cli(address, f"{tenant}-other")


@pytest.fixture(scope="session", autouse=True)
def _default_sigint() -> Iterator[None]:
    """Has commands react to SIGINT, which processes in the background ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _patient_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has no command of a test say that it waits, on however slow a machine."""
    monkeypatch.setattr(waiting, "_SILENT_SECONDS", SECONDS)
