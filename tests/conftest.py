"""Fixtures for all tests, and the beginning and end of a run."""

import faulthandler
import gc
import itertools
import os
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.support import (
    processes,
    run_cleanup,
    way_to_serve,  # noqa: F401 - reads its variable before that is removed
)
from tests.support.database_names import NAMES

# What functions import takes long to load, and the controller of a run does not need it.
if TYPE_CHECKING:
    from tests.support.backends import Backend
    from tests.support.postgres import Server

_END_SECONDS = 20
_EXIT_SECONDS = 60

_MOST_WORKERS = 12

# Objects of garbage that are collected at a time: fewer would take more time.
_GARBAGE = 20_000

# Tests that take milliseconds each.
_FAST = Path(__file__).parent / "unit"

_numbers = itertools.count(1)


def pytest_xdist_auto_num_workers() -> int:
    """Runs more workers than there are processors, since most tests wait for processes."""
    return min(_MOST_WORKERS, 2 * (os.cpu_count() or 1) + 1)


def pytest_configure(config: pytest.Config) -> None:
    """Makes the folder of the run, which the workers of pytest-xdist share.

    Raises UsageError if the tests are to run on a cluster that is none.
    """
    # What a shell starts in the background ignores it, and so would all that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        if "citus" in NAMES:
            from tests.support import backends  # noqa: PLC0415

            backends.require_cluster()
        folder = Path(tempfile.mkdtemp(prefix="twc-tests-"))
        os.environ[processes.RUN] = str(folder)
        config.add_cleanup(partial(_end_run, run_cleanup.start(folder)))
    # An example may take as long as a busy machine needs for it.
    hypothesis.settings.register_profile("any time", deadline=None)
    hypothesis.settings.load_profile("any time")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps garbage collection from the tests as they are collected, which all stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(_GARBAGE, *gc.get_threshold()[1:])
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Has each worker of pytest-xdist end with fast tests, which others can take over from it.

    Each gets an equal part of all tests, in their order, and who is done takes from others' ends:
    with long tests there, all would wait for the last of them.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    fast = [item for item in items if item.path.is_relative_to(_FAST)]
    others = [item for item in items if not item.path.is_relative_to(_FAST)]
    items[:] = [
        item
        for number in range(workers)
        for some in (others, fast)
        for item in some[number * len(some) // workers : (number + 1) * len(some) // workers]
    ]


def _end_run(clean_up: Callable[[], object]) -> None:
    """Ends what the run has started, and then this process, even if one of its threads hangs."""
    clean_up()
    faulthandler.dump_traceback_later(_EXIT_SECONDS, exit=True, file=2)


@pytest.fixture(scope="session", autouse=True)
def _no_strays() -> Iterator[None]:
    """Fails the last test of a worker if a test has left a process behind, and ends that."""
    from tests.support import forks  # noqa: PLC0415

    yield
    strays = forks.end(_END_SECONDS)
    strays += processes.end_strays(os.environ.get("PYTEST_XDIST_WORKER", ""), _END_SECONDS)
    assert not strays, f"left running: {'; '.join(strays)}"


@pytest.fixture(scope="session", autouse=True)
def _forked_workers() -> Iterator[None]:
    """Has the workers of services that run in the tests' own process forked, as servers are."""
    from tests.support import forks  # noqa: PLC0415
    from twc_customer_gateway.supervisor import processes as of_service  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(of_service, "spawn", forks.spawn)
        yield


@pytest.fixture(scope="session", autouse=True)
def _settings_of_tests(_no_strays: None) -> Iterator[None]:
    """Removes the settings of a service, such as DATABASE_URL, that shell or file have set.

    The way to serve that the tests are to run on is among them: see `way_to_serve`.
    """
    from twc_customer_gateway.settings import GatewaySettings  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as shell:
        for name in set(os.environ):
            if name.lower().removeprefix("twc_") in GatewaySettings.model_fields:
                shell.delenv(name)
        shell.setenv("TWC_SETTINGS_FILE", os.devnull)
        yield


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Frees only what nothing refers to."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test uses, so that tests share a server or a database."""
    return f"tenant-{next(_numbers)}"


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Server]":
    """The PostgreSQL server that all workers share, each test with databases of its own."""
    from tests.support import postgres as postgres_server  # noqa: PLC0415

    with postgres_server.serving(Path(os.environ[processes.RUN])) as server:
        yield server


@pytest.fixture(scope="session", params=NAMES)
def backend(request: pytest.FixtureRequest) -> "Backend":
    """Each kind of database that the service runs on."""
    from tests.support import backends  # noqa: PLC0415

    return backends.named(request.param, request)


@pytest.fixture
def own_database(backend: "Backend", tmp_path: Path) -> dict[str, Any]:
    """Settings of services that share a database of the test's own, which is empty at first."""
    return backend.settings(tmp_path)
