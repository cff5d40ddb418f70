"""Writes the configuration by the settings of environment and file: the command `config`."""

import sys
from pathlib import Path

from twc_customer_gateway import config
from twc_customer_gateway.places import Places
from twc_customer_gateway.python_in_envoy import UnsuitablePythonError
from twc_customer_gateway.setting_checks import check_and_log
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_gateway.supervisor.stack_settings import SETTINGS_FILE
from twc_customer_server.concurrency.file_watch import look_at
from twc_customer_server.settings import report, sources
from twc_customer_server.settings.sources import InvalidSettingsError

NO_UPSTREAMS = (
    "UPSTREAMS is required: the servers that the Envoys are to call, as in "
    "UPSTREAMS=api-1.example:50052,api-2.example:50052"
)


def write_for_start(folder: Path) -> None:
    """Writes all that Envoys and supervisor need to start, and a copy of the settings file.

    Exits with status 1, and a line for each setting, file or folder that is wrong, if one is.
    What is odd, and the database in use, is logged.
    """
    try:
        file = sources.settings_file()
        as_read = look_at([file])
        loaded = report.load(GatewaySettings)
        check_and_log(loaded)
        config.write_all(loaded.settings, folder, as_read)
        # Workers that are started later have the settings of the others.
        (folder / SETTINGS_FILE).write_bytes(file.read_bytes() if file.exists() else b"")
    except (InvalidSettingsError, UnsuitablePythonError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"the configuration cannot be written: {error}")


def write_plain(folder: Path, *, mount: str, run: str, admin_port: int) -> None:
    """Writes the configuration of Envoys that others start, and prints how.

    `mount` is the folder as they see it, `run` that of the socket between them. Exits with status
    1, and a line for each setting that is wrong, if one is.
    """
    try:
        if "upstreams" not in sources.given(GatewaySettings):
            sys.exit(NO_UPSTREAMS)
        settings = report.load(GatewaySettings).settings
        folder.mkdir(parents=True, exist_ok=True)
        written = config.write_plain(settings, Places(folder, mount, run, admin_port))
    except InvalidSettingsError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"the configuration cannot be written: {error}")
    for file in written:
        print(f"envoy --config-path {mount}/{file.name} --concurrency 1 --disable-hot-restart")  # noqa: T201
