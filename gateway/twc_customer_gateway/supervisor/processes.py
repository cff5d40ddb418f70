"""Starts, stops and restarts the processes of the service."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from twc_customer_server.process.signals import STOP_SIGNALS

# The backoff before a process that ended is restarted: it doubles with each end that
# comes soon after a start.
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 8.0
_SOON_SECONDS = 60

_PR_SET_PDEATHSIG = 1

_log = logging.getLogger(__name__)

# Starts a process, as `subprocess.Popen` does; another function may take its place.
spawn: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen


class Process:
    """A child process, which inherits the environment and the file descriptors that are given.

    It runs on one core alone if `core` is given.
    """

    # The signal that it gets when its parent is gone.
    death_signal = signal.SIGTERM

    # Signals that its threads do not get, unless they wait for them.
    blocked_signals: Collection[signal.Signals] = ()

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        inherited: Sequence[int] = (),
        core: int | None = None,
    ) -> None:
        self.name = name
        self._core = core
        self._command = command
        self._environment = {**os.environ, **environment}
        self._inherited = inherited
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def status(self) -> int | None:
        """Its exit status, negative if a signal killed it; None if it runs or never started."""
        return self._process.poll() if self._process else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self.status is None

    @property
    def exit_message(self) -> str:
        """How it ended, as in `server-1 exited with status 1`."""
        status = self.status or 0
        if status < 0:
            return f"{self.name} was killed by {signal.Signals(-status).name}"
        return f"{self.name} exited with status {status}"

    def start(self) -> None:
        """Starts the process. Raises OSError if the system cannot."""
        # An exception of a signal handler must not lose a process that was just started.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            self._process = spawn(
                self._command,
                env=self._environment,
                pass_fds=self._inherited,
                # Ctrl-C in the terminal reaches only the supervisor, which stops the
                # others in order.
                start_new_session=True,
                preexec_fn=partial(_prepare, self._core, self.death_signal, self.blocked_signals),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def terminate(self) -> None:
        """Sends SIGTERM if it runs."""
        if self._process:
            self._process.terminate()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal if it runs."""
        if self._process:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Sends SIGKILL if it runs."""
        if self._process:
            self._process.kill()

    def wait(self, seconds: float) -> None:
        """Waits for it to end, and kills it after a time."""
        if self._process:
            try:
                self._process.wait(max(seconds, 0))
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class RestartedProcess(Process):
    """A child process that is restarted when it ends, with exponential backoff if it fails."""

    _backoff = 0.0
    _started = 0.0
    _due: float | None = None

    def start(self) -> None:
        """Starts the process. Raises OSError if the system cannot."""
        self._due = None
        self._started = time.monotonic()
        super().start()

    def restart_if_ended(self) -> None:
        """Restarts the process if it has ended and the backoff after that is over.

        Returns at once; it is meant to be called again and again.
        """
        if self.is_running:
            return
        if self._due is None:
            # One that was told to end is no sign of more to come.
            self._schedule_restart(self.exit_message, is_first=self.status == 0)
        elif time.monotonic() >= self._due:
            try:
                self.start()
            except OSError as error:
                self._schedule_restart(f"{self.name} could not be started ({error.strerror})")
            except subprocess.SubprocessError:
                # The child failed before it ran its program, and could not report why.
                self._schedule_restart(f"{self.name} could not be started")

    def _schedule_restart(self, reason: str, *, is_first: bool = False) -> None:
        now = time.monotonic()
        if is_first or now - self._started > _SOON_SECONDS:
            self._backoff = 0
        self._backoff = min(2 * self._backoff or FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        self._due = now + self._backoff
        _log.warning("%s; restarting it in %g s", reason, self._backoff)


def stop(processes: Sequence[Process], seconds: float) -> None:
    """Sends SIGTERM to processes, and kills those that have not ended after a time."""
    for process in processes:
        process.send(signal.SIGTERM)
    wait_for_all(processes, seconds)


def wait_for_all(processes: Sequence[Process], seconds: float) -> None:
    """Waits for processes to end, and kills those that have not after a time."""
    deadline = time.monotonic() + seconds
    for process in processes:
        process.wait(deadline - time.monotonic())


def _prepare(
    core: int | None, death_signal: signal.Signals, blocked: Collection[signal.Signals]
) -> None:
    """Sets affinity, parent-death signal and signal mask of a child before it runs its program."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    if sys.platform == "linux":
        # The kernel ends the child when its parent is gone, however that came about.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
