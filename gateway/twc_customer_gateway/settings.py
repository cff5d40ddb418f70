"""Settings of the whole service: the server's and the gateway's."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from twc_customer_server.settings import Settings

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/.*)?")
_OWN_PORTS = {("http", ":80"), ("https", ":443")}
_PATH_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class GatewaySettings(Settings):
    """Settings of the gateway and the supervisor, in addition to those of the server."""

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
    cors_allowed_headers: list[str] = Field(
        [
            "authorization",
            "content-type",
            "x-twc-tenant",
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

    @model_validator(mode="after")
    def _check_ports(self) -> Self:
        ports = [it for it in (self.gateway_port, self.grpc_port, self.metrics_port) if it]
        if len({*ports}) < len(ports):
            raise ValueError("GATEWAY_PORT, GRPC_PORT and METRICS_PORT must be different ports")
        return self


def _origin(text: str) -> str | None:
    """Returns the origin that browsers send for pages at a URL, or None if it is no URL."""
    parts = _ORIGIN.fullmatch(text.lower())
    if not parts:
        return None
    scheme, host, port, _ = parts.groups()
    return f"{scheme}://{host}" + ("" if (scheme, port) in _OWN_PORTS else port or "")
