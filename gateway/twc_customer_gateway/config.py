"""Writes Envoy's configuration: the template filled in, and the contract's descriptor."""

import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2
from pydantic import Field
from twc.customer.v2 import customer_service_pb2, error_reason_pb2

from twc_customer_gateway import errors, routes, strict_json
from twc_customer_server.contract import MAX_BODY_BYTES, MAX_UPLOAD_BYTES, SERVICE
from twc_customer_server.settings import Settings

# Envoy's administration interface, a socket in the folder that `write` fills.
ADMIN_SOCKET = "admin.sock"

# What Envoy keeps open to a worker, and has it do or wait for, at the most.
_WORKER_CONNECTIONS = 64
_WORKER_CALLS = 512

_TLS_CONTEXT = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"

_HERE = Path(__file__).parent

# Error details arrive as Any: the transcoder writes only types it was given.
_FILES = (
    customer_service_pb2.DESCRIPTOR,
    error_reason_pb2.DESCRIPTOR,
    error_details_pb2.DESCRIPTOR,
)


class GatewaySettings(Settings):
    """Settings of the gateway, beside those of the server."""

    gateway_port: int = Field(8080, ge=0, le=65535, description="Port of the gateway.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Server processes; one fewer than there are cores, of which the gateway "
        "takes one, serves best.",
    )
    pin_workers: bool = Field(
        default=True,
        description="Keep each worker on one core, if there is one for every core but one.",
    )
    cors_origins: list[str] = Field(
        [], description='Origins whose pages may call: `["https://shop.example"]`.'
    )
    rate_limit: int = Field(
        0, ge=0, description="Requests per second that the gateway lets in; 0 is no limit."
    )


def write(settings: GatewaySettings, upstreams: Sequence[Path], folder: Path) -> Path:
    """Writes into a folder what Envoy reads, and returns the path of its configuration.

    `upstreams` are the Unix sockets of the workers.
    """
    descriptor = folder / "contract.binpb"
    descriptor.write_bytes(_descriptor_set().SerializeToString())
    values: dict[str, Any] = {
        "ADMIN_SOCKET": str(folder / ADMIN_SOCKET),
        "BIND": settings.bind,
        "PORT": settings.gateway_port,
        "CORS_ORIGINS": [{"exact": origin} for origin in settings.cors_origins],
        "RATE_LIMIT": max(settings.rate_limit, 1),
        "RATE_LIMITED_PERCENT": 100 if settings.rate_limit else 0,
        "BODY_BYTES": MAX_BODY_BYTES,
        "UPLOAD_BYTES": MAX_UPLOAD_BYTES,
        "ERROR_MAPPERS": errors.mappers(),
        "ROUTES": routes.table(SERVICE, settings.cors_origins),
        "STRICT_JSON_LUA": strict_json.script(SERVICE),
        "TRANSPORT_SOCKET": _transport_socket(settings),
        "STATUS_LUA": (_HERE / "lua" / "status.lua").read_text(),
        "TRAILERS_LUA": (_HERE / "lua" / "trailers.lua").read_text(),
        "DESCRIPTOR": str(descriptor),
        "RETRY_POLICY": routes.RETRY_POLICY,
        "MAX_CONNECTIONS": _WORKER_CONNECTIONS * len(upstreams),
        "MAX_CALLS": _WORKER_CALLS * len(upstreams),
        "UPSTREAMS": [
            {"endpoint": {"address": {"pipe": {"path": str(socket)}}}} for socket in upstreams
        ],
    }
    template = Template((_HERE / "envoy.yaml").read_text())
    config = folder / "envoy.yaml"
    config.write_text(template.substitute({name: json.dumps(v) for name, v in values.items()}))
    return config


def _transport_socket(settings: GatewaySettings) -> dict[str, Any] | None:
    """TLS on the gateway's port, mutual if client authorities are set; None if it is not."""
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


def _descriptor_set() -> FileDescriptorSet:
    """The contract with all that it imports, each file after those it imports."""
    files: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        files.setdefault(file.name, file)

    for file in _FILES:
        add(file)
    descriptors = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(descriptors.file.add())
    return descriptors
