"""Has the configuration written anew when the files change that it was made from."""

import logging
import sys
import time
from pathlib import Path

from twc_customer_gateway.supervisor.processes import Process, stop
from twc_customer_gateway.supervisor.stack_settings import StackSettings
from twc_customer_server.concurrency.file_watch import FileWatch
from twc_customer_server.telemetry import logs

# Time between looks at the files.
_SECONDS = 1
_KILL_SECONDS = 5

_log = logging.getLogger(__name__)


class Renewal:
    """Looks at the settings file and at certificates, which Envoy and workers then take anew.

    A child process reads them; what it refuses has no effect.
    """

    def __init__(self, folder: Path, settings: StackSettings) -> None:
        self._folder = folder
        self._files = FileWatch([Path(file) for file in settings.watched])
        self._looked = time.monotonic()
        command = [sys.executable, "-m", "twc_customer_gateway", "config", "--renew", str(folder)]
        self._child = Process("renewal", command, {})
        self._is_awaited = False

    def look(self) -> None:
        """Looks for changes if it is time; returns at once, and is to be called again and again."""
        if self._is_awaited:
            if not self._child.is_running:
                self._is_awaited = False
                self._end()
        elif time.monotonic() > self._looked + _SECONDS:
            self._looked = time.monotonic()
            if self._files.has_changed():
                self._child.start()
                self._is_awaited = True

    def stop(self) -> None:
        """Ends the child process if it runs."""
        stop([self._child], _KILL_SECONDS)

    def _end(self) -> None:
        if self._child.status:
            # It has said itself what is wrong, unless it was killed.
            _log.error("changed files are not used: %s", self._child.exit_message)
        else:
            logs.set_level(StackSettings.read(self._folder).log_level)
