"""The certificates of a server's ports, which may be replaced while it serves."""

from collections.abc import Callable
from pathlib import Path

import grpc

from twc_customer_server.settings.model import Settings


class Certificates:
    """Reads the files of TLS, at its construction and again when told to."""

    def __init__(self, settings: Settings, client_ca: Path | None) -> None:
        """`client_ca` has the authorities whose certificates clients must have, if it is given.

        Raises OSError if a file cannot be read.
        """
        self._settings = settings
        self._client_ca = client_ca
        self._current = self._read()

    def renew(self) -> None:
        """Has connections from now on use what the files have. Raises OSError."""
        self._current = self._read()

    def credentials(self) -> grpc.ServerCredentials | None:
        """Returns the credentials of a port, None without TLS."""
        first = self._current
        if first is None:
            return None
        return grpc.dynamic_ssl_server_credentials(
            first,
            self._fetcher(first),  # type: ignore[arg-type] # its stub lacks None
            require_client_authentication=self._client_ca is not None,
        )

    def _fetcher(
        self, served: grpc.ServerCertificateConfiguration
    ) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
        """Returns a function that grpcio calls with each connection: None is for no change."""

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal served
            if self._current is served or self._current is None:
                return None
            served = self._current
            return served

        return fetch

    def _read(self) -> grpc.ServerCertificateConfiguration | None:
        certificate, key = self._settings.tls_certificate, self._settings.tls_key
        if not (certificate and key):
            return None
        pair = (key.read_bytes(), certificate.read_bytes())
        authorities = self._client_ca.read_bytes() if self._client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], authorities)
