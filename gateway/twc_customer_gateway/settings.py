"""Settings of the whole service: the server's and the gateway's."""

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from twc_customer_server.settings.model import Settings
from twc_customer_server.settings.sources import concerns

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/.*)?")
_OWN_PORTS = {("http", ":80"), ("https", ":443")}
_UPSTREAM = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_MAX_PORT = 65535

# Settings of servers that the gateway does not start, and of those that it does.
_OF_SERVER_ALONE = {"share_port", "upstream_client_ca", "upstream_port"}
_OF_WORKERS = {"pin_workers", "workers"}
_PATH_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class GatewaySettings(Settings):
    """Settings of the gateway and the supervisor, in addition to those of the server."""

    gateway_port: int = Field(8080, ge=0, le=65535, description="Port of the gateway.")
    serve: Literal["workers", "inprocess"] = Field(
        "workers",
        description="Serve by workers beside Envoy, or with Python inside Envoy (experimental).",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Server processes; one fewer than there are cores, of which the gateway "
        "takes one, serves best.",
    )
    upstreams: list[str] = Field(
        [],
        description="Servers that run elsewhere: `api-1.example:50052,api-2.example:50052`; of a "
        "name all addresses count. Unset: WORKERS servers are started here.",
    )
    upstream_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that certify such servers; turns on TLS to them.",
    )
    upstream_certificate: Path | None = Field(
        None, description="PEM file of the certificate chain that the gateway shows to them."
    )
    upstream_key: Path | None = Field(
        None, description="PEM file of the private key of that certificate."
    )
    upstream_name: str | None = Field(
        None,
        description="Name that the certificates of servers must have; by default a host of "
        "UPSTREAMS.",
    )
    pin_workers: bool = Field(
        default=True,
        description="Keep each worker on one core, if there is one for every core but one.",
    )
    cors_origins: list[str] = Field(
        [], description='Origins whose pages may call: `["https://shop.example"]`.'
    )
    cors_allowed_headers: list[str] = Field(
        [
            "authorization",
            "content-type",
            "x-twc-tenant",
            "x-twc-consistency-token",
            "x-request-id",
            "x-requested-with",
            "idempotency-key",
            "if-match",
            "if-none-match",
            "traceparent",
            "tracestate",
            "baggage",
            "x-grpc-web",
            "x-user-agent",
            "grpc-timeout",
        ],
        description="Headers that such pages may send.",
    )
    cors_exposed_headers: list[str] = Field(
        [
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
            "x-request-id",
            "x-next-page-token",
            "x-twc-consistency-token",
            "link",
            "location",
            "allow",
            "retry-after",
            "etag",
            "www-authenticate",
            "x-ignored-members",
        ],
        description="Headers of responses that such pages may read.",
    )
    path_prefix: str | None = Field(
        None,
        description="Path before `/api/v2` at which the gateway serves the API as well, such as "
        "`/services/customerservice`.",
    )
    docs: bool = Field(
        default=True,
        description="Serve the page to try the API on, at `/docs`, and its OpenAPI description.",
    )
    unknown_members: Literal["report", "refuse"] = Field(
        "report",
        description="JSON members that the API does not know: name them in the response header "
        "`x-ignored-members`, or refuse the request.",
    )
    rate_limit: int = Field(
        0, ge=0, description="Requests per second that the gateway lets in; 0 is no limit."
    )

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if (right := _origin(origin)) != origin:
                example = right or "an origin, such as https://shop.example"
                raise ValueError(
                    f"must be as browsers send it, without path, slash at its end, upper case or "
                    f"the scheme's own port: {example}"
                )
        return origins

    @field_validator("path_prefix")
    @classmethod
    def _check_path_prefix(cls, prefix: str | None) -> str | None:
        if prefix is not None and not _PATH_PREFIX.fullmatch(prefix):
            raise ValueError(
                "must begin with a slash and not end with one: /services/customerservice"
            )
        return prefix

    @field_validator("upstreams")
    @classmethod
    def _check_upstreams(cls, upstreams: list[str]) -> list[str]:
        for upstream in upstreams:
            found = _UPSTREAM.fullmatch(upstream)
            if not found or not 0 < int(found["port"]) <= _MAX_PORT:
                raise ValueError(
                    "must be hosts with ports: api-1.example:50052,[2001:db8::2]:50052"
                )
        if len({*upstreams}) < len(upstreams):
            raise ValueError("must name each server once")
        return upstreams

    @property
    def runs_server(self) -> bool:
        """Whether servers are started beside the gateway: none if it has others."""
        return not self.upstreams

    def not_used(self) -> tuple[dict[str, Any], str]:
        """Returns the settings that the service does not use, with defaults, and whose they are."""
        names, of = _OF_SERVER_ALONE, "a server that runs by itself"
        if self.upstreams:
            all_names = type(self).model_fields
            names = {name for name in all_names if concerns(name) == "server"} | _OF_WORKERS
            of = "servers, which run elsewhere (UPSTREAMS)"
        return {name: type(self).model_fields[name].default for name in names}, of

    @property
    def upstream_addresses(self) -> list[tuple[str, int]]:
        """The hosts and ports of servers that run elsewhere."""
        found = (_UPSTREAM.fullmatch(upstream) for upstream in self.upstreams)
        return [(it["host"].strip("[]"), int(it["port"])) for it in found if it]

    def upstream_tls_files(self) -> list[Path]:
        """Returns the files of TLS to servers that are set."""
        files = (self.upstream_ca, self.upstream_certificate, self.upstream_key)
        return [file for file in files if file]

    def watched_files(self) -> list[Path]:
        """Returns the files that the service reads anew when they change, as the settings file."""
        return [*self.tls_files(), *self.upstream_tls_files()]

    @model_validator(mode="after")
    def _check_upstream_tls(self) -> Self:
        given: dict[str, object] = {}
        given |= {
            "UPSTREAM_CA": self.upstream_ca,
            "UPSTREAM_CERTIFICATE": self.upstream_certificate,
        }
        given |= {"UPSTREAM_KEY": self.upstream_key, "UPSTREAM_NAME": self.upstream_name}
        if self.development and self.upstreams:
            raise ValueError(
                "DEVELOPMENT is of servers: with UPSTREAMS, set it for those, and unset it here"
            )
        if self.serve == "inprocess" and self.upstreams:
            raise ValueError("SERVE=inprocess serves inside Envoy: unset it, or UPSTREAMS")
        if any(given.values()) and not self.upstreams:
            names = " and ".join(name for name, value in given.items() if value)
            raise ValueError(f"{names} needs UPSTREAMS, the servers to reach by TLS")
        if (self.upstream_certificate is None) != (self.upstream_key is None):
            raise ValueError("UPSTREAM_CERTIFICATE and UPSTREAM_KEY must be set together")
        if any(given.values()) and not self.upstream_ca:
            raise ValueError("UPSTREAM_CA is required for TLS to servers: who certifies them")
        return self


def _origin(text: str) -> str | None:
    """Returns the origin that browsers send for pages at a URL, or None if it is no URL."""
    parts = _ORIGIN.fullmatch(text.lower())
    if not parts:
        return None
    scheme, host, port, _ = parts.groups()
    return f"{scheme}://{host}" + ("" if (scheme, port) in _OWN_PORTS else port or "")
