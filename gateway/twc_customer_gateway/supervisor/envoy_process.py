"""An Envoy as a child process: restarted when it ends, and killed when it hangs."""

import logging
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from twc_customer_gateway.supervisor import envoy_admin
from twc_customer_gateway.supervisor.processes import RestartedProcess

# Seconds between two questions whether Envoy responds, and that it has to do so.
_PROBE_SECONDS = 1
HUNG_SECONDS = 10
_START_SECONDS = 30

# Looks in a row at which no request is in progress when all have ended.
_QUIET_LOOKS = 6

_PROBE = b"GET /ready HTTP/1.0\r\n\r\n"

T = TypeVar("T")

_log = logging.getLogger(__name__)


class EnvoyProcess(RestartedProcess):
    """An Envoy, with its administration socket.

    Its own watchdog ends it when one of its threads hangs, but not when the whole
    process does; `kill_if_hung` does. One that let a question time out is asked no other
    until it has responded to that method, so that many questions take no more time than one.
    """

    # One that hangs would not act on SIGTERM.
    death_signal = signal.SIGKILL

    # Time in which connections that are being made reach it before it closes its port, and that
    # in which it does so.
    closing_seconds = 0.2

    # Time in which it must respond for the first time, if that is longer than for others.
    start_seconds: float = _START_SECONDS

    def __init__(  # noqa: PLR0913, PLR0917 - what any process has, and its administration
        self,
        name: str,
        command: Sequence[str],
        admin_socket: str,
        environment: Mapping[str, str] | None = None,
        inherited: Sequence[int] = (),
        core: int | None = None,
    ) -> None:
        super().__init__(f"envoy-{name}", command, environment or {}, inherited, core)
        self._admin_socket = admin_socket
        self._probe: socket.socket | None = None
        self._asked = 0.0
        # When it was asked for the first time since it responded.
        self._unanswered_since: float | None = None
        self._is_silent = False
        self._quiet_looks = 0
        self._fails_health = False
        self._has_started = False

    def start(self) -> None:
        """Starts the process. Raises OSError if the system cannot."""
        self._end_probe()
        self._fails_health = self._has_started = self._is_silent = False
        self._unanswered_since = None
        super().start()

    def wait(self, seconds: float) -> None:
        """Waits for it to end, and kills it after a time."""
        super().wait(seconds)
        self._end_probe()

    def stat(self, name: str) -> int | None:
        """Returns one of its statistics, or None while it does not respond."""
        return self._asked_for(lambda: envoy_admin.stat(self._admin_socket, name))

    def is_quiet(self) -> bool:
        """Tells whether it has answered all requests to the gateway; to be called again and again.

        Between two requests of a connection that does not know yet that it must
        close, there may be none for a moment. While it does not respond it is busy.
        """
        is_idle = self.stat("http.public.downstream_rq_active") == 0
        self._quiet_looks = self._quiet_looks + 1 if is_idle else 0
        return self._quiet_looks >= _QUIET_LOOKS

    def fail_health(self) -> None:
        """Has it say that it does not serve, and close a connection with each response.

        It is meant to be called again and again: Envoy may have been restarted.
        """
        if not self._fails_health:
            self._fails_health = self._post("/healthcheck/fail")

    def close_listeners(self) -> None:
        """Has it accept no more connections; those that it has go on."""
        self._post("/drain_listeners")

    def quit(self) -> None:
        """Ends it. Unlike a signal, this is no warning in its log."""
        if self._post("/quitquitquit"):
            return
        if self._is_silent:
            # It would not act on SIGTERM.
            self.kill()
        else:
            self.terminate()

    def _post(self, path: str) -> bool:
        """Sends a command to its administration; returns whether it has responded."""
        answer = self._asked_for(lambda: envoy_admin.request(self._admin_socket, "POST", path))
        return answer is not None

    def _asked_for(self, ask: Callable[[], T]) -> T | None:
        """Returns the answer to a question, or None if there is none."""
        if self._is_silent:
            return None
        try:
            return ask()
        except TimeoutError:
            self._is_silent = True
        except OSError:
            pass  # It does not listen yet, or has ended.
        return None

    def kill_if_hung(self) -> None:
        """Kills the process if it has not responded for a time.

        Returns at once; it is meant to be called again and again.
        """
        if not self.is_running:
            return
        now = time.monotonic()
        if self._probe is None:
            if now <= self._asked + _PROBE_SECONDS:
                return
            self._ask(now)
        elif self._has_responded(self._probe):
            self._has_started, self._is_silent, self._unanswered_since = True, False, None
            self._end_probe()
            return
        if now > (self._unanswered_since or now) + (most := self._most_seconds()):
            _log.error("%s has not responded for %d s and is killed", self.name, most)
            self._unanswered_since = None
            self._end_probe()
            self.kill()

    def _most_seconds(self) -> float:
        """Returns the time in which it must respond."""
        return HUNG_SECONDS if self._has_started else max(HUNG_SECONDS, self.start_seconds)

    def _ask(self, now: float) -> None:
        self._asked = now
        self._unanswered_since = self._unanswered_since or now
        self._probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._probe.settimeout(0)
        try:
            self._probe.connect(self._admin_socket)
            self._probe.send(_PROBE)
        except OSError:
            # It does not listen yet, or has too many connections waiting: asks again.
            self._end_probe()

    def _has_responded(self, probe: socket.socket) -> bool:
        try:
            probe.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            pass  # It has ended meanwhile.
        return True

    def _end_probe(self) -> None:
        if self._probe:
            self._probe.close()
            self._probe = None
