"""Checks the files, the folder and the issuer that settings name."""

import logging
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from twc_customer_server.auth import jwks
from twc_customer_server.auth.jwks import JwksError
from twc_customer_server.setting_report import Loaded, S
from twc_customer_server.setting_sources import InvalidSettingsError, masked
from twc_customer_server.settings import Settings
from twc_customer_server.telemetry import logs, otel_settings

_log = logging.getLogger(__name__)


def check_and_log(loaded: Loaded[S]) -> None:
    """Checks what settings name, and logs what is odd, and the database in use.

    Raises InvalidSettingsError.
    """
    warnings = [*loaded.warnings, *check(loaded.settings)]
    logs.configure(loaded.settings.log_level)
    for warning in warnings:
        _log.warning(warning)
    _log.info(loaded.database())


def check(settings: Settings) -> list[str]:
    """Returns warnings. Raises InvalidSettingsError if what is set cannot be used."""
    wrong = [
        *_wrong_tls(settings),
        *_wrong_jwks_file(settings),
        *_wrong_data_dir(settings),
        *otel_settings.wrong(os.environ),
    ]
    if wrong:
        raise InvalidSettingsError("\n".join(wrong))
    return [*_unreachable_issuer(settings)]


def _wrong_tls(settings: Settings) -> Iterator[str]:
    """Yields what is wrong with the files of TLS, if they are set."""
    files = {
        "TLS_CERTIFICATE": settings.tls_certificate,
        "TLS_KEY": settings.tls_key,
        "TLS_CLIENT_CA": settings.tls_client_ca,
    }
    unreadable = [line for name, path in files.items() if path for line in _unreadable(name, path)]
    yield from unreadable
    if unreadable or not (settings.tls_certificate and settings.tls_key):
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = settings.tls_certificate, settings.tls_key
    try:
        # Without a password, OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield f"TLS_KEY: must be the key of the certificate {certificate}, which {key} is not"
        else:
            yield (
                "TLS_CERTIFICATE, TLS_KEY: must be PEM files of a certificate chain and of its "
                f"key without a password, which {certificate} and {key} are not"
            )
    except ValueError:
        yield f"TLS_KEY: must be a key without a password, which {key} is not"
    if authorities := settings.tls_client_ca:
        try:
            context.load_verify_locations(authorities)
        except ssl.SSLError:
            yield f"TLS_CLIENT_CA: must be a PEM file of certificates, which {authorities} is not"


def _unreadable(name: str, path: Path) -> Iterator[str]:
    """Yields why a file cannot be read, if it cannot."""
    try:
        path.read_bytes()
    except OSError as error:
        yield f"{name}: {path} cannot be read: {error.strerror}"


def _wrong_jwks_file(settings: Settings) -> Iterator[str]:
    """Yields what is wrong with the issuer's keys, if they are a file."""
    path = settings.jwks
    if not path or "://" in path or settings.has_realms:
        return
    try:
        jwks.fetch(path)
    except OSError as error:
        yield f"JWKS: {path} cannot be read: {error.strerror}"
    except JwksError as error:
        yield f"JWKS: must be a file of public keys (RFC 7517), which {path} is not: {error}"


def _wrong_data_dir(settings: Settings) -> Iterator[str]:
    """Yields why nothing can be written into DATA_DIR, if it is needed and that is so."""
    if settings.database_url and not settings.development:
        return
    folder = settings.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield (
            f"DATA_DIR: this user must be able to read and write files in {folder}: "
            f"{error.strerror}"
        )


def _unreachable_issuer(settings: Settings) -> Iterator[str]:
    """Yields why the issuer's keys cannot be fetched, if they are at a URL and cannot.

    Those of realms are not known before the first call.
    """
    url = settings.jwks
    if not url or "://" not in url or settings.has_realms:
        return
    try:
        jwks.fetch(url)
    except (OSError, JwksError) as error:
        yield (
            f"JWKS: the issuer's keys cannot be fetched from {masked(url)}: {_reason(error)}; "
            "calls are refused until they can"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such document"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
