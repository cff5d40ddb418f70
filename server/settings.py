"""What people who run the service can set, by environment variables of the same names."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

Region = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class Settings(BaseSettings):
    """Settings of the gRPC server."""

    model_config = SettingsConfigDict(extra="ignore")

    data_dir: Path = Field(Path("data"), description="Folder of the database.")
    bind: str = Field("127.0.0.1", description="Address that both ports listen on.")
    grpc_port: int = Field(50051, ge=0, le=65535, description="Port of native gRPC.")
    threads: int = Field(16, ge=1, le=256, description="RPCs that run at the same time.")
    max_concurrent_rpcs: int = Field(
        1000, ge=1, description="RPCs that may run or wait; more are refused."
    )
    drain_seconds: float = Field(
        0, ge=0, le=300, description="Time between reporting NOT_SERVING and taking no more calls."
    )
    grace_seconds: float = Field(
        10, ge=0, le=300, description="Time that running calls get to end when the server stops."
    )
    default_regions: dict[str, Region] = Field(
        {},
        description="Country by tenant, or `*` for all, that phone numbers without an "
        'international prefix are read in: `{"acme": "DE"}`.',
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Log level.")

    def environment(self) -> dict[str, str]:
        """The environment variables that say these settings to another process."""
        return {
            name.upper(): value if isinstance(value, str) else json.dumps(value)
            for name, value in self.model_dump(mode="json").items()
        }

    def region(self, tenant: str) -> str | None:
        """The default region of a tenant, if it has one."""
        return self.default_regions.get(tenant, self.default_regions.get("*"))
