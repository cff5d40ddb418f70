"""Processes of Python that have the server imported when they begin, which takes most of a start.

They are forked from a template, see `tests.support.template`, and are else what
`subprocess` makes of the same arguments.
"""

import json
import os
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
from typing import IO, Any

from tests.support.client import SECONDS

_ROOT = Path(__file__).parents[2]


class ForkedProcess:
    """A process that a template has forked, with what `subprocess.Popen` has of it."""

    def __init__(self, pid: int, status: int, arguments: list[str]) -> None:
        self.pid = pid
        self.arguments = arguments
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """Returns the exit status, or None while the process runs."""
        return self._ended(0)

    def wait(self, seconds: float | None = None) -> int:
        """Waits for the end and returns the exit status. Raises TimeoutExpired."""
        status = self._ended(seconds)
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", seconds or 0)
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


class _Template:
    """A running template."""

    def __init__(self) -> None:
        self._forked: list[ForkedProcess] = []
        self._lock = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.template", str(theirs.fileno())],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def fork(self, job: dict[str, Any], streams: list[int]) -> ForkedProcess:
        """Forks a process."""
        status, theirs = os.pipe()
        with self._lock:
            socket.send_fds(self._requests, [json.dumps(job).encode()], [*streams, theirs])
            os.close(theirs)
            forked = ForkedProcess(int(self._requests.recv(16)), status, job["arguments"])
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


_templates: list[_Template] = []
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
    with _starting:
        if not _templates:
            _templates.append(_Template())
    job = {
        "arguments": arguments,
        "environment": dict(environment),
        "folder": str(Path.cwd()),
        "file_blocks": file_blocks,
    }
    with Path(os.devnull).open("rb") as stdin:
        streams = [it.fileno() for it in (stdin, stdout, stderr)]
        return _templates[0].fork(job, streams)


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
        for template in _templates
        for it in template.end(seconds)
    ]
