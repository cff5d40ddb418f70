"""Has the configuration written anew when the files change that it was made from."""

import logging
import subprocess
import sys
import time
from pathlib import Path

from twc_customer_gateway.supervisor.processes import Process, stop
from twc_customer_gateway.supervisor.stack_settings import StackSettings
from twc_customer_server.concurrency.file_watch import FileWatch
from twc_customer_server.telemetry import logs

# Time between looks at the files.
_SECONDS = 1
_RETRY_SECONDS = 10
_KILL_SECONDS = 5

_log = logging.getLogger(__name__)


class Renewal:
    """Looks at the settings file and at certificates, which Envoy and workers then take anew.

    A child process reads them; what it refuses has no effect.
    """

    def __init__(self, folder: Path, settings: StackSettings) -> None:
        self._folder = folder
        files = [Path(file) for file in settings.watched]
        self._files = FileWatch(files, settings.watched_as_read)
        self._looked = time.monotonic()
        command = [sys.executable, "-m", "twc_customer_gateway", "config", "--renew", str(folder)]
        self._child = Process("renewal", command, {})
        self._is_awaited = self._is_due = False

    def look(self) -> None:
        """Looks for changes if it is time; returns at once, and is to be called again and again."""
        if self._is_awaited:
            if not self._child.is_running:
                self._is_awaited = False
                self._end()
        elif time.monotonic() > self._looked + _SECONDS:
            self._looked = time.monotonic()
            self._is_due |= self._files.has_changed()
            if self._is_due:
                self._start()

    def stop(self) -> None:
        """Ends the child process if it runs."""
        stop([self._child], _KILL_SECONDS)

    def _start(self) -> None:
        """Starts the child; if that fails, as for want of memory, it is tried again."""
        try:
            self._child.start()
        except (OSError, subprocess.SubprocessError) as error:
            _log.error("changed files cannot be read now: %s", type(error).__name__)
            self._looked += _RETRY_SECONDS
        else:
            self._is_awaited, self._is_due = True, False

    def _end(self) -> None:
        if self._child.status:
            # It has said itself what is wrong, unless it was killed.
            _log.error("changed files are not used: %s", self._child.exit_message)
            if self._child.status < 0:
                self._is_due = True
                self._looked += _RETRY_SECONDS
        else:
            logs.set_level(StackSettings.read(self._folder).log_level)
