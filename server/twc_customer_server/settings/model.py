"""Settings of the server, from environment variables of the same names and from a file."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from phonenumbers import SUPPORTED_REGIONS
from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from twc_customer_server.auth.tenants import PLACEHOLDER
from twc_customer_server.contract import ERASE_SCOPE
from twc_customer_server.settings import combinations, sources

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]


def _check_postgres_url(url: str) -> str:
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be like postgresql://user:password@host:5432/customers")
    return url


PostgresUrl = Annotated[str, AfterValidator(_check_postgres_url)]


class Settings(BaseSettings):
    """Settings of the gRPC server."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    data_dir: Path = Field(Path("data"), description="Folder of the SQLite database.")
    database_url: PostgresUrl | None = Field(
        None,
        repr=False,
        description="PostgreSQL instead of SQLite: `postgresql://user@host:5432/customers`.",
    )
    database_pool_size: int = Field(
        8, ge=1, le=1000, description="Connections to PostgreSQL per server, at most."
    )
    database_timeout_seconds: float = Field(
        4,
        gt=0,
        le=300,
        description="Timeout of a read in PostgreSQL; that of a write is three times, of an "
        "upload twelve times as long.",
    )
    database_wait_seconds: float = Field(
        30, ge=0, le=3600, description="Time to wait for PostgreSQL at the start."
    )
    database_read_urls: list[PostgresUrl] = Field(
        [],
        repr=False,
        description="Replicas of PostgreSQL, for exports and for reads with an "
        "`X-TWC-Consistency-Token`.",
    )
    database_read_max_lag_seconds: float = Field(
        10, ge=3, le=3600, description="Lag beyond which a replica is left out."
    )
    bind: str = Field("127.0.0.1", description="IP address that the ports listen on.")
    grpc_port: int = Field(50051, ge=0, le=65535, description="Port of native gRPC.")
    upstream_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port for gateways that run elsewhere, which have this server in their "
        "UPSTREAMS; 0 for none.",
    )
    upstream_client_ca: Path | None = Field(
        None,
        description="PEM file of the authorities of which such gateways must have a certificate.",
    )
    share_port: bool = Field(
        default=False,
        description="Share GRPC_PORT with other servers of the same user (SO_REUSEPORT).",
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of `/metrics` for Prometheus, without TLS and tokens; 0 for none.",
    )
    threads: int = Field(8, ge=1, le=256, description="RPCs that run at a time, 3 at least.")
    max_concurrent_rpcs: int = Field(
        4000, ge=1, description="RPCs that run, are queued or are received; more are refused."
    )
    tenant_concurrent_calls: int = Field(
        100, ge=1, description="Of these, the RPCs of one tenant; more are refused."
    )
    tenant_streams: int | None = Field(
        None,
        ge=1,
        description="Of these, the uploads, imports and exports of one tenant; by default half of "
        "the places for all, of which there are half as many as THREADS.",
    )
    max_waiting_rpcs: int = Field(
        64, ge=1, le=1024, description="RPCs that wait for changes, each on a thread of its own."
    )
    tenant_waiting_rpcs: int = Field(
        16, ge=1, description="Of these, the RPCs of one tenant; more are refused."
    )
    tenant_requests_per_second: float = Field(
        1000, ge=0, description="RPCs that a tenant may begin a second; 0 is no limit."
    )
    drain_seconds: float = Field(
        0, ge=0, le=300, description="Time to serve on while health checks fail, at a stop."
    )
    grace_seconds: float = Field(
        10, ge=0, le=300, description="Time for running calls to end when the server stops."
    )
    default_regions: dict[str, str] = Field(
        {},
        description="Country by tenant, or `*` for all, in which phone numbers without an "
        'international prefix are read: `{"acme": "DE"}`.',
    )
    accept_email_dots: bool = Field(
        default=False,
        description="Store e-mail addresses with dots that follow one another or precede the @.",
    )
    deleted_retention_days: float = Field(
        30,
        ge=0,
        le=36_500,
        description="Time after which deleted customers are erased; 0 is never.",
    )
    idempotency_quota_bytes: int = Field(
        1 << 28,
        ge=0,
        description="What is kept of a tenant's answers to requests with an `Idempotency-Key`, at "
        "most; 0 is no limit.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level of the messages to log."
    )

    issuer: str | None = Field(
        None,
        description="`iss` of the tokens to accept; `{tenant}` in it stands for the tenant "
        "if each has a realm of its own.",
    )
    jwks: str | None = Field(
        None,
        description="URL or path of the issuer's public keys (JWKS); `{tenant}` as in ISSUER.",
    )
    audience: str = Field("customer-api", description="`aud` of the tokens to accept.")
    algorithms: list[Algorithm] = Field(
        ["RS256", "PS256", "ES256", "EdDSA"],
        min_length=1,
        description="Signature algorithms to accept.",
    )
    tenant_claim: str = Field(
        "tenant", description="Claim with the token's tenants, unless ISSUER contains `{tenant}`."
    )
    scope_claim: str = Field(
        "scope",
        description="Claim with the token's scopes or roles: a text divided by spaces, or a list; "
        "dots lead into objects, as in `realm_access.roles`.",
    )
    erase_scope: str = Field(
        ERASE_SCOPE,
        pattern=r"^[!#-\[\]-~]+$",
        description="Scope, or role, that erasing a customer requires; `*` for none.",
    )
    clock_skew_seconds: float = Field(
        30, ge=0, le=60, description="Tolerated difference of the issuer's clock."
    )
    jwks_lifetime_seconds: float = Field(
        300, ge=0.1, description="Time after which the issuer's keys are fetched again."
    )
    jwks_cooldown_seconds: float = Field(
        10, ge=0.1, description="Time between fetches that unknown key ids trigger."
    )
    jwks_stale_seconds: float = Field(
        3600,
        gt=0,
        description="Time for which keys count that cannot be fetched again; "
        "at least JWKS_LIFETIME_SECONDS, which is the default if it is longer.",
    )
    development: bool = Field(
        default=False, description="Accept tokens of `make token`, on this machine only."
    )
    reflection: bool | None = Field(
        None, description="Serve gRPC reflection; by default in development only."
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file of the certificate chain of both ports; unset for no TLS."
    )
    tls_key: Path | None = Field(None, description="PEM file of the certificate's private key.")
    tls_client_ca: Path | None = Field(
        None, description="PEM file of the authorities whose client certificates are required."
    )

    @field_validator("bind")
    @classmethod
    def _check_bind(cls, address: str) -> str:
        try:
            return str(ipaddress.ip_address(address))
        except ValueError:
            raise ValueError("must be an IP address, such as 127.0.0.1 or ::1") from None

    @field_validator("default_regions")
    @classmethod
    def _check_regions(cls, regions: dict[str, str]) -> dict[str, str]:
        for tenant, region in regions.items():
            if region not in SUPPORTED_REGIONS:
                raise ValueError(f"must have two letters of a country, such as DE, for {tenant}")
        return regions

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns where settings come from, first what counts first."""
        return (init_settings, *(it.read for it in sources.sources(settings_cls)))

    @property
    def native_address(self) -> str:
        """The address of native gRPC, as `host:port`."""
        return f"{self.host}:{self.grpc_port}"

    def addresses(self) -> list[str]:
        """Returns the addresses of a server that runs by itself."""
        return [self.native_address, *filter(None, [self.upstream_address])]

    @property
    def upstream_address(self) -> str | None:
        """The address for gateways that run elsewhere, as `host:port`, if there is one."""
        return f"{self.host}:{self.upstream_port}" if self.upstream_port else None

    @property
    def host(self) -> str:
        """The IP address of both ports as it is written in a URL."""
        return f"[{self.bind}]" if ":" in self.bind else self.bind

    @property
    def has_realms(self) -> bool:
        """Whether each tenant has an issuer of its own."""
        return PLACEHOLDER in (self.issuer or "")

    @property
    def database_file(self) -> Path:
        """The SQLite database."""
        return self.data_dir / "customers.db"

    @property
    def jwks_file(self) -> Path | None:
        """The file of the one issuer's public keys, if they are in one."""
        is_file = self.jwks and "://" not in self.jwks and not self.has_realms
        return Path(self.jwks or "") if is_file else None

    def tls_files(self) -> list[Path]:
        """Returns the files of certificates and keys that are set."""
        files = (self.tls_certificate, self.tls_key, self.tls_client_ca, self.upstream_client_ca)
        return [file for file in files if file]

    @property
    def development_folder(self) -> Path:
        """The folder of the development issuer's key pair."""
        return self.data_dir / "development"

    @property
    def serves_reflection(self) -> bool:
        """Whether gRPC reflection is served."""
        return self.development if self.reflection is None else self.reflection

    def region(self, tenant: str) -> str | None:
        """Returns the default region of a tenant, if it has one."""
        return self.default_regions.get(tenant, self.default_regions.get("*"))

    def environment(self) -> dict[str, str]:
        """Returns these settings as environment variables for another process."""
        return {
            name.upper(): sources.as_text(value)
            for name, value in self.model_dump(mode="json", exclude_none=True).items()
        }

    def not_used(self) -> tuple[dict[str, Any], str]:
        """Returns the settings without use here, with their defaults, and whose they are."""
        return dict.fromkeys(sources.OF_GATEWAY), "the gateway"

    @property
    def runs_server(self) -> bool:
        """Whether this process, or one that it starts, is a server."""
        return True

    @model_validator(mode="after")
    def _check_identity(self) -> Self:
        if self.runs_server and (wrong := combinations.wrong_identity(self)):
            raise ValueError(wrong)
        return self

    @model_validator(mode="after")
    def _check_lifetime_of_keys(self) -> Self:
        if self.jwks_stale_seconds < self.jwks_lifetime_seconds:
            if "jwks_stale_seconds" in self.model_fields_set:
                raise ValueError("JWKS_STALE_SECONDS must be at least JWKS_LIFETIME_SECONDS")
            self.jwks_stale_seconds = self.jwks_lifetime_seconds
        return self

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        checks = (combinations.wrong_ports, combinations.wrong_tls, combinations.wrong_replicas)
        for check in checks:
            if wrong := check(self):
                raise ValueError(wrong)
        return self
