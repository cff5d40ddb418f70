"""Settings of the whole service from environment variables: the server's and the gateway's."""

from typing import Literal

from pydantic import Field

from twc_customer_server.settings import Settings


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
        pattern=r"^(/[A-Za-z0-9._~-]+)+$",
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
