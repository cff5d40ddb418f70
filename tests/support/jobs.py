"""What a process that was forked from another is to do: to be what `python` would be.

It has the arguments, environment and descriptors that one which is started anew would have. A
supervisor that runs in it forks in its turn what it would start.
"""

import atexit
import ctypes
import fcntl
import gc
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from tests.support.processes import Ending
from twc_customer_gateway.supervisor import processes

# As the shell's `ulimit -f` counts them.
BLOCK_BYTES = 512

STREAMS = (0, 1, 2)

# An argument that the template is started with, so that there is room for those of a process.
ROOM = " " * 4096


class Job(NamedTuple):
    """A run of Python."""

    # Those of `python`: `-m` or `-c` and what follows.
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    # Blocks that its files grow to at most; 0 is no limit.
    file_blocks: int = 0
    # The numbers that descriptors have in it, beside the standard streams.
    inherited: Sequence[int] = ()
    is_session: bool = False
    # What is called before the program runs, as `preexec_fn` of Popen.
    prepare: Callable[[], object] | None = None

    def take(self, descriptors: Sequence[int]) -> None:
        """Gives their numbers to the standard streams, and to descriptors that are inherited."""
        numbers = (*STREAMS, *self.inherited)
        # Above all first: the number of one may be that of another.
        moved = [fcntl.fcntl(it, fcntl.F_DUPFD, max(numbers) + 1) for it in descriptors]
        for descriptor in descriptors:
            os.close(descriptor)
        for descriptor, number in zip(moved, numbers, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)

    def run(self) -> None:
        """Runs the program, whose end is that of the process."""
        if self.is_session:
            os.setsid()
        if self.prepare:
            self.prepare()
        os.environ.clear()
        os.environ.update(self.environment)
        time.tzset()
        tempfile.tempdir = None
        os.chdir(self.folder)
        if self.file_blocks:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_blocks * BLOCK_BYTES,) * 2)
        _show([sys.executable, *self.arguments])
        processes.spawn = spawner(_Child)
        # Programs stop it that begin with a great many imports.
        gc.enable()
        option, program, *arguments = self.arguments
        sys.argv = [program, *arguments]
        if option == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            sys.argv[0] = option
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102


def spawner(fork: Callable[[Job], Any]) -> Callable[..., Any]:
    """Returns what starts the processes of a service: Python by a fork, and all else as usual."""

    def spawn(command: Sequence[str], **options: Any) -> Any:
        if [*command[:2]] != [sys.executable, "-m"]:
            return subprocess.Popen(command, **options)
        return fork(
            Job(
                [*command[1:]],
                options["env"],
                str(Path.cwd()),
                inherited=[*options["pass_fds"]],
                is_session=options["start_new_session"],
                prepare=options["preexec_fn"],
            )
        )

    return spawn


class _Child(Ending):
    """A process that this one has forked."""

    def __init__(self, job: Job) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        super().__init__(os.fork())
        if not self.pid:
            _become(job)

    def poll(self) -> int | None:
        """Returns the exit status, or None while the process runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Waits for the end and returns the exit status. Raises TimeoutExpired."""
        end = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.005)
        return status


def _become(job: Job) -> NoReturn:
    """Runs a job in a fork of a process that does something else, and ends as Python does."""
    # They are the other's, as is the removal of its folder.
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]  # noqa: SLF001
    _close_all_but({*STREAMS, *job.inherited})
    status = _status_of(job.run)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # noqa: SLF001 - multiprocessing does the same
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _status_of(run: Callable[[], None]) -> int:
    """Runs, and returns the exit status; prints what Python would print at its end."""
    try:
        run()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    except BaseException:  # noqa: BLE001 - it ends the process
        traceback.print_exc()
        return 1
    return 0


def _close_all_but(kept: Collection[int]) -> None:
    """Closes all descriptors but some, of which the standard streams are three."""
    for low, high in pairwise([*sorted(kept), os.sysconf("SC_OPEN_MAX")]):
        os.closerange(low + 1, high)


def _show(command: list[str]) -> None:
    """Has the system show a command as that of this process."""
    if sys.platform == "linux":
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begin, end = int(fields[45]), int(fields[46])
        shown = "".join(f"{argument}\0" for argument in command).encode()
        ctypes.memmove(begin, shown[: end - begin].ljust(end - begin, b"\0"), end - begin)
