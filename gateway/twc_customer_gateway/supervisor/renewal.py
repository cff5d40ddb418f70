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
# Time that the child has: it takes about one second unless something hangs.
_MOST_SECONDS = 30
_KILL_SECONDS = 5

# How a child ends that has said why: files are wrong, or a call of the system failed.
WRONG_STATUS = 65
FAILED_STATUS = 74

_log = logging.getLogger(__name__)


class Renewal:
    """Looks at the settings file and at certificates, which Envoy and workers then take anew.

    A child process reads them; what it refuses has no effect. However it fails, it is tried again.
    """

    def __init__(self, folder: Path, settings: StackSettings) -> None:
        self._folder = folder
        files = [Path(file) for file in settings.watched]
        self._files = FileWatch(files, settings.watched_as_read)
        self._looked = self._started = time.monotonic()
        self._child = self._new_child()
        self._is_awaited = False
        # How the last attempt to read these files has failed.
        self._failure = ""

    def look(self) -> None:
        """Looks for changes if it is time; returns at once, and is to be called again and again."""
        if self._is_awaited:
            if not self._child.is_running:
                self._is_awaited = False
                self._end()
            elif time.monotonic() > self._started + _MOST_SECONDS:
                self._child.kill()
        elif time.monotonic() > self._looked + _SECONDS:
            self._looked = time.monotonic()
            if self._files.has_changed():
                self._start()

    def stop(self) -> None:
        """Ends the child process if it runs."""
        stop([self._child], _KILL_SECONDS)

    def _new_child(self, *options: str) -> Process:
        command = [sys.executable, "-m", "twc_customer_gateway", "config", "--renew", *options]
        return Process("renewal", [*command, str(self._folder)], {})

    def _start(self) -> None:
        again = self._child.status or 0
        if not self._files.is_told_again:
            again, self._failure = 0, ""
        self._child = self._new_child(f"--again={again}")
        self._started = time.monotonic()
        try:
            self._child.start()
        except (OSError, subprocess.SubprocessError) as error:
            self._fail(type(error).__name__)
        else:
            self._is_awaited = True

    def _end(self) -> None:
        if self._child.status:
            self._fail(self._child.exit_message)
        else:
            self._files.note_used()
            logs.set_level(StackSettings.read(self._folder).log_level)

    def _fail(self, how: str) -> None:
        if how != self._failure:
            _log.error("changed files are not used, and tried again: %s", how)
        self._failure = how
