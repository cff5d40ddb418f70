"""Certificates and keys of Envoy's TLS, in files that Envoy reads anew when they are replaced."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twc_customer_gateway.places import Places
from twc_customer_gateway.settings import GatewaySettings

CERTIFICATE, CLIENT_CA = "certificate", "client-ca"
UPSTREAM_CERTIFICATE, UPSTREAM_CA = "upstream-certificate", "upstream-ca"

_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105
_CONTEXT = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


def source(name: str, places: Places) -> dict[str, Any]:
    """Returns where Envoy finds a secret."""
    return {"name": name, "sds_config": places.source(_file(name))}


def listener_tls(settings: GatewaySettings, places: Places) -> dict[str, Any] | None:
    """Returns TLS for the gateway's port, mutual with a client CA; None if TLS is not set."""
    if not settings.tls_certificate:
        return None
    common: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificate_sds_secret_configs": [source(CERTIFICATE, places)],
    }
    if settings.tls_client_ca:
        common["validation_context_sds_secret_config"] = source(CLIENT_CA, places)
    context = {
        "@type": _CONTEXT,
        "common_tls_context": common,
        "require_client_certificate": settings.tls_client_ca is not None,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def write(settings: GatewaySettings, places: Places, *, inline: bool) -> None:
    """Writes the secrets that are set: `inline`, or by the paths of their files.

    What is in one file, certificate and key fit together, and so they do for an Envoy that is
    restarted while somebody replaces one of theirs. Raises OSError.
    """
    for name, secret in _secrets(settings, inline=inline):
        resource = {"@type": _SECRET, "name": name, **secret}
        content = json.dumps({"resources": [resource]}, indent=2)
        places.replace(_file(name), content, is_private=inline)


def _secrets(settings: GatewaySettings, *, inline: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    pairs = {
        CERTIFICATE: (settings.tls_certificate, settings.tls_key),
        UPSTREAM_CERTIFICATE: (settings.upstream_certificate, settings.upstream_key),
    }
    for name, (certificate, key) in pairs.items():
        if certificate and key:
            content = {"certificate_chain": _data(certificate, inline=inline)}
            content |= {"private_key": _data(key, inline=inline)}
            yield name, {"tls_certificate": content | _watched(certificate, inline=inline)}
    authorities = {CLIENT_CA: settings.tls_client_ca, UPSTREAM_CA: settings.upstream_ca}
    for name, file in authorities.items():
        if file:
            content = {"trusted_ca": _data(file, inline=inline)}
            yield name, {"validation_context": content | _watched(file, inline=inline)}


def _data(file: Path, *, inline: bool) -> dict[str, Any]:
    return {"inline_string": file.read_text()} if inline else {"filename": str(file)}


def _watched(file: Path, *, inline: bool) -> dict[str, Any]:
    """Returns the folder in which Envoy notices that files are replaced."""
    return {} if inline else {"watched_directory": {"path": str(file.parent)}}


def _file(name: str) -> str:
    return f"{name}.json"
