"""Writes anew, for a service that runs, what can change without a restart: `config --renew`."""

import json
import logging
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

from twc_customer_gateway import config
from twc_customer_gateway.setting_checks import require_files
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_gateway.supervisor.renewal import FAILED_STATUS, WRONG_STATUS
from twc_customer_gateway.supervisor.stack_settings import SETTINGS_FILE, StackSettings
from twc_customer_server.settings import report, sources
from twc_customer_server.settings.sources import FILE_VARIABLE, RENEWED, InvalidSettingsError
from twc_customer_server.telemetry import logs

_log = logging.getLogger(__name__)


def renew(folder: Path, again: int = 0) -> None:
    """Writes certificates, and the settings that may change; logs those that need a restart.

    `folder` is what the start has written. Exits with WRONG_STATUS, and an error in the log for
    each setting or file that is wrong, if one is: nothing has changed then. Exits with
    FAILED_STATUS if the system fails. `again` is the status with which the attempt before ended:
    what that one said is not said again.
    """
    try:
        logs.configure(StackSettings.read(folder).log_level)
        changed = report.load(GatewaySettings).settings
        given = _read(sources.settings_file())
        copy = folder / SETTINGS_FILE
        # That which the service runs with; this process has no other use for the variable.
        os.environ[FILE_VARIABLE] = str(copy)
        running = report.load(GatewaySettings).settings
        renewed = {name: getattr(changed, name) for name in RENEWED}
        settings = running.model_copy(update=renewed)
        require_files(settings)
        config.renew_all(settings, folder)
        _write(copy, _read(copy), {name: given.get(name) for name in RENEWED})
    except (InvalidSettingsError, OSError) as error:
        status = FAILED_STATUS if isinstance(error, OSError) else WRONG_STATUS
        for line in str(error).splitlines() if status != again else ():
            _log.error("%s; what was read before is used on", line)
        sys.exit(status)
    if others := sources.differences(running, changed) - RENEWED:
        names = ", ".join(sorted(name.upper() for name in others))
        _log.warning("%s will be as in the file with the next start of the service", names)
    _log.warning("certificates, %s were read anew", ", ".join(sorted(map(str.upper, RENEWED))))


def _read(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text()) if file.exists() else {}


def _write(file: Path, values: dict[str, Any], changed: dict[str, Any]) -> None:
    """Writes settings, with the changed ones in their place, as a whole."""
    lines = [
        f"{name} = {_literal(value)}\n"
        for name, value in (values | changed).items()
        if value is not None
    ]
    written = file.with_suffix(".new")
    written.write_text("".join(lines))
    written.replace(file)


def _literal(value: Any) -> str:
    """Returns a value in TOML, which has JSON's literals but for objects."""
    if isinstance(value, dict):
        members = (f"{_literal(key)} = {_literal(each)}" for key, each in value.items())
        return f"{{{', '.join(members)}}}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")
