"""Checks the files that settings of the gateway name, besides what a server checks of its own."""

import logging
from collections.abc import Iterator

from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.settings import checks
from twc_customer_server.settings.report import Loaded
from twc_customer_server.settings.sources import InvalidSettingsError
from twc_customer_server.telemetry import logs

_log = logging.getLogger(__name__)


def check_and_log(loaded: Loaded[GatewaySettings]) -> None:
    """Checks what settings name, and logs what is odd, and the database or servers in use.

    Raises InvalidSettingsError.
    """
    settings = loaded.settings
    if settings.runs_server:
        checks.check_and_log(loaded)
        return
    require_files(settings)
    logs.configure(settings.log_level)
    for warning in loaded.warnings:
        _log.warning(warning)
    source = loaded.given["upstreams"][0].name
    _log.info("the servers are %s, by %s", ", ".join(settings.upstreams), source)


def require_files(settings: GatewaySettings) -> None:
    """Raises InvalidSettingsError, with a line for each, if files of TLS cannot be used."""
    if wrong := [*_wrong_files(settings)]:
        raise InvalidSettingsError("\n".join(wrong))


def _wrong_files(settings: GatewaySettings) -> Iterator[str]:
    yield from checks.wrong_tls(settings)
    pair = (settings.upstream_certificate, settings.upstream_key)
    yield from checks.wrong_pair("UPSTREAM_CERTIFICATE", "UPSTREAM_KEY", *pair)
    yield from checks.wrong_authorities("UPSTREAM_CA", settings.upstream_ca)
