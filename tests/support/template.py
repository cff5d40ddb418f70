"""The process that the tests' servers are forked from: it has imported the service already.

`python -m tests.support.template FD` forks a process for each request that comes on a socket,
until the socket is closed. `tests.support.forks` sends them.
"""

import gc
import os
import pickle
import select
import signal
import socket
import sys

from tests.support.jobs import Job
from tests.support.processes import die_with_parent
from twc_customer_gateway import configuring, renewing
from twc_customer_server import app
from twc_customer_server.admin import access, backup, copy, distribute, effective_settings
from twc_customer_server.process import output
from twc_customer_server.settings import checks
from twc_customer_server.telemetry import metrics

# What a forked process need not import. The program itself is not among it: `-m` runs it anew.
PRELOADED = (
    *(access, app, backup, checks, configuring, copy, distribute, effective_settings, metrics),
    *(output, renewing),
)

MAX_REQUEST_BYTES = 1 << 20

# A service has as many workers at most, each with memory that all of them inherit.
MAX_DESCRIPTORS = 128


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

    def serve(self) -> tuple[Job, list[int]] | None:
        """Returns what to do in a forked process, with the descriptors that it has been sent.

        Returns None when there are no more requests.
        """
        awaited = [self._requests.fileno(), self._woken]
        while True:
            ready, _, _ = select.select(awaited, [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._reap()
            if self._requests.fileno() in ready:
                request, descriptors, _, _ = socket.recv_fds(
                    self._requests, MAX_REQUEST_BYTES, MAX_DESCRIPTORS
                )
                if not request:
                    return None
                *sent, status = descriptors
                if pid := os.fork():
                    self._running[pid] = status
                    for descriptor in sent:
                        os.close(descriptor)
                    self._requests.send(str(pid).encode())
                else:
                    self._forget(status)
                    die_with_parent()
                    return pickle.loads(request), sent  # noqa: S301 - the tests' own

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
        asked = _Template(requests).serve()
    if asked:
        job, descriptors = asked
        job.take(descriptors)
        job.run()


if __name__ == "__main__":
    main()
