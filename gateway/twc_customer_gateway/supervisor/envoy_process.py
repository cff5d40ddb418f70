"""An Envoy as a child process: restarted when it ends, and killed when it hangs."""

import logging
import signal
import socket
import time
from collections.abc import Mapping, Sequence

from twc_customer_gateway.supervisor import envoy_admin
from twc_customer_gateway.supervisor.processes import RestartedProcess

# Seconds between two questions whether Envoy responds, and that it has to do so.
_PROBE_SECONDS = 1
HUNG_SECONDS = 10

_PROBE = b"GET /ready HTTP/1.0\r\n\r\n"

_log = logging.getLogger(__name__)


class EnvoyProcess(RestartedProcess):
    """An Envoy, with its administration socket.

    Its own watchdog ends it when one of its threads hangs, but not when the whole
    process does; `kill_if_hung` does.
    """

    # One that hangs would not act on SIGTERM.
    death_signal = signal.SIGKILL

    # Time in which connections that are being made reach it before it closes its port, and that
    # in which it does so.
    closing_seconds = 0.2

    # Time in which it must respond for the first time, if that is longer than for others.
    start_seconds = 0.0

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
        self._fails_health = False
        self._has_started = False

    def start(self) -> None:
        """Starts the process. Raises OSError if the system cannot."""
        self._end_probe()
        self._fails_health = self._has_started = False
        super().start()

    def wait(self, seconds: float) -> None:
        """Waits for it to end, and kills it after a time."""
        super().wait(seconds)
        self._end_probe()

    def stat(self, name: str) -> int | None:
        """Returns one of its statistics, or None while it does not respond."""
        try:
            return envoy_admin.stat(self._admin_socket, name)
        except OSError:
            return None

    def requests_in_progress(self) -> int:
        """Returns the number of requests to the gateway that it has not answered yet."""
        return self.stat("http.public.downstream_rq_active") or 0

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
        if not self._post("/quitquitquit"):
            self.terminate()

    def _post(self, path: str) -> bool:
        """Sends a command to its administration; returns whether it has responded."""
        try:
            envoy_admin.request(self._admin_socket, "POST", path)
        except OSError:
            return False
        return True

    def kill_if_hung(self) -> None:
        """Kills the process if it has not responded for a time.

        Returns at once; it is meant to be called again and again.
        """
        if not self.is_running:
            return
        since = time.monotonic() - self._asked
        if self._probe is None:
            if since > _PROBE_SECONDS:
                self._ask()
        elif self._has_responded(self._probe):
            self._has_started = True
            self._end_probe()
        elif since > (most := self._most_seconds()):
            _log.error("%s has not responded for %d s and is killed", self.name, most)
            self._end_probe()
            self.kill()

    def _most_seconds(self) -> float:
        """Returns the time in which it must respond."""
        return HUNG_SECONDS if self._has_started else max(HUNG_SECONDS, self.start_seconds)

    def _ask(self) -> None:
        self._asked = time.monotonic()
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
