"""The process that the tests' servers are forked from: it has imported the server already.

`python -m tests.support.template FD` forks a process for each request that comes on a socket,
until the socket is closed. `tests.support.forks` sends them.
"""

import gc
import json
import os
import resource
import runpy
import select
import signal
import socket
import sys
from typing import Any, NamedTuple

from tests.support.processes import die_with_parent
from twc_customer_server import app
from twc_customer_server.admin import access, backup, copy, distribute, effective_settings
from twc_customer_server.process import output
from twc_customer_server.settings import checks

# What a forked process need not import. The program itself is not among it: `-m` runs it anew.
PRELOADED = (access, app, backup, checks, copy, distribute, effective_settings, output)

# As the shell's `ulimit -f` counts them.
BLOCK_BYTES = 512

MAX_REQUEST_BYTES = 1 << 20

_STREAMS = (0, 1, 2)


class _Job(NamedTuple):
    """What a forked process is to do, with its standard streams."""

    request: dict[str, Any]
    streams: list[int]

    def run(self) -> None:
        """Becomes the process that `python` with the request's arguments would be."""
        die_with_parent()
        for stream, number in zip(self.streams, _STREAMS, strict=True):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(self.request["environment"])
        os.chdir(self.request["folder"])
        if blocks := self.request["file_blocks"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (blocks * BLOCK_BYTES,) * 2)
        option, program, *arguments = self.request["arguments"]
        sys.argv = [program, *arguments]
        if option == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            sys.argv[0] = option
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102


class _Template:
    """Forks processes, and tells how they end."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        # Where the exit status of a running process is to be written.
        self._running: dict[int, int] = {}
        self._woken, self._waking = os.pipe()
        os.set_blocking(self._waking, False)
        signal.set_wakeup_fd(self._waking)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # A Ctrl-C in the terminal is for the run.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gc.freeze()

    def serve(self) -> _Job | None:
        """Returns what to do in a forked process, and None when there are no more requests."""
        awaited: list[Any] = [self._requests, self._woken]
        while True:
            ready, _, _ = select.select(awaited, [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._reap()
            if self._requests in ready:
                request, files, _, _ = socket.recv_fds(self._requests, MAX_REQUEST_BYTES, 4)
                if not request:
                    return None
                *streams, status = files
                if pid := os.fork():
                    self._running[pid] = status
                    for stream in streams:
                        os.close(stream)
                    self._requests.send(str(pid).encode())
                else:
                    self._forget(status)
                    return _Job(json.loads(request), streams)

    def _reap(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            file = self._running.pop(pid)
            os.write(file, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(file)

    def _forget(self, status: int) -> None:
        """Gives up, in a forked process, what is the template's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for file in (status, self._woken, self._waking, *self._running.values()):
            os.close(file)
        self._requests.close()


def main() -> None:
    """Serves requests, or is a process that was asked for."""
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        job = _Template(requests).serve()
    if job:
        job.run()


if __name__ == "__main__":
    main()
