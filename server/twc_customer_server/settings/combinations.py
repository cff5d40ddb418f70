"""Which settings of a server go together."""

import ipaddress
from itertools import combinations
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from twc_customer_server.auth.tenants import PLACEHOLDER

if TYPE_CHECKING:
    from twc_customer_server.settings.model import Settings

NO_ISSUER = (
    "ISSUER and JWKS are required: the issuer whose tokens to accept, and its public keys. "
    "To try the service on this machine alone, set DEVELOPMENT=true instead"
)


def wrong_identity(settings: "Settings") -> str | None:
    """Returns what is wrong with the issuer whose tokens to accept."""
    issuer, jwks = settings.issuer or "", settings.jwks or ""
    wrong = None
    if settings.development:
        if issuer or jwks:
            wrong = "DEVELOPMENT=true uses an issuer of its own: unset ISSUER and JWKS"
        elif not is_loopback(settings.bind):
            wrong = "DEVELOPMENT=true is for this machine only: set BIND=127.0.0.1"
    elif not (issuer and jwks):
        wrong = NO_ISSUER
    elif settings.has_realms != (PLACEHOLDER in jwks):
        wrong = "ISSUER and JWKS must both contain {tenant}, or neither"
    elif issuer.count(PLACEHOLDER) > 1:
        wrong = "ISSUER must contain {tenant} once"
    elif "://" in jwks and not jwks.startswith(("https://", "http://")):
        wrong = "JWKS must be an https URL or the path of a file"
    elif jwks.startswith("http:") and not is_loopback(urlsplit(jwks).hostname or ""):
        wrong = "JWKS must be an https URL: over http anyone on the way can forge keys"
    return wrong


def wrong_tls(settings: "Settings") -> str | None:
    """Returns what is wrong with the files of TLS."""
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        return "TLS_CERTIFICATE and TLS_KEY must be set together"
    if settings.tls_client_ca and not settings.tls_key:
        return "TLS_CLIENT_CA needs TLS_CERTIFICATE and TLS_KEY"
    if settings.upstream_client_ca and not (settings.tls_key and settings.upstream_port):
        return "UPSTREAM_CLIENT_CA needs UPSTREAM_PORT, TLS_CERTIFICATE and TLS_KEY"
    return None


def wrong_replicas(settings: "Settings") -> str | None:
    """Returns what is wrong with the databases that reads use."""
    if settings.database_read_urls and not settings.database_url:
        return "DATABASE_READ_URLS needs DATABASE_URL, the database whose replicas they are"
    return None


def wrong_ports(settings: "Settings") -> str | None:
    """Returns which ports are the same."""
    names = ["metrics_port"]
    if settings.runs_server:
        names = ["grpc_port", "metrics_port", "upstream_port"]
    if hasattr(settings, "gateway_port"):
        names.insert(0, "gateway_port")
    for one, other in combinations(names, 2):
        if getattr(settings, one) == getattr(settings, other) != 0:
            return f"{one.upper()} and {other.upper()} must be different ports"
    return None


def is_loopback(host: str) -> bool:
    """Tells whether a host is this machine, and no other can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
