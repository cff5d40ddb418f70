"""Processes of the service: how they start, stop and restart."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.support.client import SECONDS
from tests.support.server_process import wait_until
from twc_customer_gateway.supervisor import envoy_admin, envoy_process, processes
from twc_customer_gateway.supervisor.envoy_process import EnvoyProcess
from twc_customer_gateway.supervisor.processes import Process, RestartedProcess, stop

SLEEP = ["/bin/sleep", "60"]
# Ignores SIGTERM, and creates a file when it does.
DEAF = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); \
pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"


class _Signalled(Exception):
    pass


@contextmanager
def _raising_handler() -> Iterator[None]:
    def handle(_signal: int, _frame: FrameType | None) -> None:
        raise _Signalled

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def test_signal_while_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes while a process starts is handled when the process is known."""
    spawn = processes.spawn

    def signalled(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started = spawn(*arguments, **options)
        # To this thread, as in a process that has no other.
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        return started

    monkeypatch.setattr(processes, "spawn", signalled)
    process = Process("sleeper", SLEEP, {})
    with _raising_handler(), pytest.raises(_Signalled):
        process.start()

    assert process.is_running
    stop([process], 20)
    assert process.status == -signal.SIGTERM


def test_stop_by_force(tmp_path: Path) -> None:
    """Processes that do not end when told to are killed, all after the same time."""
    files = [tmp_path / str(number) for number in range(3)]
    deaf = [Process("deaf", [sys.executable, "-c", DEAF, str(file)], {}) for file in files]
    for process in deaf:
        process.start()
    wait_until(lambda: all(file.exists() for file in files))

    began = time.monotonic()
    stop(deaf, 4)

    assert [process.status for process in deaf] == [-signal.SIGKILL] * 3
    assert 4 <= time.monotonic() - began < 8


def test_stop_of_ended_processes() -> None:
    """Stopping processes that never started, or have ended, returns at once."""
    ended = Process("true", ["/bin/true"], {})
    ended.start()
    wait_until(lambda: ended.status is not None)

    stop([ended, Process("never", SLEEP, {})], 20)

    assert ended.status == 0


def test_failed_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process that the system cannot restart is tried again, after a longer backoff."""
    program = tmp_path / "program"
    program.symlink_to("/bin/false")
    process = RestartedProcess("worker", [str(program)], {})
    process.start()
    program.unlink()

    def has_logged(text: str) -> bool:
        process.restart_if_ended()
        return text in caplog.text

    wait_until(lambda: has_logged("worker exited with status 1; restarting it in 0.5 s"))
    wait_until(
        lambda: has_logged(
            "worker could not be started (No such file or directory); restarting it in 1 s"
        )
    )
    program.symlink_to("/bin/false")
    wait_until(lambda: has_logged("worker exited with status 1; restarting it in 2 s"))


@pytest.mark.parametrize(
    ("program", "status", "soon"), [("/bin/false", 1, 0), ("/bin/true", 0, 60)]
)
def test_first_backoff(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    program: str,
    status: int,
    soon: float,
) -> None:
    """The backoff of a process that ran for long, or was told to end, is the first one again."""
    monkeypatch.setattr(processes, "_SOON_SECONDS", soon)
    process = RestartedProcess("worker", [program], {})
    process.start()

    def has_ended_thrice() -> bool:
        process.restart_if_ended()
        return len(caplog.messages) == 3

    wait_until(has_ended_thrice)

    said = f"worker exited with status {status}; restarting it in 0.5 s"
    assert caplog.messages == [said] * 3


@contextmanager
def _listening(path: str, backlog: int = 128) -> Iterator[socket.socket]:
    """The administration socket of an Envoy, which listens and answers nothing by itself."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.bind(path)
        admin.listen(backlog)
        yield admin


def test_envoy_that_starts_slowly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Envoy may take longer to respond for the first time; later it is killed as hung."""
    monkeypatch.setattr(envoy_process, "HUNG_SECONDS", 0)
    monkeypatch.setattr(envoy_process, "_PROBE_SECONDS", 0)
    path = str(tmp_path / "admin.sock")
    with _listening(path) as admin:
        envoy = EnvoyProcess("slow", SLEEP, path)
        envoy.start_seconds = SECONDS
        envoy.start()
        for _ in range(100):
            envoy.kill_if_hung()
        assert envoy.is_running
        with admin.accept()[0] as probe:
            probe.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        wait_until(lambda: _is_killed(envoy))
    envoy.wait(SECONDS)


@pytest.mark.parametrize("listens", [False, True], ids=["never listens", "accepts no more"])
def test_envoy_that_cannot_be_asked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listens: bool,  # noqa: FBT001
) -> None:
    """An Envoy that no connection reaches for as long as it may hang is killed."""
    monkeypatch.setattr(envoy_process, "HUNG_SECONDS", 0.2)
    monkeypatch.setattr(envoy_process, "_PROBE_SECONDS", 0)
    path = str(tmp_path / "admin.sock")
    with ExitStack() as held:
        if listens:
            held.enter_context(_listening(path, backlog=0))
            held.enter_context(socket.socket(socket.AF_UNIX)).connect(path)
        envoy = EnvoyProcess("away", SLEEP, path)
        envoy.start_seconds = 0
        envoy.start()
        wait_until(lambda: _is_killed(envoy))
    assert envoy.status == -signal.SIGKILL


def test_questions_of_silent_envoy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions of an Envoy that does not respond take no more time than one; it is busy."""
    monkeypatch.setattr(envoy_admin, "TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(envoy_process, "_PROBE_SECONDS", 0)
    path = str(tmp_path / "admin.sock")
    with _listening(path) as admin:
        envoy = EnvoyProcess("silent", SLEEP, path)
        envoy.start()
        began = time.monotonic()
        envoy.fail_health()
        envoy.close_listeners()
        assert not any(envoy.is_quiet() for _ in range(10))
        admin.accept()[0].close()
        admin.settimeout(0)
        with pytest.raises(BlockingIOError):
            admin.accept()
        assert time.monotonic() - began < 10
        envoy.quit()
        wait_until(lambda: not envoy.is_running)
    assert envoy.status == -signal.SIGKILL


def _is_killed(envoy: EnvoyProcess) -> bool:
    envoy.kill_if_hung()
    return not envoy.is_running
