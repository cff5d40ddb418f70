"""Checks the files, the folder and the issuer that settings name."""

import logging
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from twc_customer_server.auth import jwks
from twc_customer_server.auth.jwks import JwksError
from twc_customer_server.settings.model import Settings
from twc_customer_server.settings.report import Loaded, S
from twc_customer_server.settings.sources import InvalidSettingsError, is_pem, masked
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
        *wrong_tls(settings),
        *_wrong_jwks_file(settings),
        *_wrong_data_dir(settings),
        *otel_settings.wrong(os.environ),
    ]
    if wrong:
        raise InvalidSettingsError("\n".join(wrong))
    return [*_unreachable_issuer(settings)]


def wrong_tls(settings: Settings) -> Iterator[str]:
    """Yields what is wrong with the files of TLS, if they are set."""
    yield from wrong_pair("TLS_CERTIFICATE", "TLS_KEY", settings.tls_certificate, settings.tls_key)
    yield from wrong_authorities("TLS_CLIENT_CA", settings.tls_client_ca)
    yield from wrong_authorities("UPSTREAM_CLIENT_CA", settings.upstream_client_ca)


def wrong_pair(
    certificate_name: str, key_name: str, certificate: Path | None, key: Path | None
) -> Iterator[str]:
    """Yields what is wrong with the files of a certificate and its key, if they are set."""
    if not (certificate and key):
        return
    unreadable = [*_unreadable(certificate_name, certificate), *_unreadable(key_name, key)]
    if unreadable:
        yield from unreadable
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password, OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            of = f"the certificate {certificate}"
            yield f"{key_name}: must be the key of {of}, which {key} is not"
        else:
            yield (
                f"{certificate_name}, {key_name}: must be PEM files of a certificate chain and of "
                f"its key without a password, which {certificate} and {key} are not"
            )
    except ValueError:
        yield f"{key_name}: must be a key without a password, which {key} is not"


def wrong_authorities(name: str, file: Path | None) -> Iterator[str]:
    """Yields what is wrong with a file of authorities, if it is set."""
    if file is None:
        return
    if unreadable := [*_unreadable(name, file)]:
        yield from unreadable
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        yield f"{name}: must be a PEM file of certificates, which {file} is not"


def _unreadable(name: str, path: Path) -> Iterator[str]:
    """Yields why a file cannot be read, if it cannot."""
    if is_pem(str(path)):
        yield f"{name}: must be the path of a file, and not what the file has"
        return
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
