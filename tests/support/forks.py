"""Processes of Python that have the server imported when they begin, which takes most of a start.

They are forked from a template, see `tests.support.template`, and are else what
`subprocess` makes of the same arguments.
"""

import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.support.client import SECONDS
from tests.support.jobs import ROOM, Job, spawner
from tests.support.processes import Ending
from tests.support.uncovered import COVERAGE

_ROOT = Path(__file__).parents[2]


class ForkedProcess(Ending):
    """A process that a template has forked."""

    def __init__(self, pid: int, status: int, arguments: list[str]) -> None:
        super().__init__(pid)
        self.arguments = arguments
        self._status = status

    def poll(self) -> int | None:
        """Returns the exit status, or None while the process runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end and returns the exit status. Raises TimeoutExpired."""
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return status

    def _ended(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            polled = select.poll()
            polled.register(self._status, select.POLLIN)
            if polled.poll(None if seconds is None else seconds * 1000):
                # Without a word the template has ended, and the process with it.
                written = os.read(self._status, 16) or str(-signal.SIGKILL)
                os.close(self._status)
                self.returncode = int(written)
        return self.returncode


class _Template:
    """A running template."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Starts it, with coverage if an environment says so."""
        coverage = {name: environment[name] for name in COVERAGE if name in environment}
        others = {name: value for name, value in os.environ.items() if name not in COVERAGE}
        self._forked: list[ForkedProcess] = []
        self._lock = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.template", str(theirs.fileno()), ROOM],
                cwd=_ROOT,
                env=others | coverage,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def fork(self, job: Job, descriptors: list[int]) -> ForkedProcess:
        """Forks a process."""
        status, theirs = os.pipe()
        with self._lock:
            socket.send_fds(self._requests, [pickle.dumps(job)], [*descriptors, theirs])
            os.close(theirs)
            forked = ForkedProcess(int(self._requests.recv(16)), status, job.arguments)
            self._forked.append(forked)
        return forked

    def end(self, seconds: float) -> list[ForkedProcess]:
        """Ends the template, and what it has forked; returns what did not end in time."""
        end = time.monotonic() + seconds
        left = []
        for forked in self._forked:
            try:
                forked.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                left.append(forked)
        self._requests.close()
        self._process.wait()
        return left


# By what turns coverage on in the processes that they fork.
_templates: dict[tuple[str | None, ...], _Template] = {}
_starting = threading.Lock()


def start(
    arguments: list[str],
    environment: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    file_blocks: int = 0,
) -> ForkedProcess:
    """Starts what `python` with arguments, `-m` or `-c` the first of them, would start.

    Its files grow to `file_blocks` blocks of 512 bytes at most, if that is given.
    """
    job = Job(arguments, {**environment}, str(Path.cwd()), file_blocks)
    return fork(job, stdout.fileno(), stderr.fileno())


def fork(job: Job, stdout: int = 1, stderr: int = 2) -> ForkedProcess:
    """Starts a process, whose output is that of the tests unless descriptors say otherwise."""
    kind = tuple(job.environment.get(name) for name in COVERAGE)
    with _starting:
        if kind not in _templates:
            _templates[kind] = _Template(job.environment)
    with Path(os.devnull).open("rb") as stdin:
        return _templates[kind].fork(job, [stdin.fileno(), stdout, stderr, *job.inherited])


# For a supervisor in the tests' own process.
spawn = spawner(fork)


def run(arguments: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs what is to end by itself, and returns what it has printed."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = start(arguments, environment, stdout, stderr)
        try:
            status = process.wait(SECONDS)
        finally:
            process.kill()
        printed = []
        for file in (stdout, stderr):
            file.seek(0)
            printed.append(file.read().decode())
    return subprocess.CompletedProcess(arguments, status, *printed)


def end(seconds: float) -> list[str]:
    """Ends the template, if there is one, and what it has forked.

    Returns what each process was that did not end by itself in time.
    """
    return [
        f"{' '.join(it.arguments)} (process {it.pid})"
        for template in _templates.values()
        for it in template.end(seconds)
    ]
