"""Takes anew, while a server serves, what its files have: certificates, keys, the log level."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from twc_customer_server.concurrency.file_watch import FileWatch
from twc_customer_server.concurrency.periodic import Periodic
from twc_customer_server.settings import checks, report, sources
from twc_customer_server.settings.model import Settings
from twc_customer_server.settings.sources import InvalidSettingsError
from twc_customer_server.telemetry import logs

# Time between looks at the files.
_SECONDS = 1

_log = logging.getLogger(__name__)


class _Watched(NamedTuple):
    files: FileWatch
    renew: Callable[[], object]


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
        self._watched = [
            _Watched(FileWatch(settings.tls_files()), self._renew_tls),
            _Watched(FileWatch(_settings_files()), self._renew_settings),
        ]
        if keys := settings.jwks_file:
            self._watched.append(_Watched(FileWatch([keys]), renew_keys))
        self._periodic = Periodic("renewal", _SECONDS, self.renew_changed)

    def start(self) -> None:
        """Starts the thread."""
        self._periodic.start()

    def stop(self) -> None:
        """Waits for a look in progress, and ends the thread."""
        self._periodic.stop()

    def renew_changed(self) -> None:
        """Reads files that have changed."""
        for files, renew in self._watched:
            if files.has_changed():
                renew()

    def _renew_tls(self) -> None:
        try:
            wrong = [*checks.wrong_tls(self._settings)]
            if not wrong:
                self._renew_certificates()
        except OSError as error:
            wrong = [f"{error.filename} cannot be read: {error.strerror}"]
        for line in wrong:
            _log.error("%s; what was read before is used on", line)
        if not wrong:
            _log.warning("certificates were read anew")

    def _renew_settings(self) -> None:
        try:
            settings = report.load(Settings).settings
        except InvalidSettingsError as error:
            for line in str(error).splitlines():
                _log.error("%s; the settings of the start are used on", line)
            return
        if settings.log_level != self._settings.log_level:
            _log.warning("LOG_LEVEL is %s from now on", settings.log_level)
            logs.set_level(settings.log_level)
        others = sources.differences(self._settings, settings) - sources.RENEWED
        if others:
            names = ", ".join(sorted(name.upper() for name in others))
            _log.warning("the server takes %s as it is in the file with its next start", names)
        self._settings = self._settings.model_copy(update={"log_level": settings.log_level})


def _settings_files() -> Sequence[Path]:
    try:
        return [sources.settings_file()]
    except InvalidSettingsError:
        return []
