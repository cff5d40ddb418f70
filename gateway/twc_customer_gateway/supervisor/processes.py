"""The processes of the service: how one is started, stopped, and started again."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial

# The pause before a worker that ended is started again, if it ended soon
# after its start twice as long each time.
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 8.0
_SOON_SECONDS = 60

_STOP = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1

_log = logging.getLogger(__name__)


class Process:
    """A process that a command starts.

    It has those of our file descriptors that it inherits, and one core if that is given.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        inherited: Sequence[int] = (),
        core: int | None = None,
    ) -> None:
        self.name = name
        self._core = core
        self._command = command
        self._environment = os.environ | environment
        self._inherited = inherited
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def status(self) -> int | None:
        """The status that it ended with; None until it has."""
        return self._process.poll() if self._process else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self.status is None

    def start(self) -> None:
        """Starts the process. Raises OSError if the system cannot."""
        # What a signal's handler raises must not lose a process just started.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                self._command,
                env=self._environment,
                pass_fds=self._inherited,
                # A Ctrl-C in the terminal is for this process, which stops the
                # others in order.
                start_new_session=True,
                preexec_fn=partial(_begin, self._core),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def terminate(self) -> None:
        """Tells it to end, if it runs."""
        if self._process:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Waits for its end, and ends it by force after a time."""
        if self._process:
            try:
                self._process.wait(max(seconds, 0))
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Worker(Process):
    """A process that is started again when it ends by itself."""

    _pause = 0.0
    _started = 0.0
    _due: float | None = None

    def start(self) -> None:
        """Starts the process. Raises OSError if the system cannot."""
        self._due = None
        self._started = time.monotonic()
        super().start()

    def tend(self) -> None:
        """Starts the process again if it has ended and the pause after that is over."""
        if self.is_running:
            return
        if self._due is None:
            self._postpone(f"ended with status {self.status}")
        elif time.monotonic() >= self._due:
            try:
                self.start()
            except OSError as error:
                self._postpone(f"could not be started ({error.strerror})")
            except subprocess.SubprocessError:
                # What kept it from starting did not come through whole.
                self._postpone("could not be started")

    def _postpone(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._started > _SOON_SECONDS:
            self._pause = 0
        self._pause = min(2 * self._pause or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._due = now + self._pause
        _log.warning("%s %s; it is started again in %g s", self.name, reason, self._pause)


def stop(processes: Sequence[Process], seconds: float) -> None:
    """Ends processes, all at the same time; by force those that take longer than a time."""
    deadline = time.monotonic() + seconds
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(deadline - time.monotonic())


def _begin(core: int | None) -> None:
    """Makes a process that was just forked what its program expects."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    if sys.platform == "linux":
        # The system ends it when its parent is gone, however that came about.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)
