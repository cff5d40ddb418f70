"""Processes: the command line, servers on a core each, and the most memory that they have."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from bench.problems import BenchError

_ROOT = Path(__file__).parents[1]
# How often it is looked whether something is ready, or has grown.
_EVERY_SECONDS = 0.05
_READY_SECONDS = 60
_STOP_SECONDS = 20


class Command:
    """`twc-customers` with its arguments, under way."""

    def __init__(self, server: str, tenant: str, token: str, *args: object) -> None:
        own = {"TWC_SERVER": server, "TWC_TENANT": tenant, "TWC_TOKEN": token}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "twc_customer_client", *map(str, args)],
            env=os.environ | own,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.wait()

    def summary(self, status: int) -> dict[str, Any]:
        """Waits for its end, which must have a status, and returns what it printed."""
        out, _ = self._process.communicate()
        if self._process.returncode != status:
            sys.exit(f"WRONG: the command ended with {self._process.returncode}: {out}")
        printed: dict[str, Any] = json.loads(out)
        return printed


class Peak:
    """The most memory (RSS) that any of some processes had at any time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._most = 0

    def watch(self, pid: int) -> None:
        """Looks at a process again and again until it ends."""
        threading.Thread(target=self._look, args=(pid,), daemon=True).start()

    def __str__(self) -> str:
        """Says it in MiB."""
        return f"peak memory of the {self._name}: {self.mebibytes:.0f} MiB"

    @property
    def mebibytes(self) -> float:
        """It in MiB."""
        return self._most / (1 << 20)

    def _look(self, pid: int) -> None:
        try:
            process = psutil.Process(pid)
            while process.status() != psutil.STATUS_ZOMBIE:
                self._most = max(self._most, process.memory_info().rss)
                time.sleep(_EVERY_SECONDS)
        except psutil.NoSuchProcess:
            return


@contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str], core: int | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a command, on one core if that is given, and ends it and all that it started."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A Ctrl-C in the terminal is for this process, which stops the others.
            start_new_session=True,
        )
    try:
        if core is not None:
            # Its threads and processes, which it has none of yet, stay there.
            os.sched_setaffinity(process.pid, {core})
        yield process
    finally:
        _end(process)


def await_ready(
    is_ready: Callable[[], bool], processes: Iterable["subprocess.Popen[bytes]"], log: Path
) -> None:
    """Waits until something is so. Raises BenchError if a process ends before, or it is not."""
    deadline = time.monotonic() + _READY_SECONDS
    while not is_ready():
        if any(process.poll() is not None for process in processes):
            raise BenchError(f"a process ended before it served: {tail(log)}")
        if time.monotonic() > deadline:
            raise BenchError(f"nothing serves after {_READY_SECONDS} seconds: {tail(log)}")
        time.sleep(_EVERY_SECONDS)


def tail(log: Path) -> str:
    """The last of what processes have said."""
    return log.read_bytes()[-2000:].decode(errors="replace")


def _end(process: "subprocess.Popen[bytes]") -> None:
    children = descendants(process.pid)
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def descendants(pid: int) -> list[psutil.Process]:
    """All processes that a process has started, and those have."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
