"""Takes anew, while a server serves, what its files have: certificates, keys, the log level."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from twc_customer_server.concurrency.file_watch import FileWatch
from twc_customer_server.concurrency.periodic import Periodic
from twc_customer_server.settings import checks, report, sources
from twc_customer_server.settings.model import Settings
from twc_customer_server.settings.sources import InvalidSettingsError
from twc_customer_server.telemetry import logs

# Time between looks at the files.
_SECONDS = 1

_log = logging.getLogger(__name__)


# Reads files anew, and returns a line for each thing that is wrong; nothing is used then.
Renew = Callable[[], Sequence[str]]


class _Watched:
    """Files that are read anew when they change, until that succeeds; says once what is wrong."""

    def __init__(self, files: Sequence[Path], renew: Renew) -> None:
        self._files = FileWatch(files)
        self._renew = renew
        self._said: Sequence[str] = []

    def renew_if_changed(self) -> None:
        """Reads the files if they have changed, or could not be used the last time."""
        if not self._files.has_changed():
            return
        wrong = self._renew()
        if not wrong:
            self._files.note_used()
        elif not (self._files.is_told_again and wrong == self._said):
            for line in wrong:
                _log.error("%s", line)
        self._said = wrong


class Renewal:
    """Looks at the files from `start` to `stop`."""

    def __init__(
        self,
        settings: Settings,
        renew_certificates: Callable[[], object],
        renew_keys: Callable[[], object],
    ) -> None:
        """The functions read files anew; the second is called only if the keys are in one."""
        self._settings = settings
        self._renew_certificates = renew_certificates
        self._fetch_keys = renew_keys
        self._watched = [
            _Watched(settings.tls_files(), self._renew_tls),
            _Watched(_settings_files(), self._renew_settings),
        ]
        if keys := settings.jwks_file:
            self._watched.append(_Watched([keys], self._renew_keys))
        self._periodic = Periodic("renewal", _SECONDS, self.renew_changed)

    def start(self) -> None:
        """Starts the thread."""
        self._periodic.start()

    def stop(self) -> None:
        """Waits for a look in progress, and ends the thread."""
        self._periodic.stop()

    def renew_changed(self) -> None:
        """Reads files that have changed."""
        for watched in self._watched:
            watched.renew_if_changed()

    def _renew_tls(self) -> list[str]:
        try:
            wrong = [*checks.wrong_tls(self._settings)]
            if not wrong:
                self._renew_certificates()
        except OSError as error:
            wrong = [f"{error.filename} cannot be read: {error.strerror}"]
        if not wrong:
            _log.warning("certificates were read anew")
        return [f"{line}; what was read before is used on" for line in wrong]

    def _renew_keys(self) -> list[str]:
        # A fetch that fails is tried again by who keeps the keys.
        self._fetch_keys()
        return []

    def _renew_settings(self) -> list[str]:
        try:
            settings = report.load(Settings).settings
        except InvalidSettingsError as error:
            lines = str(error).splitlines()
            return [f"{line}; the settings of the start are used on" for line in lines]
        if settings.log_level != self._settings.log_level:
            _log.warning("LOG_LEVEL is %s from now on", settings.log_level)
            logs.set_level(settings.log_level)
        others = sources.differences(self._settings, settings) - sources.RENEWED
        if others:
            names = ", ".join(sorted(name.upper() for name in others))
            _log.warning("the server takes %s as it is in the file with its next start", names)
        self._settings = self._settings.model_copy(update={"log_level": settings.log_level})
        return []


def _settings_files() -> Sequence[Path]:
    try:
        return [sources.settings_file()]
    except InvalidSettingsError:
        return []
