"""The processes of a test run: none outlives it, and none is left behind by a test."""

import ctypes
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress

import psutil

# Names the run in the environment of every process that it starts, by its folder.
RUN = "CUSTOMER_API_TEST_RUN"

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Ending(ABC):
    """A process that another has forked, with what `subprocess.Popen` has of it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    @abstractmethod
    def poll(self) -> int | None:
        """Returns the exit status, or None while the process runs."""

    def send_signal(self, number: int) -> None:
        """Sends a signal to the process, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Asks the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the process at once."""
        self.send_signal(signal.SIGKILL)


def die_with_parent() -> None:
    """Has the system kill this process when its parent ends; for `preexec_fn` of Popen."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def end_strays(worker: str | None, seconds: float) -> list[str]:
    """Kills the processes of this run that do not end in time; returns what each was.

    `worker` limits that to the processes that one worker of pytest-xdist has started.
    """
    _, alive = psutil.wait_procs(list(_of_run(worker)), seconds)
    described = [_describe(process) for process in alive]
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, seconds)
    return described


def _of_run(worker: str | None) -> Iterator[psutil.Process]:
    own = [os.getpid(), *(it.pid for it in psutil.Process().parents())]
    for process in psutil.process_iter():
        # Processes of other users cannot be looked at, and others end meanwhile.
        with suppress(psutil.Error):
            if process.pid in own or process.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = process.environ()
            if environment.get(RUN) == os.environ[RUN] and worker in (
                None,
                environment.get("PYTEST_XDIST_WORKER", ""),
            ):
                yield process


def _describe(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        test = process.environ().get("PYTEST_CURRENT_TEST", "no test")
        return f"{' '.join(process.cmdline()).strip()} (process {process.pid}, started by {test})"
    return f"process {process.pid}"
