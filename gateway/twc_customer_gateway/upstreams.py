"""The servers that Envoy calls: workers on this machine, or servers that run elsewhere."""

import ipaddress
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from twc_customer_gateway import secrets
from twc_customer_gateway.places import Places
from twc_customer_gateway.settings import GatewaySettings

# Servers elsewhere, whose number their names do not tell, are up to as many as workers may be.
_MOST_SERVERS = 64


_FIXED = {"name": "envoy.cluster.static"}
# All addresses of each name, and again every few seconds.
_BY_NAME = {
    "name": "envoy.clusters.dns",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster",
        "dns_lookup_family": "V4_PREFERRED",
        "dns_refresh_rate": "5s",
    },
}


class Upstreams(NamedTuple):
    """How Envoy finds and reaches the servers, and how many there are, at most."""

    discovery: dict[str, Any]
    endpoints: Sequence[dict[str, Any]]
    transport_socket: dict[str, Any] | None
    most: int

    @classmethod
    def at_sockets(cls, sockets: Sequence[str]) -> Self:
        """Returns workers on this machine, by their Unix sockets."""
        endpoints = [_endpoint({"pipe": {"path": socket}}) for socket in sockets]
        return cls(_FIXED, endpoints, None, len(endpoints))

    @classmethod
    def elsewhere(cls, settings: GatewaySettings, places: Places) -> Self:
        """Returns the servers of UPSTREAMS; of a name, those at all its addresses."""
        addresses = settings.upstream_addresses
        endpoints = [
            _endpoint({"socket_address": {"address": host, "port_value": port}})
            for host, port in addresses
        ]
        is_one = len(addresses) == 1 and _is_address(addresses[0][0])
        most = 1 if is_one else _MOST_SERVERS
        return cls(_BY_NAME, endpoints, _transport_socket(settings, places), most)


def _endpoint(address: dict[str, Any]) -> dict[str, Any]:
    return {"endpoint": {"address": address}}


def _transport_socket(settings: GatewaySettings, places: Places) -> dict[str, Any] | None:
    """Returns TLS to the servers, None if UPSTREAM_CA is not set."""
    if not settings.upstream_ca:
        return None
    hosts = [host for host, _ in settings.upstream_addresses]
    names = [settings.upstream_name] if settings.upstream_name else hosts
    common: dict[str, Any] = {
        "alpn_protocols": ["h2"],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [_san(name) for name in dict.fromkeys(names)]
            },
            "validation_context_sds_secret_config": secrets.source(secrets.UPSTREAM_CA, places),
        },
    }
    if settings.upstream_certificate:
        own = secrets.source(secrets.UPSTREAM_CERTIFICATE, places)
        common["tls_certificate_sds_secret_configs"] = [own]
    context: dict[str, Any] = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common,
    }
    # The name that the client says is one of DNS (RFC 6066, section 3).
    if settings.upstream_name and not _is_address(settings.upstream_name):
        context["sni"] = settings.upstream_name
    elif not any(map(_is_address, names)):
        context["auto_host_sni"] = True
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _san(name: str) -> dict[str, Any]:
    """Returns the name or address that a certificate must have."""
    kind = "IP_ADDRESS" if _is_address(name) else "DNS"
    return {"san_type": kind, "matcher": {"exact": name}}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
